//! One app, from its first build to its last change.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tandem_kit::env;
use tandem_testkit::bench::cleaning::BenchFolder;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::record::Record;
use tandem_testkit::bench::relay::Relay;
use tandem_testkit::connection::Question;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::load::{Load, Mix, Target};
use tandem_testkit::program::Program;
use tandem_testkit::wait::eventually;
use tandem_types::Timestamp;

use crate::Plan;
use crate::apps::App;
use crate::services::Services;

/// What one app costs. Times in seconds.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// The first deploy.
    pub(crate) first: Steps,
    /// Those of a changed line.
    pub(crate) changes: Vec<Steps>,
    /// Bytes of each change between client and server, both ways.
    pub(crate) wire: Vec<f64>,
    /// Bytes of the app and of everything it needs.
    pub(crate) bytes: u64,
    /// Files of it.
    pub(crate) files: u64,
    /// Packages that were installed.
    pub(crate) packages: usize,
    /// Processes of each type, as `tandem ps` names them.
    pub(crate) processes: Vec<String>,
    /// Static files that the balancer serves.
    pub(crate) static_files: u64,
    /// Requests during the changes.
    pub(crate) requests: usize,
    /// How many of them failed, or met a connection that was closed without a word.
    pub(crate) failed: usize,
}

/// Parts of one deploy, in seconds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Steps {
    pub(crate) build: f64,
    pub(crate) staging: f64,
    pub(crate) release: f64,
    pub(crate) boot: f64,
    pub(crate) whole: f64,
}

pub(crate) fn measure(
    app: &App,
    plan: &Plan,
    (services, record, bench): (&Services, &Record, &BenchFolder),
) -> anyhow::Result<Measured> {
    let source = bench.scratch().join(app.name);
    fetch(app, &plan.sources.join(app.name), &source)?;
    let installation = start(plan, record, bench)?;
    services.database_of(app.name);
    let values =
        app.config.iter().map(|(name, value)| format!("{name}={}", services.fill_in(value, app.name)));
    let _ = installation.tandem(["app", "create", app.name]).expect_success();
    let mut words: Vec<String> =
        ["config", "set", "--no-deploy", "--app", app.name].map(str::to_owned).into();
    words.extend(values);
    let _ = installation.tandem(words).expect_success();

    let mut measured = Measured::default();
    let told = installation.deploy(&source);
    measured.first = steps(&installation, app, &told)?;
    let target = Target { address: installation.ready().http, host: format!("{}.localhost", app.name) };
    let mix = Mix { page: app.page.to_owned(), pages: 8.0, kept_clients: 4, kept_pages: 1.0, ..Mix::gets() };
    let load = Load::start(target, mix);
    eventually("requests are answered", || (load.ended() >= 20).then_some(()));
    let relay = Relay::start(installation.ready().api)?;
    let created = installation.tandem(["token", "create", "bench", "--json"]).expect_success().json();
    let token = created["token"].as_str().context("the token is shown once")?.to_owned();
    for number in 1..=plan.changes {
        say(&format!("{}: change {number} of {}", app.name, plan.changes));
        change(app, &source, number)?;
        let before = relay.bytes();
        let server = format!("http://{}", relay.address());
        let words =
            ["deploy".as_ref(), source.as_os_str(), "--server".as_ref(), server.as_ref(), "--json".as_ref()];
        let program = Program::new(&plan.binary).arguments(words).set(env::TANDEM_TOKEN, &token);
        let program =
            program.unset(env::TANDEM_DATA).set(env::XDG_CACHE_HOME, bench.scratch().join("client"));
        let told = record.run("a deploy over the relay", program)?.expect_success().json();
        measured.wire.push((relay.bytes() - before) as f64);
        measured.changes.push(steps(&installation, app, &told)?);
    }
    let report = load.stop();
    measured.requests = report.samples.len();
    measured.failed = report.failures().len() + usize::try_from(report.stale)?;
    if let Some(loss) = report.loss() {
        say(&loss);
    }
    look(&installation, app, &mut measured)?;
    installation.finish();
    std::fs::remove_dir_all(&source).context("remove the copy of the source")?;
    Ok(measured)
}

