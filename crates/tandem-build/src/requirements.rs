//! What a source says of its Python dependencies, read without installing them.
//!
//! Looked for in the working folder, then in each folder above it; the nearest counts, and of several in one folder the most
//! exact: a lock, then requirements, then a project.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::Digest;
use toml::Table;

use crate::Error;
use crate::source::{Found, Source, below, folders_up};

mod files;
mod foreign;
mod lock;
mod project;
#[cfg(test)]
mod tests;

pub(crate) use files::{repository, without_secret};
use project::Project;

/// File with what a project needs.
pub(crate) const PROJECT_FILE: &str = "pyproject.toml";
/// File with what is installed, to the last version.
pub(crate) const LOCK_FILE: &str = "uv.lock";
/// File of pip.
pub(crate) const REQUIREMENTS_FILE: &str = "requirements.txt";
/// Requirements that a warning names.
const NAMES_SHOWN: usize = 3;

/// What `tandem.toml` says of dependencies.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options<'a> {
    /// Working folder.
    pub(crate) folder: &'a str,
    /// Requirements file, where it is not to be found out.
    pub(crate) file: Option<&'a str>,
    /// Extras of the project.
    pub(crate) extras: &'a [String],
    /// Dependency groups.
    pub(crate) groups: &'a [String],
}

/// Where the dependencies are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    /// `uv.lock`, of the project in `pyproject.toml`.
    Lock,
    /// `requirements.txt`.
    Requirements,
    /// `pyproject.toml` without a lock file.
    Project,
}

/// The dependencies as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirements {
    pub(crate) declared: Declared,
    /// Folder below the top in which they are installed from.
    pub(crate) folder: String,
    /// The file that uv reads, below that folder.
    pub(crate) file: String,
    /// Extras of the project, in their normal form.
    pub(crate) extras: Vec<String>,
    /// Dependency groups, in their normal form.
    pub(crate) groups: Vec<String>,
    /// What they are named, as far as the files say.
    pub(crate) packages: Packages,
    /// Everything of the source that decides what gets installed: path → digest.
    pub(crate) inputs: BTreeMap<String, Digest>,
    /// The parts of `pyproject.toml` that decide what gets installed, as JSON.
    pub(crate) project: String,
    /// `requires-python` and the file that has it.
    pub(crate) requires_python: Option<(String, String)>,
    /// Requirements that another day may resolve otherwise.
    pub(crate) unpinned: Vec<String>,
    /// Folders given by path of which no file says the name, as they are written: `./libs/shop`.
    pub(crate) unnamed: Vec<String>,
    /// Repositories that packages come from.
    pub(crate) repositories: Vec<Repository>,
    /// What was taken for granted.
    pub(crate) notes: Vec<String>,
    /// What people should change.
    pub(crate) warnings: Vec<String>,
}

/// A git repository that a package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repository {
    /// As git is given it: without `git+`, revision and fragment; without a password or token as well.
    pub(crate) url: String,
    /// The file and, where it is known, the line: `requirements.txt:3`.
    pub(crate) by: String,
}

impl Repository {
    pub(crate) fn new(url: &str, by: String) -> Self {
        Self { url: without_secret(url), by }
    }
}

