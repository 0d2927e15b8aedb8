//! The sections of `tandem.toml`, one function each.

use std::collections::BTreeMap;
use std::path::Path;

use tandem_kit::size::parse_bytes;
use tandem_toml::{Key, Mistake, Table, Text, Value, ensure_domain, health, https, limits};
use tandem_types::domain::is_domain;
use tandem_types::{ProcessType, defaults};

use super::values::{is_module, relative_folder, volume_path};
use super::{APP_FILE, AppFile, BuildEntry, HealthEntry, ProcessEntry, ReleaseEntry, SourceEntry};

const TOP: &[&str] = &[
    "app",
    "build",
    "domains",
    "https",
    "limits",
    "processes",
    "release",
    "root",
    "source",
    "static",
    "volumes",
];
const BUILD: &[&str] =
    &["after_collectstatic", "commands", "extras", "groups", "node", "python", "requirements", "settings"];
/// Where the limits stand, and what to do instead of letting no request through.
const LIMITS: (&str, &str) = ("in [limits]", "`tandem pause` closes an app for a while");
const PROCESS: &[&str] = &["command", "cpus", "health", "instances", "memory", "stop_signal", "stop_timeout"];
const RELEASE: &[&str] = &["command", "timeout"];
const SOURCE: &[&str] = &["include"];

pub(super) fn parse(text: &str) -> Result<AppFile, Mistake> {
    let text = Text { file: Path::new(APP_FILE), text };
    let mut file = AppFile::default();
    for (key, value) in &text.parse()? {
        match key.get_ref().as_ref() {
            "app" => file.app = Some(text.parsed(value, "app")?),
            "root" => file.root = Some(folder(text, value, "root")?),
            "build" => file.build = build(text, text.table(value, "build")?)?,
            "domains" => file.domains = domains(text, value)?,
            "limits" => file.limits = limits(text, text.table(value, "limits")?, LIMITS)?,
            "https" => file.https = Some(https(text, text.table(value, "https")?, "in [https]")?),
            "processes" => file.processes = processes(text, text.table(value, "processes")?)?,
            "release" => file.release = release(text, text.table(value, "release")?)?,
            "static" => file.static_folders = Some(static_folders(text, text.table(value, "static")?)?),
            "volumes" => file.volumes = volumes(text, text.table(value, "volumes")?)?,
            "source" => file.source = source(text, text.table(value, "source")?)?,
            _ => return Err(unknown_section(text, key)),
        }
    }
    Ok(file)
}

/// Keys that people bring along from elsewhere get a better answer than the nearest word.
fn unknown_section(text: Text<'_>, key: &Key<'_>) -> Mistake {
    let hint = match key.get_ref().as_ref() {
        "cron" => {
            "Tandem has no timetables yet; run a scheduler of the app as a process of its own, \
             of which there is never more than one: [processes.clock] command = \"…\""
        }
        "env" | "environment" | "config" | "secrets" => {
            "values are not part of the source: `tandem config set NAME=value`"
        }
        "domain" => "did you mean `domains = [\"…\"]`?",
        "web" | "worker" => {
            let name = key.get_ref();
            return text
                .at_key(key, format!("unknown key `{name}`"))
                .hint(format!("write [processes.{name}]"));
        }
        _ => return text.unknown(key, "in tandem.toml", TOP),
    };
    text.at_key(key, format!("unknown key `{}` in tandem.toml", key.get_ref())).hint(hint)
}

fn domains(text: Text<'_>, value: &Value<'_>) -> Result<Vec<String>, Mistake> {
    let mut domains = Vec::new();
    for (domain, value) in text.list(value, "domains")? {
        ensure_domain(text, value, domain, is_domain)?;
        if domains.iter().any(|known| known == domain) {
            return Err(text.at_value(value, format!("{domain:?} is there twice")));
        }
        domains.push(domain.to_owned());
    }
    Ok(domains)
}

/// A folder below the one that the file is in.
fn folder(text: Text<'_>, value: &Value<'_>, what: &str) -> Result<String, Mistake> {
    let folder = text.words(value, what)?;
    relative_folder(folder).ok_or_else(|| {
        let hint = "a folder below the one that tandem.toml is in, such as \"backend\"";
        text.at_value(value, format!("{folder:?} is not such a folder")).hint(hint)
    })
}

