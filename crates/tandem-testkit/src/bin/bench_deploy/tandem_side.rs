//! The guestbook on Tandem, with what it costs.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::unistd::Pid;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::{Installation, Setting};
use tandem_testkit::leftovers::Process;
use tandem_testkit::program::Program;

use crate::Plan;
use crate::disk::Survey;
use crate::ground::Ground;
use crate::measure::{children_seconds, own_children_seconds, seconds_by_process, used};
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::relay::Relay;

/// Host name of the guestbook.
pub(crate) const HOST: &str = "guestbook.localhost";
/// Entries on the page, so that it is as large as a real one.
const ENTRIES: usize = 10;

/// An installation with the guestbook on it.
#[derive(Debug)]
pub(crate) struct TandemSide {
    /// None once it has been finished.
    installation: Option<Installation>,
    binary: PathBuf,
    pub(crate) folder: AppFolder,
}

/// CPU clocks at one moment.
#[derive(Debug)]
pub(crate) struct Look {
    tandem: BTreeMap<i32, f64>,
    build: f64,
    client: f64,
    group: Option<f64>,
}

/// CPU seconds of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Server, runner, balancer, shims and the command that was typed.
    pub(crate) own: f64,
    /// Children of the build: uv, the byte compiler, `collectstatic`.
    pub(crate) build: f64,
    /// The rest: boots of the new instances, smoke check, release phase.
    pub(crate) rest: Option<f64>,
}

impl TandemSide {
    /// Starts, deploys once and fills the page.
    pub(crate) fn start(plan: &Plan, ground: &Ground) -> anyhow::Result<Self> {
        say("starting Tandem, first deploy");
        let binary = plan.binary.canonicalize().context("find the binary")?;
        let setting = Setting {
            binary: binary.clone(),
            parent: Some(ground.folder().to_owned()),
            group: ground.group_members(),
            user: None,
        };
        let mut installation = Installation::prepare(setting);
        ground.record().add_installation(installation.traces())?;
        installation.start_again();
        let folder = AppFolder::guestbook_in(ground.scratch());
        installation.deploy(folder.path());
        let site = installation.site(HOST);
        let token = site.form_token();
        for number in 0..ENTRIES {
            let _ = site.sign(&token, &format!("Visitor+{number}"), "It+was+a+pleasure+to+be+here.");
        }
        Ok(Self { installation: Some(installation), binary, folder })
    }

    /// What it runs on.
    pub(crate) fn installation(&self) -> &Installation {
        self.installation.as_ref().expect("only finishing takes it")
    }

    /// Types `tandem down` and proves that nothing is left.
    pub(crate) fn finish(mut self) {
        self.installation.take().expect("only finishing takes it").finish();
    }

    /// A visitor of the guestbook.
    pub(crate) fn poller(&self) -> Poller {
        Poller::start(self.installation().ready().http, HOST)
    }

    /// Types `tandem deploy`.
    pub(crate) fn deploy(&self) {
        let _ = self.installation().deploy(self.folder.path());
    }

    /// Types `tandem rollback RELEASE`.
    pub(crate) fn roll_back_to(&self, release: &str) {
        let _ = self.installation().tandem(["rollback", release, "--json"]).expect_success();
    }

    /// Bytes of a deploy's whole conversation with the server, both ways, by a relay before the API.
    pub(crate) fn deploy_over(&self, relay: &Relay, token: &str, ground: &Ground) -> anyhow::Result<u64> {
        let before = relay.bytes();
        let server = format!("http://{}", relay.address());
        let folder = self.folder.path().to_str().context("the temporary folder has a plain path")?;
        let program = Program::new(&self.binary).arguments(["deploy", folder, "--server", &server, "--json"]);
        // It would remember the source in somebody's home; a change of one line is sent all the same.
        let program = program.set(tandem_kit::env::XDG_CACHE_HOME, self.client_cache());
        let program = program.set(tandem_kit::env::TANDEM_TOKEN, token);
        let _ = ground.record().run("a deploy over the relay", program)?.expect_success();
        Ok(relay.bytes() - before)
    }

    /// A token for the API over TCP.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        let created =
            self.installation().tandem(["token", "create", "bench", "--json"]).expect_success().json();
        Ok(created["token"].as_str().context("the token is shown once")?.to_owned())
    }

    /// The uv that Tandem installed for itself, for the script.
    pub(crate) fn uv(&self) -> anyhow::Result<PathBuf> {
        let tools = self.installation().data().tools();
        let found = Program::new("find").arguments([&tools]).arguments(["-name", "uv", "-type", "f"]).run();
        let path = found.stdout.lines().next().context("Tandem has a uv of its own after a Python build")?;
        Ok(PathBuf::from(path))
    }

    /// Reads all clocks.
    pub(crate) fn look(&self, ground: &Ground) -> Look {
        let tandem = self.tandem_processes();
        let build = self.role("up").and_then(children_seconds).unwrap_or_default();
        Look {
            tandem: seconds_by_process(&tandem),
            build,
            client: own_children_seconds(),
            group: ground.group_seconds(),
        }
    }

    /// Bytes on disk of everything that belongs to it, by folder.
    pub(crate) fn survey(&self) -> Survey {
        Survey::of(self.home())
    }

    fn home(&self) -> &Path {
        self.installation().data().root().parent().expect("the data folder lies in the installation's")
    }

    fn client_cache(&self) -> PathBuf {
        self.home().join("client")
    }

    /// Bytes of the store's write-ahead log on disk: it grows to some megabytes and is written over from then on.
    pub(crate) fn log_bytes(&self) -> u64 {
        let mut path = self.installation().data().database().into_os_string();
        path.push("-wal");
        std::fs::metadata(path).map(|metadata| metadata.blocks() * 512).unwrap_or_default()
    }

    /// Process id of a role.
    pub(crate) fn role(&self, role: &str) -> Option<Pid> {
        let found = self.tandem_processes().into_iter().find(|process| word(process, 1) == role);
        found.map(|process| process.id)
    }

    /// Process ids of all shims.
    pub(crate) fn shims(&self) -> Vec<Pid> {
        let processes = self.tandem_processes().into_iter();
        processes.filter(|process| word(process, 1) == "shim").map(|process| process.id).collect()
    }

    fn tandem_processes(&self) -> Vec<Process> {
        let processes = self.installation().traces().processes().into_iter();
        // By the file they run, since a shim is called by another name than what a person types.
        let file = |process: &Process| std::fs::read_link(format!("/proc/{}/exe", process.id)).ok();
        processes.filter(|process| file(process).as_ref() == Some(&self.binary)).collect()
    }
}

impl Drop for TandemSide {
    fn drop(&mut self) {
        // Something has failed and says so itself.
        if let Some(installation) = self.installation.take() {
            installation.abandon();
        }
    }
}

impl Look {
    /// What was used until a later look.
    pub(crate) fn until(&self, later: &Look) -> Cost {
        let tandem = used(&self.tandem, &later.tandem);
        let build = later.build - self.build;
        let group = self.group.zip(later.group).map(|(before, after)| after - before);
        Cost {
            own: tandem + later.client - self.client,
            build,
            rest: group.map(|all| (all - tandem - build).max(0.0)),
        }
    }
}

fn word(process: &Process, number: usize) -> &str {
    process.words.split(' ').nth(number).unwrap_or_default()
}
