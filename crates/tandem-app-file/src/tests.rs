//! What people write, and what they mistype.

use tandem_types::app::ProcessSpec;
use tandem_types::{Health, defaults};

use super::*;

const WHOLE: &str = r#"
app = "guestbook"
root = "backend"
domains = ["guestbook.localhost", "*.example.org"]

[processes.web]
command = "gunicorn guestbook.wsgi --bind 127.0.0.1:$PORT"
health = "/healthz"
instances = 2
memory = "512MiB"
cpus = 1.5

[processes.worker]
command = "celery -A guestbook worker"
stop_timeout = "120s"
stop_signal = "SIGINT"

[build]
python = "3.12"
requirements = "requirements/prod.txt"
node = ">=20.9"
extras = ["s3"]
groups = ["prod"]
commands = ["npm run build", "make messages"]
after_collectstatic = ["python manage.py compress"]
settings = "shop.settings.production"

[release]
command = "python manage.py migrate --noinput"
timeout = "15m"

[static]
"/static/" = "staticfiles"

[volumes]
data = "/data"

[source]
include = ["dist/"]
"#;

#[test]
fn everything_that_the_design_shows_is_read() {
    let file = parse(WHOLE).unwrap();
    assert_eq!(file.app.unwrap().as_str(), "guestbook");
    assert_eq!(file.domains, ["guestbook.localhost", "*.example.org"]);
    let web = &file.processes[&ProcessType::web()];
    assert_eq!(web.health.path.as_deref(), Some("/healthz"));
    assert_eq!(file.root.as_deref(), Some("backend"));
    assert_eq!((web.instances, web.memory_bytes, web.cpus), (Some(2), Some(512 << 20), Some(1.5)));
    let worker = &file.processes[&"worker".parse().unwrap()];
    assert_eq!(
        (worker.stop_timeout, worker.stop_signal),
        (Some(Span::seconds(120)), Some(StopSignal::Interrupt))
    );
    let BuildEntry { python, requirements, node, extras, groups, commands, after_collectstatic, settings } =
        file.build;
    assert_eq!(requirements.as_deref(), Some("requirements/prod.txt"));
    assert_eq!(settings.as_deref(), Some("shop.settings.production"));
    assert_eq!((python.as_deref(), node.as_deref()), (Some("3.12"), Some(">=20.9")));
    assert_eq!((extras, groups), (vec!["s3".to_owned()], vec!["prod".to_owned()]));
    assert_eq!(commands, ["npm run build", "make messages"]);
    assert_eq!(after_collectstatic, ["python manage.py compress"]);
    assert_eq!(file.release.timeout, Some(Span::minutes(15)));
    assert_eq!(file.static_folders.unwrap()["/static/"], "staticfiles");
    assert_eq!(file.volumes["data"], "/data");
    assert_eq!(file.source.include, ["dist/"]);
    assert_eq!(parse("").unwrap(), AppFile::default());
}

#[test]
fn a_probe_is_a_path_or_a_table() {
    let read = |text: &str| {
        let text = format!("[processes.web]\nhealth = {text}");
        parse(&text).unwrap().processes.remove(&ProcessType::web()).unwrap().health
    };
    assert_eq!(read("\"/up\""), HealthEntry { path: Some("/up".to_owned()), ..HealthEntry::default() });
    let whole = read("{ path = \"/up\", host = \"a.example\", https = true, status = \"200-299,401\" }");
    let HealthEntry { path, host, https, statuses } = whole;
    assert_eq!((path.as_deref(), host.as_deref(), https), (Some("/up"), Some("a.example"), Some(true)));
    assert_eq!(statuses.unwrap().to_string(), "200-299,401");
    assert_eq!(read("{ status = 200 }").statuses.unwrap().to_string(), "200");
}