fn build(text: Text<'_>, table: &Table<'_>) -> Result<BuildEntry, Mistake> {
    let mut entry = BuildEntry::default();
    let commands = |value, what| -> Result<Vec<String>, Mistake> {
        Ok(text.list(value, what)?.into_iter().map(|(command, _)| command.trim().to_owned()).collect())
    };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "python" => entry.python = Some(version(text, value, "python")?),
            "node" => entry.node = Some(version(text, value, "node")?),
            "requirements" => entry.requirements = Some(requirements(text, value)?),
            "extras" => entry.extras = names(text, value, "extras")?,
            "groups" => entry.groups = names(text, value, "groups")?,
            "commands" => entry.commands = commands(value, "commands")?,
            "settings" => entry.settings = Some(settings(text, value)?),
            "after_collectstatic" => entry.after_collectstatic = commands(value, "after_collectstatic")?,
            _ => return Err(text.unknown(key, "in [build]", BUILD)),
        }
    }
    Ok(entry)
}

/// A dotted name: it becomes a variable, and part of what people are told.
fn settings(text: Text<'_>, value: &Value<'_>) -> Result<String, Mistake> {
    let module = text.words(value, "settings")?.trim();
    if is_module(module) {
        return Ok(module.to_owned());
    }
    let hint = "such as settings = \"shop.settings.production\"";
    Err(text.at_value(value, format!("{module:?} is not the name of a module")).hint(hint))
}

/// The path of a file.
fn requirements(text: Text<'_>, value: &Value<'_>) -> Result<String, Mistake> {
    let path = text.words(value, "requirements")?;
    let plain = |path: &String| !path.starts_with('-') && !path.contains(|c: char| c.is_control());
    relative_folder(path).filter(plain).ok_or_else(|| {
        let hint = "a file below the working folder, such as \"requirements/production.txt\"";
        text.at_value(value, format!("{path:?} is not such a file")).hint(hint)
    })
}

/// A version or a range of versions, as the ecosystem writes it; what it means is for those who look for one that fits.
fn version(text: Text<'_>, value: &Value<'_>, what: &str) -> Result<String, Mistake> {
    let version = text.words(value, what)?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || ".,<>=!~^*|- ".contains(c);
    if version.chars().all(plain) && version.contains(|c: char| c.is_ascii_digit()) {
        return Ok(version.to_owned());
    }
    Err(text
        .at_value(value, format!("{version:?} is not a version"))
        .hint(format!("such as {what} = \"3.12\"")))
}

/// Names of extras or groups (PEP 508): they become arguments of a command.
fn names(text: Text<'_>, value: &Value<'_>, what: &str) -> Result<Vec<String>, Mistake> {
    let mut names = Vec::new();
    for (name, value) in text.list(value, what)? {
        let ends = name.starts_with(char::is_alphanumeric) && name.ends_with(char::is_alphanumeric);
        if !ends || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            let message = format!("{name:?} is not a name");
            return Err(text.at_value(value, message).hint("letters, digits, `-`, `_` and `.`"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn processes(text: Text<'_>, table: &Table<'_>) -> Result<BTreeMap<ProcessType, ProcessEntry>, Mistake> {
    let mut processes = BTreeMap::new();
    for (key, value) in table {
        let name = process_type(key.get_ref()).map_err(|message| text.at_key(key, message))?;
        let entry = process(text, &name, text.table(value, key.get_ref())?)?;
        processes.insert(name, entry);
    }
    Ok(processes)
}

/// A process type that may be declared; `release` is a phase and `smoke` a job of Tandem's.
pub(super) fn process_type(name: &str) -> Result<ProcessType, String> {
    match name {
        "release" => Err("`release` is no process; write [release] command = \"…\"".to_owned()),
        "smoke" => Err("`smoke` is the name of Tandem's own check; choose another".to_owned()),
        _ => name.parse().map_err(|error: tandem_types::ids::ParseError| error.to_string()),
    }
}

fn process(text: Text<'_>, name: &ProcessType, table: &Table<'_>) -> Result<ProcessEntry, Mistake> {
    let mut entry = ProcessEntry::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "command" => entry.command = Some(text.words(value, "command")?.to_owned()),
            "health" => entry.health = process_health(text, name, value)?,
            "instances" => entry.instances = Some(instances(text, name, value)?),
            "memory" => entry.memory_bytes = Some(memory(text, value)?),
            "cpus" => entry.cpus = Some(cpus(text, value)?),
            "stop_timeout" => entry.stop_timeout = Some(text.parsed(value, "stop_timeout")?),
            "stop_signal" => entry.stop_signal = Some(text.parsed(value, "stop_signal")?),
            _ => return Err(text.unknown(key, &format!("in [processes.{name}]"), PROCESS)),
        }
    }
    Ok(entry)
}

fn process_health(text: Text<'_>, name: &ProcessType, value: &Value<'_>) -> Result<HealthEntry, Mistake> {
    if name.is_web() {
        return health(text, value, "in `health` of [processes.web]");
    }
    Err(text.at_value(value, format!("only `web` is probed, `{name}` has no port")))
}

fn instances(text: Text<'_>, name: &ProcessType, value: &Value<'_>) -> Result<u32, Mistake> {
    let number = text.number(value, "instances", defaults::MOST_INSTANCES)?;
    if name.as_str() == "clock" && number > 1 {
        let message = "there is never more than one `clock`";
        return Err(text
            .at_value(value, message)
            .hint("give processes of which there may be several another name"));
    }
    Ok(number)
}

fn memory(text: Text<'_>, value: &Value<'_>) -> Result<u64, Mistake> {
    const LEAST: u64 = 16 << 20;
    let size = text.string(value, "memory")?;
    match parse_bytes(size) {
        Some(bytes) if bytes >= LEAST => Ok(bytes),
        Some(_) => {
            Err(text.at_value(value, format!("{size:?} is not enough for any process; at least \"16MiB\"")))
        }
        None => Err(text
            .at_value(value, format!("{size:?} is not a size"))
            .hint("such as \"512MiB\" or \"2GiB\"")),
    }
}

fn cpus(text: Text<'_>, value: &Value<'_>) -> Result<f64, Mistake> {
    let cpus = text.float(value, "cpus")?;
    if (0.01..=1024.0).contains(&cpus) {
        return Ok(cpus);
    }
    Err(text.at_value(value, format!("{cpus} is not a number of cores; expected 0.01 to 1024")))
}

fn release(text: Text<'_>, table: &Table<'_>) -> Result<ReleaseEntry, Mistake> {
    let mut entry = ReleaseEntry::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "command" => entry.command = Some(text.string(value, "command")?.trim().to_owned()),
            "timeout" => entry.timeout = Some(text.parsed(value, "timeout")?),
            _ => return Err(text.unknown(key, "in [release]", RELEASE)),
        }
    }
    Ok(entry)
}