impl Requirements {
    /// Nothing is known yet but where they are declared.
    pub(crate) fn none(declared: Declared) -> Self {
        let file = match declared {
            Declared::Lock => LOCK_FILE,
            Declared::Requirements => REQUIREMENTS_FILE,
            Declared::Project => PROJECT_FILE,
        };
        Self {
            declared,
            folder: String::new(),
            file: file.to_owned(),
            extras: Vec::new(),
            groups: Vec::new(),
            packages: Packages::default(),
            inputs: BTreeMap::new(),
            project: String::new(),
            requires_python: None,
            unpinned: Vec::new(),
            unnamed: Vec::new(),
            repositories: Vec::new(),
            notes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// What people should know.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.iter().cloned().chain(self.not_pinned()).collect()
    }

    /// What people should know of requirements that are not pinned.
    fn not_pinned(&self) -> Option<String> {
        let count = self.unpinned.len();
        let shown = self.unpinned.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let (others, verb) = match count {
            0 => return None,
            1 => (String::new(), "is"),
            _ if count <= NAMES_SHOWN => (String::new(), "are"),
            _ => (format!(" and {} more", count - NAMES_SHOWN), "are"),
        };
        Some(format!(
            "{shown}{others} {verb} not pinned to a version: a build on another day may differ (a lock file helps: `uv lock`; \
             the build's record has the versions that were installed)"
        ))
    }
}

/// Names of packages in their normal form (PEP 503).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Packages(BTreeSet<String>);

impl Packages {
    /// Whether a package is among them; the name in its normal form.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    #[cfg(test)]
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn add(&mut self, requirement: &str) {
        let normal = name_of(requirement);
        if !normal.is_empty() {
            self.0.insert(normal);
        }
    }
}

/// The name at the beginning of a requirement, in its normal form.
fn name_of(requirement: &str) -> String {
    let requirement = requirement.trim_start();
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    normal(&requirement[..end.unwrap_or(requirement.len())])
}

/// The normal form of a package's, an extra's or a group's name (PEP 503, 685, 735).
pub(crate) fn normal(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

/// Reads what is declared; none where the source declares nothing.
///
/// # Errors
/// A file that cannot be understood, or a format that is not read.
pub(crate) fn read(source: &Source, options: &Options<'_>) -> Result<Option<Requirements>, Error> {
    if let Some(file) = options.file {
        let path = source.nearest(options.folder, file);
        let reason = || format!("[build] requirements names {file}, which is not part of the source");
        let path = path.ok_or_else(|| malformed(tandem_app_file::APP_FILE, reason()))?;
        let folder = path.strip_suffix(file).unwrap_or_default().trim_end_matches('/');
        refuse_names(options, file)?;
        return files::read(source, folder, file).map(Some);
    }
    for folder in folders_up(options.folder) {
        if let Some(mut found) = in_folder(source, folder, options)? {
            foreign::tell(source, options.folder, &mut found);
            return Ok(Some(found));
        }
    }
    folders_up(options.folder).try_for_each(|folder| foreign::refuse(source, folder))?;
    Ok(None)
}

fn in_folder(source: &Source, folder: &str, options: &Options<'_>) -> Result<Option<Requirements>, Error> {
    let project = Project::read(source, folder)?;
    let has_file = source.has(&below(folder, REQUIREMENTS_FILE));
    if let Some(project) = &project
        && let Some(path) = lock::path_for(source, project)?
    {
        let mut found = lock::read(source, project, &path, options)?;
        if has_file {
            let ignored = below(folder, REQUIREMENTS_FILE);
            found.notes.push(format!(
                "{path} and {ignored} are both here: what {path} says is installed, {ignored} is not read"
            ));
        }
        return Ok(Some(found));
    }
    if has_file {
        refuse_names(options, REQUIREMENTS_FILE)?;
        let mut found = files::read(source, folder, REQUIREMENTS_FILE)?;
        if let Some(project) = project {
            found.requires_python = project.requires_python();
            if project.has_dependencies() {
                found.notes.push(format!(
                    "{} and {} both name dependencies and there is no lock: the former are installed",
                    below(folder, REQUIREMENTS_FILE),
                    project.path
                ));
            }
        }
        return Ok(Some(found));
    }
    match project {
        Some(project) if project.is_package() && !project.is_poetrys() => {
            project.requirements(source, options).map(Some)
        }
        _ => Ok(None),
    }
}

/// Only projects have extras and groups.
fn refuse_names(options: &Options<'_>, file: &str) -> Result<(), Error> {
    let key = match (options.extras, options.groups) {
        ([], []) => return Ok(()),
        ([_, ..], _) => "extras",
        ([], _) => "groups",
    };
    Err(Error::NoProject { key, file: file.to_owned() })
}

/// Whether a requirement allows one version only.
fn is_pinned(requirement: &str) -> bool {
    let requirement = requirement.split([';', '#']).next().unwrap_or(requirement);
    requirement.contains("===")
        || requirement.contains(" @ ")
        || requirement.split_once("==").is_some_and(|(_, version)| !version.contains('*'))
}

/// A path below a folder, without detours.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Records what a file is, or everything below a folder; nothing where there is nothing: uv will say so.
fn add_input(source: &Source, path: &str, inputs: &mut BTreeMap<String, Digest>) {
    let path = join("", path);
    match source.resolve(&path) {
        Found::File(file) => drop(inputs.insert(path, file.digest)),
        Found::Folder(folder) => {
            let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            let below = source.files.iter().filter(|(file, _)| file.starts_with(&prefix));
            inputs.extend(below.map(|(file, entry)| (file.clone(), entry.digest)));
        }
        Found::Missing => {}
    }
}

fn malformed(path: &str, reason: String) -> Error {
    Error::Malformed { path: path.to_owned(), reason }
}

fn parse_toml(path: &str, text: &str) -> Result<Table, Error> {
    text.parse::<Table>().map_err(|error| {
        let line =
            error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count()) + 1;
        malformed(path, format!("line {line}: {}", error.message()))
    })
}

/// The line of a text, from 1, in which something stands first.
fn line_of(text: &str, needle: &str) -> Option<usize> {
    text.find(needle).map(|at| text[..at].matches('\n').count() + 1)
}