#[test]
fn the_documentation_shows_every_key_and_its_default() {
    let page = include_str!("../../../docs/app.md");
    let example = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    // Taken apart field by field: a new key does not compile until somebody has thought of the page.
    let AppFile {
        app,
        root,
        domains,
        processes,
        release,
        build,
        limits,
        static_folders,
        volumes,
        source,
        https,
    } = parse(example).unwrap();
    let Limits { hold, requests, connections, head_bytes, body_bytes, client_timeout, answer_timeout } =
        limits;
    assert_eq!((hold, head_bytes), (Some(defaults::HOLD), Some(64 << 10)));
    assert_eq!(client_timeout, Some(defaults::CLIENT_TIMEOUT));
    assert_eq!(answer_timeout, Some(defaults::ANSWER_TIMEOUT));
    assert!(requests.is_some() && connections.is_some() && body_bytes.is_some());
    let BuildEntry { python, requirements, node, extras, groups, commands, after_collectstatic, settings } =
        build;
    assert!(requirements.is_some());
    assert!(root.is_some() && python.is_some() && node.is_some() && !extras.is_empty() && !groups.is_empty());
    assert!(!commands.is_empty() && !after_collectstatic.is_empty() && settings.is_some());
    let SourceEntry { include } = source;
    let HttpsSpec { redirect, hsts } = https.unwrap();
    assert_eq!((redirect, hsts), (true, Some("365d".parse().unwrap())));
    assert!(app.is_some() && static_folders.is_some());
    assert!(!domains.is_empty() && !volumes.is_empty() && !include.is_empty());

    let web = ProcessType::web();
    let ProcessEntry { command, health, instances, memory_bytes, cpus, stop_timeout, stop_signal } =
        processes[&web].clone();
    let HealthEntry { path, host, https, statuses } = health;
    let default = ProcessSpec::new(&web, command.unwrap());
    let Health { path: usual, host: None, https: plain, statuses: good } = default.health else {
        unreachable!()
    };
    assert_eq!((path, https, statuses), (Some(usual), Some(plain), Some(good)));
    assert_eq!(
        (host.is_some(), instances, stop_signal),
        (true, Some(default.instances), Some(default.stop_signal))
    );
    assert_eq!((memory_bytes, stop_timeout), (Some(default.memory_bytes), Some(default.stop_timeout)));
    assert!(cpus.is_some() && default.cpus.is_none());
    let ReleaseEntry { command, timeout } = release;
    assert_eq!((command.is_some(), timeout), (true, Some(defaults::RELEASE_TIMEOUT)));
}

#[test]
fn mistakes_are_told_with_line_column_and_what_was_meant() {
    for (text, line, column, message, hint) in [
        (
            "app = \"a\"\n\n[proceses.web]\n",
            3,
            2,
            "unknown key `proceses` in tandem.toml",
            "did you mean `processes`?",
        ),
        (
            "[processes.web]\ncomand = \"x\"",
            2,
            1,
            "unknown key `comand` in [processes.web]",
            "did you mean `command`?",
        ),
        (
            "[processes.web]\nhelth = \"/\"",
            2,
            1,
            "unknown key `helth` in [processes.web]",
            "did you mean `health`?",
        ),
        ("[processes.web]\nstop-timeout = \"1s\"", 2, 1, "unknown key `stop-timeout`", "`stop_timeout`?"),
        ("[processes.web]\nmemory_limit = \"1GiB\"", 2, 1, "unknown key", "did you mean `memory`?"),
        ("[release]\nxyz = 1", 2, 1, "unknown key `xyz` in [release]", "known here: command, timeout"),
        ("[cron.clean]\nschedule = \"0 3 * * *\"", 1, 2, "unknown key `cron`", "[processes.clock]"),
        ("[env]\nA = \"1\"", 1, 2, "unknown key `env`", "tandem config set"),
        ("[build]\ncomands = []", 2, 1, "unknown key `comands` in [build]", "`commands`?"),
        ("[build]\npython = \"3.12; rm\"", 2, 10, "is not a version", "3.12"),
        ("[build]\nextras = [\"-x\"]", 2, 11, "is not a name", "letters"),
        ("root = \"../x\"", 1, 8, "is not such a folder", "backend"),
        ("[web]\ncommand = \"x\"", 1, 2, "unknown key `web`", "[processes.web]"),
    ] {
        is_told(text, (line, column), message, hint);
    }
}