fn static_folders(text: Text<'_>, table: &Table<'_>) -> Result<BTreeMap<String, String>, Mistake> {
    let mut folders = BTreeMap::new();
    for (key, value) in table {
        let prefix = key.get_ref();
        if !prefix.starts_with('/') || !prefix.ends_with('/') {
            let hint = format!("write \"/{}/\"", prefix.trim_matches('/'));
            return Err(text
                .at_key(key, format!("{prefix:?} does not begin and end with a slash"))
                .hint(hint));
        }
        if !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            let hint = "as it stands in URLs: letters, digits and signs, everything else as %20";
            return Err(text.at_key(key, format!("{prefix:?} is not a path of a URL")).hint(hint));
        }
        folders.insert(prefix.to_string(), folder(text, value, prefix)?);
    }
    Ok(folders)
}

fn volumes(text: Text<'_>, table: &Table<'_>) -> Result<BTreeMap<String, String>, Mistake> {
    let mut volumes = BTreeMap::<String, String>::new();
    for (key, value) in table {
        let name: ProcessType = key.get_ref().parse().map_err(|_| {
            let message = format!("{:?} is not the name of a volume", key.get_ref());
            text.at_key(key, message).hint("lower-case letters, digits and hyphens, a letter first")
        })?;
        let path = text.words(value, name.as_str())?;
        let found = relative_folder(path).filter(|path| volume_path(&format!("/app/{path}")).is_some());
        let Some(path) = volume_path(path).or(found) else {
            let hint = "an absolute path that is not the system's, such as \"/data\", or a folder of the app";
            return Err(text.at_value(value, format!("no volume can be at {path:?}")).hint(hint));
        };
        let whole = |path: &str| {
            if path.starts_with('/') { format!("{path}/") } else { format!("/app/{path}/") }
        };
        let nested = |other: &String| {
            let (one, other) = (whole(&path), whole(other));
            one.starts_with(&other) || other.starts_with(&one)
        };
        if let Some(other) = volumes.values().find(|other| nested(other)) {
            return Err(
                text.at_value(value, format!("a volume at {path:?} and one at {other:?} hide each other"))
            );
        }
        volumes.insert(name.to_string(), path);
    }
    Ok(volumes)
}

fn source(text: Text<'_>, table: &Table<'_>) -> Result<SourceEntry, Mistake> {
    let mut entry = SourceEntry::default();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "include" => {
                let patterns = text.list(value, "include")?;
                entry.include = patterns.into_iter().map(|(pattern, _)| pattern.to_owned()).collect();
            }
            _ => return Err(text.unknown(key, "in [source]", SOURCE)),
        }
    }
    Ok(entry)
}