/// A clone at the commit that the figures are of, with the app file and nothing else.
fn fetch(app: &App, from: &Path, to: &Path) -> anyhow::Result<()> {
    let git = |folder: &Path, words: &[&str]| {
        let outcome = Program::new("git").arguments(words).folder(folder).run();
        ensure!(outcome.code == Some(0), "git {}: {}", words.join(" "), outcome.stderr);
        Ok(outcome.stdout.trim().to_owned())
    };
    ensure!(
        from.is_dir(),
        "{} is missing: `git clone https://github.com/{}.git`",
        from.display(),
        app.repository
    );
    let (from, above) = (from.canonicalize()?, to.parent().context("it lies in a folder")?);
    if to.exists() {
        std::fs::remove_dir_all(to).context("remove an earlier copy")?;
    }
    let (from, to_text) = (from.to_string_lossy().into_owned(), to.to_string_lossy().into_owned());
    git(above, &["clone", "--quiet", &from, &to_text])?;
    git(to, &["checkout", "--quiet", app.commit])?;
    tandem_kit::files::write_atomic_unsynced(&to.join("tandem.toml"), app.file.as_bytes(), 0o644)?;
    Ok(())
}

fn start(plan: &Plan, record: &Record, bench: &BenchFolder) -> anyhow::Result<Installation> {
    let binary = plan.binary.canonicalize().context("find the binary")?;
    let setting = Setting { parent: Some(bench.scratch()), ..Setting::of(binary) };
    let mut installation = Installation::prepare(setting);
    record.add_installation(installation.traces())?;
    installation.take_tools();
    if let Some(tools) = &plan.tools {
        let into = installation.data().tools();
        tandem_kit::files::ensure_dir(&into, 0o700)?;
        let from = tools.canonicalize().context("find the tools")?.join(".");
        let _ = Program::new("cp").arguments(["-a"]).arguments([&from, &into]).run().expect_success();
    }
    installation.start_again();
    Ok(installation)
}

/// One more line at the end of a file of the app's.
fn change(app: &App, source: &Path, number: usize) -> anyhow::Result<()> {
    let path = source.join(app.changed);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let sign = if app.changed.ends_with(".py") { "#" } else { "//" };
    tandem_kit::files::write_atomic_unsynced(&path, format!("{text}\n{sign} {number}\n").as_bytes(), 0o644)?;
    Ok(())
}

fn steps(installation: &Installation, app: &App, told: &Value) -> anyhow::Result<Steps> {
    let all = installation.tandem(["rollout", "list", "--app", app.name, "--json"]).expect_success().json();
    let rollout = all.as_array().into_iter().flatten().find(|rollout| rollout["number"] == told["rollout"]);
    let rollout = rollout.context("the rollout is listed")?;
    let moment = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let of = |state: &str| {
        let steps = rollout["steps"].as_array().into_iter().flatten().filter(|step| step["state"] == state);
        let lengths = steps.filter_map(|step| {
            Some(moment(&step["finished"])?.duration_since(moment(&step["started"])?).as_secs_f64())
        });
        lengths.sum::<f64>()
    };
    let whole = told["duration_ms"].as_f64().context("its length is told")? / 1e3;
    let (build, staging, release, boot) = (of("building"), of("staging"), of("releasing"), of("starting"));
    Ok(Steps { build, staging, release, boot, whole })
}

/// What runs, and what it is made of.
fn look(installation: &Installation, app: &App, measured: &mut Measured) -> anyhow::Result<()> {
    let lines = installation.tandem(["ps", "--app", app.name, "--json"]).expect_success().json();
    let lines = lines.as_array().context("a list")?.iter().filter(|line| line["role"] != "warm");
    measured.processes = lines.filter_map(|line| line["name"].as_str()).map(str::to_owned).collect();
    measured.processes.sort();
    measured.processes.dedup();
    let releases = installation.tandem(["releases", "--app", app.name, "--json"]).expect_success().json();
    let newest = releases[0]["release"]["number"].as_str().context("it has a number")?.to_owned();
    let release = installation
        .tandem(["release", "show", &newest, "--app", app.name, "--json"])
        .expect_success()
        .json();
    let build = &release["build"];
    for part in build["subtrees"].as_array().context("a build has parts")? {
        let (bytes, files) =
            (part["bytes"].as_u64().unwrap_or_default(), part["files"].as_u64().unwrap_or_default());
        measured.bytes += bytes;
        measured.files += files;
        measured.static_files += if part["name"] == "static" { files } else { 0 };
    }
    measured.packages = build["packages"]
        .as_object()
        .map_or_else(|| build["packages"].as_array().map_or(0, Vec::len), serde_json::Map::len);
    let site = installation.site(&format!("{}.localhost", app.name));
    let answer = site.ask(Question::get(app.page))?;
    ensure!(answer.status.as_u16() < 400, "{} answers {}", app.page, answer.status);
    Ok(())
}