#[test]
fn values_that_cannot_be_are_told_where_they_are() {
    for (text, line, column, message, hint) in [
        ("app = \"My App\"", 1, 7, "is not an app name", ""),
        ("app = 3", 1, 7, "`app` is a value of type integer; expected a text in quotes", ""),
        ("domains = \"a.example\"", 1, 11, "expected a list of texts", ""),
        ("domains = [\"*\"]", 1, 12, "is not a host name", "\"*.example.org\" covers every name below"),
        ("domains = [\"a.*.org\"]", 1, 12, "is not a host name", "without scheme, port or path"),
        ("domains = [\"münchen.de\"]", 1, 12, "is not a host name", "as browsers send it"),
        ("domains = [\"a.b\", \"a.b\"]", 1, 19, "is there twice", ""),
        ("[processes.web]\ninstances = \"2\"", 2, 13, "expected a whole number", ""),
        ("[processes.web]\ninstances = -1", 2, 13, "expected a whole number", ""),
        ("[processes.clock]\ninstances = 2", 2, 13, "never more than one `clock`", ""),
        ("[processes.worker]\nhealth = \"/\"", 2, 10, "only `web` is probed", ""),
        ("[processes.web]\nhealth = { staus = 200 }", 2, 12, "unknown key `staus`", "`status`?"),
        ("[processes.web]\nhealth = { host = \"*.a.org\" }", 2, 19, "is not a host name", "port or `*`"),
        ("[processes.web]\nstop_signal = \"SIGKILL\"", 2, 15, "is not a signal to end with", ""),
        ("[processes.web]\nhealth = \"healthz\"", 2, 10, "is not a path of a URL", "/healthz"),
        ("[processes.web]\nmemory = \"512\"", 2, 10, "is not a size", "512MiB"),
        ("[processes.web]\nmemory = \"1MiB\"", 2, 10, "not enough for any process", ""),
        ("[processes.web]\ncpus = 0", 2, 8, "is not a number of cores", ""),
        ("[processes.web]\nstop_timeout = 30", 2, 16, "expected a text in quotes", ""),
        ("[processes.web]\nstop_timeout = \"30\"", 2, 16, "is not a length of time", ""),
        ("[limits]\nhold = \"2m\"", 2, 8, "`hold` cannot be 2m", "to \"1m\""),
        ("[limits]\nrequests = 0", 2, 12, "no request could ever", "tandem pause"),
        ("[limits]\nholds = \"5s\"", 2, 1, "unknown key `holds` in [limits]", "`hold`?"),
        ("[processes.release]\ncommand = \"x\"", 1, 12, "`release` is no process", ""),
        ("[build]\nafter_collectstatic = [1]", 2, 24, "`after_collectstatic` is a value", ""),
        ("[static]\n\"static\" = \"x\"", 2, 1, "begin and end with a slash", "\"/static/\""),
        ("[static]\n\"/static/\" = \".\"", 2, 14, "is not such a folder", ""),
        ("[volumes]\ndata = \"/etc\"", 2, 8, "no volume can be at", "/data"),
        ("[volumes]\na = \"/data\"\nb = \"/data/x\"", 3, 5, "hide each other", ""),
        ("[processes.web]\ncommand = \"\"", 2, 11, "`command` is empty", ""),
        ("[processes.web]\ncommand = \"a\\u0000b\"", 2, 11, "`command` holds a NUL", ""),
        ("[static]\n\"/a b/\" = \"x\"", 2, 1, "is not a path of a URL", "%20"),
    ] {
        is_told(text, (line, column), message, hint);
    }
}

fn is_told(text: &str, place: (usize, usize), message: &str, hint: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!((error.line, error.column), place, "{text:?}: {error}");
    assert!(error.message.contains(message), "{text:?}: {error}");
    assert!(error.hint.contains(hint), "{text:?}: {:?}", error.hint);
}

#[test]
fn malformed_toml_is_shown_where_it_breaks() {
    for (text, line) in
        [("app = \"a\"\n[processes.web\n", 2), ("a = = 1", 1), ("app = \"x", 1), ("x = 1\nx = 2", 2)]
    {
        let error = parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(!error.message.contains('\n'), "{error}");
    }
    let mistake = parse("é = 1\n[processes.web]\nhelth = \"/\"").unwrap_err();
    assert_eq!((mistake.line, mistake.column), (1, 1));
    let problem = problem(&parse("[processes.web]\n  helth = \"/\"").unwrap_err());
    assert_eq!(problem.code, "app_file_invalid");
    assert_eq!(problem.title, "tandem.toml:2:3: unknown key `helth` in [processes.web]");
    assert_eq!(problem.detail, "2 |   helth = \"/\"\n  |   ^");
    assert_eq!(problem.hint, "did you mean `health`?");
}

#[test]
fn a_folder_without_an_app_file_has_none() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read(folder.path()).unwrap(), None);
    tandem_kit::files::write_atomic(&folder.path().join(APP_FILE), b"app = \"x\"", 0o644).unwrap();
    assert_eq!(read(folder.path()).unwrap().unwrap().app.unwrap().as_str(), "x");
    tandem_kit::files::write_atomic(&folder.path().join(APP_FILE), b"\xFF", 0o644).unwrap();
    assert!(read(folder.path()).unwrap_err().message.contains("cannot be read"));
}
