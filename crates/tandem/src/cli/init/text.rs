//! The text of a new `tandem.toml`.
//!
//! What was found is written as comments: a build finds it again, also when it changes, and nobody has two places to keep
//! alike. Whoever wants it otherwise takes the sign away.

use std::fmt::Write as _;

use tandem_build::Detected;
use tandem_types::AppName;

const HEAD: &str = "\
# What Tandem should know of this app. A line behind a # says what holds without it, or is an
# example where that word is there: take the # away to have it so. All keys are in docs/app.md.
";
const DOMAINS: &str = "
# Host names under which it is served, for example; without any it has an address for trying it.
# domains = [\"www.example.org\"]
";
const VOLUMES: &str = "
# Folders that outlive releases: uploads, a SQLite database. Everything else is read-only.
# [volumes]
";
const SOURCE: &str = "
# For example, files that .gitignore names and the app needs all the same.
# [source]
# include = [\"dist/\"]
";
/// What is written into a file is read by people with narrow windows.
const INFALLIBLE: &str = "writing to a string cannot fail";

/// The whole file.
pub(super) fn of(app: &AppName, detected: &Detected) -> String {
    let mut text = format!("{HEAD}\napp = \"{app}\"\n{DOMAINS}");
    if !detected.work.is_empty() {
        let work = string(&detected.work);
        let about =
            "Folder in which commands start, as found. Without it a process below would move it to the top.";
        write!(text, "\n# {about}\nroot = {work}\n").expect(INFALLIBLE);
    }
    build(&mut text, detected);
    processes(&mut text, detected);
    release(&mut text, detected);
    volumes(&mut text, detected);
    statics(&mut text, detected);
    text + SOURCE
}

/// What the app would write into its own tree, as a suggestion; an example where nothing is known.
fn volumes(text: &mut String, detected: &Detected) {
    text.push_str(VOLUMES);
    let Detected { databases, media, .. } = detected;
    if !databases.is_empty() {
        let names = databases.join(", ");
        writeln!(text, "# # For {names}: have the settings point there.\n# data = \"/data\"")
            .expect(INFALLIBLE);
    }
    match media {
        Some(media) => {
            let path = string(&format!("/app/{media}"));
            writeln!(text, "# # Uploads, as the settings place them.\n# media = {path}").expect(INFALLIBLE);
        }
        None if databases.is_empty() => text.push_str("# # For example:\n# media = \"/app/media\"\n"),
        None => {}
    }
}

fn statics(text: &mut String, detected: &Detected) {
    if detected.static_folders.is_empty() {
        return;
    }
    text.push_str("\n# Folders whose files are served without asking the app.\n# [static]\n");
    for (prefix, folder) in &detected.static_folders {
        writeln!(text, "# {} = {}", string(prefix), string(folder)).expect(INFALLIBLE);
    }
}

fn build(text: &mut String, detected: &Detected) {
    let mut keys = Vec::new();
    if let Some(settings) = detected.spec.environment.get("DJANGO_SETTINGS_MODULE") {
        keys.push(("The settings module, as found.", format!("settings = {}", string(settings))));
    }
    if let Some(python) = &detected.python {
        keys.push(("The Python that is asked for.", format!("python = {}", string(python))));
    }
    if let Some(node) = &detected.node {
        keys.push(("The Node that is asked for.", format!("node = {}", string(node))));
    }
    if let Some(file) = &detected.requirements {
        keys.push(("What is installed.", format!("requirements = {}", string(file))));
    }
    keys.push((
        "For example, a command that no file tells of, run before static files are collected.",
        "commands = [\"npm run build\"]".to_owned(),
    ));
    text.push_str("\n# [build]\n");
    for (about, line) in keys {
        writeln!(text, "# # {about}\n# {line}").expect(INFALLIBLE);
    }
}

fn processes(text: &mut String, detected: &Detected) {
    let from = if detected.has_procfile { "The Procfile says" } else { "Found" };
    for (name, process) in &detected.spec.processes {
        writeln!(text, "\n# [processes.{name}]\n# # {from}:\n# command = {}", string(&process.command))
            .expect(INFALLIBLE);
        writeln!(text, "# instances = {}", process.instances).expect(INFALLIBLE);
        writeln!(text, "# memory = \"{}MiB\"", process.memory_bytes >> 20).expect(INFALLIBLE);
        if name.is_web() {
            writeln!(
                text,
                "# # Asked before it takes traffic, and from then on.\n# health = {}",
                string(&process.health.path)
            )
            .expect(INFALLIBLE);
        }
        writeln!(text, "# stop_timeout = \"{}\"", process.stop_timeout).expect(INFALLIBLE);
    }
}

fn release(text: &mut String, detected: &Detected) {
    let Some(release) = &detected.spec.release else {
        let example =
            "# # For example, what runs once before each release takes traffic.\n# command = \"./migrate\"";
        writeln!(text, "\n# [release]\n{example}").expect(INFALLIBLE);
        return;
    };
    let about = "# # Runs once before each release takes traffic; \"\" for none.";
    let (command, timeout) = (string(&release.command), release.timeout);
    writeln!(text, "\n# [release]\n{about}\n# command = {command}\n# timeout = \"{timeout}\"")
        .expect(INFALLIBLE);
}

/// A TOML string (https://toml.io/en/v1.0.0#string): literal where it can be, so that commands stay readable.
fn string(value: &str) -> String {
    let is_plain = !value.contains(['\'', '\n', '\r']) && !value.chars().any(char::is_control);
    match (is_plain, value.contains(['"', '\\'])) {
        (true, true) => format!("'{value}'"),
        _ => serde_json::to_string(value).expect("a text has a JSON form, which TOML reads as well"),
    }
}
