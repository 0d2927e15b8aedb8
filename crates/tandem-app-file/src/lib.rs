//! `tandem.toml` and the Procfile: what people say about their app.
//!
//! Everything in them is optional, so a key that is not known is a mistake and never ignored. Mistakes are told with
//! line and column and, where one is near, the key that was meant. What is not said is detected by whoever builds.

use std::collections::BTreeMap;
use std::path::Path;

use tandem_types::https::HttpsSpec;
use tandem_types::problem::Problem;
use tandem_types::{AppName, Limits, ProcessType, Span, StopSignal};

mod procfile;
mod sections;
#[cfg(test)]
mod tests;
mod values;

pub use procfile::{Procfile, parse_procfile};
pub use tandem_toml::{HealthEntry, Mistake};
pub use values::is_module;

/// Name of the app file.
pub const APP_FILE: &str = "tandem.toml";
/// Name of the Procfile.
pub const PROCFILE: &str = "Procfile";

/// `tandem.toml` as it was written, checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AppFile {
    /// The app's name.
    pub app: Option<AppName>,
    /// Working folder, below the one of the file; none: that one, or what is detected.
    pub root: Option<String>,
    /// Host names in lower case; `*.example.org` for all below one.
    pub domains: Vec<String>,
    /// `[https]`; none where there is none.
    pub https: Option<HttpsSpec>,
    /// What is said of each process type.
    pub processes: BTreeMap<ProcessType, ProcessEntry>,
    /// `[release]`.
    pub release: ReleaseEntry,
    /// `[build]`.
    pub build: BuildEntry,
    /// `[limits]`.
    pub limits: Limits,
    /// URL prefix → folder; none where there is no `[static]`.
    pub static_folders: Option<BTreeMap<String, String>>,
    /// Volume name → absolute path, or one below the folder of the file.
    pub volumes: BTreeMap<String, String>,
    /// `[source]`.
    pub source: SourceEntry,
}

/// `[processes.NAME]`; what is none is as in the Procfile, detected, or the default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProcessEntry {
    /// Shell command.
    pub command: Option<String>,
    /// The health probe.
    pub health: HealthEntry,
    /// Instances at the first deploy.
    pub instances: Option<u32>,
    /// Memory limit in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU limit in cores.
    pub cpus: Option<f64>,
    /// Time between the stop signal and the end.
    pub stop_timeout: Option<Span>,
    /// What asks it to end.
    pub stop_signal: Option<StopSignal>,
}

/// `[build]`: what detection cannot know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildEntry {
    /// Version of Python: `3.12`, `3.12.4`, `>=3.11`.
    pub python: Option<String>,
    /// Django's settings module: `shop.settings.production`.
    pub settings: Option<String>,
    /// Requirements file, looked for in the working folder and then above it: `requirements/production.txt`.
    pub requirements: Option<String>,
    /// Version of Node: `20`, `>=20.9`, `22.x`.
    pub node: Option<String>,
    /// Extras of the project (PEP 621 `optional-dependencies`) to install.
    pub extras: Vec<String>,
    /// Dependency groups (PEP 735) to install.
    pub groups: Vec<String>,
    /// Shell commands, run in order before static files are collected.
    pub commands: Vec<String>,
    /// Shell commands, run in order once they are collected.
    pub after_collectstatic: Vec<String>,
}

/// `[release]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseEntry {
    /// Shell command; empty: no release phase, whatever is detected.
    pub command: Option<String>,
    /// Its time budget.
    pub timeout: Option<Span>,
}

/// `[source]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceEntry {
    /// Patterns that bring ignored files back.
    pub include: Vec<String>,
}

impl SourceEntry {
    /// The patterns, written in a folder below the top, as the top would have them.
    #[must_use]
    pub fn include_from(&self, folder: &str) -> Vec<String> {
        let folder = folder.trim_matches('/');
        if folder.is_empty() {
            return self.include.clone();
        }
        let moved = |pattern: &String| {
            let (not, pattern) = pattern.strip_prefix('!').map_or(("", pattern.as_str()), |rest| ("!", rest));
            let is_bound = pattern.trim_end_matches('/').contains('/');
            let anywhere = if is_bound { "" } else { "**/" };
            format!("{not}/{folder}/{anywhere}{}", pattern.trim_start_matches('/'))
        };
        self.include.iter().map(moved).collect()
    }
}

/// A mistake in one of the two files, as people get it.
#[must_use]
pub fn problem(mistake: &Mistake) -> Problem {
    mistake.to_problem("app_file_invalid")
}

/// Reads the text of a `tandem.toml`.
///
/// # Errors
/// The first mistake in it.
pub fn parse(text: &str) -> Result<AppFile, Mistake> {
    sections::parse(text)
}

/// Reads the `tandem.toml` of a folder; none where there is none.
///
/// # Errors
/// The first mistake in it, or that it cannot be read.
pub fn read(folder: &Path) -> Result<Option<AppFile>, Mistake> {
    let path = folder.join(APP_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Mistake::at((Path::new(APP_FILE), ""), 0, format!("it cannot be read: {error}"))),
    }
}
