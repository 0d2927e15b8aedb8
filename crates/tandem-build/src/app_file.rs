//! `tandem.toml`: what people say about their app.
//!
//! Everything in it is optional. It is read twice: by the client, for the app's name and the ignored files to bring
//! along, and by the builder, which joins it with the Procfile and with what it detects. A mistake is told with its
//! line, its column and what was probably meant; nothing unknown is ever skipped in silence.

mod bytes;
mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use tandem_types::{AppName, ProcessType, Span};

pub use bytes::Bytes;
pub use error::Error;

/// The file's name.
pub const NAME: &str = "tandem.toml";

/// The content of a `tandem.toml`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppFile {
    /// Name of the app; absent: the folder's.
    pub app: Option<AppName>,
    /// Exact host names that lead to it.
    #[serde(default)]
    pub domains: Vec<String>,
    /// `[processes.TYPE]`; wins over the Procfile's line of the same type, setting by setting.
    #[serde(default)]
    pub processes: BTreeMap<ProcessType, ProcessSection>,
    /// `[release]`.
    #[serde(default)]
    pub release: Option<ReleaseSection>,
    /// `[static]`: URL prefix → folder below the app's.
    #[serde(default, rename = "static")]
    pub static_folders: BTreeMap<String, String>,
    /// `[volumes]`: name → absolute path in the instance.
    #[serde(default)]
    pub volumes: BTreeMap<String, String>,
    /// `[source]`.
    #[serde(default)]
    pub source: SourceSection,
}

/// `[processes.TYPE]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSection {
    /// Shell command.
    pub command: Option<String>,
    /// Path that is probed; only for `web`.
    pub health: Option<String>,
    /// Instances at the first deploy.
    pub instances: Option<u32>,
    /// Memory limit, such as `512MiB`.
    pub memory: Option<Bytes>,
    /// CPU limit in cores, such as `1.5`.
    pub cpus: Option<f64>,
    /// Time between the stop signal and the end.
    pub stop_timeout: Option<Span>,
    /// Never two at a time.
    pub singleton: Option<bool>,
}

/// `[release]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSection {
    /// Shell command; absent: the Procfile's `release` or the detected one. Empty: none at all.
    pub command: Option<String>,
    /// Its time budget.
    pub timeout: Option<Span>,
}

/// `[source]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSection {
    /// Patterns as in `.gitignore` of ignored files that the app needs all the same.
    #[serde(default)]
    pub include: Vec<String>,
}

/// Reads the `tandem.toml` of a folder; none where there is no such file.
///
/// # Errors
/// Fails when the file cannot be read or understood.
pub fn read(folder: &Path) -> Result<Option<AppFile>, Error> {
    let path = folder.join(NAME);
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text).map(Some),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::Read { path, cause }),
    }
}

/// Reads the text of a `tandem.toml`.
///
/// # Errors
/// Fails where TOML, a key or a value is not understood, with the place.
pub fn parse(text: &str) -> Result<AppFile, Error> {
    let file: AppFile = toml::from_str(text).map_err(|cause| Error::from_toml(text, &cause))?;
    check(&file).map_err(|(needle, message, hint)| Error::at_text(text, &needle, message, hint))?;
    Ok(file)
}

/// What is wrong with a value: the text to point at, the message, the hint.
type Complaint = (String, String, String);

fn check(file: &AppFile) -> Result<(), Complaint> {
    for domain in &file.domains {
        check_domain(domain)?;
    }
    for (process, section) in &file.processes {
        check_process(process, section)?;
    }
    for (prefix, folder) in &file.static_folders {
        check_static(prefix, folder)?;
    }
    for (name, path) in &file.volumes {
        check_volume(name, path)?;
    }
    Ok(())
}

fn check_domain(domain: &str) -> Result<(), Complaint> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if domain.len() <= 253 && domain.split('.').all(label) {
        return Ok(());
    }
    let hint =
        "write an exact host name in lower case without scheme, port or path, such as shop.example.com";
    Err((domain.to_owned(), format!("{domain:?} is not a host name"), hint.to_owned()))
}

fn check_process(process: &ProcessType, section: &ProcessSection) -> Result<(), Complaint> {
    let place = || format!("processes.{process}");
    if let Some(health) = section.health.as_ref().filter(|health| !health.starts_with('/')) {
        let message = format!("health of {process} is {health:?}, which is not a path");
        return Err((health.clone(), message, format!("write health = \"/{health}\"")));
    }
    if section.health.is_some() && !process.is_web() {
        let message = format!("health is set for {process}, but only web gets a port and is probed");
        return Err((place(), message, "remove it, or call the process web".to_owned()));
    }
    if section.cpus.is_some_and(|cpus| !(cpus.is_finite() && cpus > 0.0)) {
        let message = format!("cpus of {process} is not a positive number");
        return Err((place(), message, "write a number of cores, such as cpus = 1.5".to_owned()));
    }
    let singleton = section.singleton.unwrap_or(process.as_str() == "clock");
    if singleton && section.instances.is_some_and(|instances| instances > 1) {
        let message =
            format!("{process} is a singleton and has {} instances", section.instances.unwrap_or(0));
        return Err((place(), message, "write instances = 1, or singleton = false".to_owned()));
    }
    Ok(())
}

fn check_static(prefix: &str, folder: &str) -> Result<(), Complaint> {
    if !(prefix.starts_with('/') && prefix.ends_with('/')) {
        let fixed = format!("/{}/", prefix.trim_matches('/'));
        let message = format!("static prefix {prefix:?} does not begin and end with a slash");
        return Err((prefix.to_owned(), message, format!("write \"{fixed}\" = \"{folder}\"")));
    }
    if folder.is_empty()
        || folder.starts_with('/')
        || folder.split('/').any(|part| part == ".." || part == ".")
    {
        let message = format!("static folder {folder:?} is not a plain path below the app's folder");
        return Err((
            folder.to_owned(),
            message,
            "name the folder that collectstatic writes, such as staticfiles".into(),
        ));
    }
    Ok(())
}

/// Folders of the instance in which a volume would hide what Tandem puts there.
const TAKEN: [&str; 12] =
    ["/app", "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr"];

fn check_volume(name: &str, path: &str) -> Result<(), Complaint> {
    if name.parse::<ProcessType>().is_err() {
        let message = format!("volume name {name:?} is not a name");
        return Err((
            name.to_owned(),
            message,
            "use lower-case letters, digits and hyphens, a letter first".into(),
        ));
    }
    let plain = path.len() > 1 && path.starts_with('/') && !path.ends_with('/');
    let parts_are_plain = path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
    if !plain || !parts_are_plain {
        let message = format!("volume {name} is at {path:?}, which is not an absolute path");
        return Err((path.to_owned(), message, format!("write {name} = \"/{name}\"")));
    }
    let top = format!("/{}", path.split('/').nth(1).unwrap_or_default());
    if TAKEN.contains(&top.as_str()) && top != "/app" || path == "/app" {
        let message = format!("volume {name} is at {path:?}, where Tandem mounts its own");
        return Err((path.to_owned(), message, format!("write {name} = \"/{name}\"")));
    }
    Ok(())
}
