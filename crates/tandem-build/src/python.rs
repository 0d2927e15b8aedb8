//! The Python that apps use: a real file of the system's, never a version manager's shim in somebody's home.
//!
//! Instances see `/usr` and nothing of any home folder, and the dependencies hold a link to exactly this file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tandem_sandbox::tool::Tool;
use tandem_types::Span;

use crate::Error;

/// Where interpreters are looked for; the first that has a version wins.
const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/local/bin"];
/// Prints what identifies the interpreter, in one line.
const IDENTIFY: &str = "import sys; v = sys.version_info; \
    print(sys.implementation.name, '%d.%d.%d' % v[:3], v.releaselevel, sys.implementation.cache_tag)";

/// The version of Python that a source asks for: the minor number of Python 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wanted {
    /// Any: the system's own.
    #[default]
    Any,
    /// This one, by `.python-version`.
    Exactly(u32),
    /// This or a later one, by `requires-python`.
    AtLeast(u32),
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Exactly(minor) | Self::AtLeast(minor) => write!(f, "3.{minor}"),
        }
    }
}

/// An interpreter and what identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Python {
    /// Real path of the executable.
    pub(crate) path: PathBuf,
    /// `CPython 3.11.2`.
    pub(crate) version: String,
    /// Name of its bytecode: `cpython-311`.
    pub(crate) tag: String,
}

impl Python {
    /// `CPython 3.11.2 /usr/bin/python3.11`, as builds record it.
    pub(crate) fn recorded(&self) -> String {
        format!("{} {}", self.version, self.path.display())
    }

    pub(crate) fn path_text(&self) -> &str {
        self.path.to_str().expect("only interpreters with a plain path are found")
    }
}

/// When a file was found to be an interpreter or a tool: asked again only when it is another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    path: PathBuf,
    size: u64,
    inode: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            size: metadata.size(),
            inode: metadata.ino(),
            modified: metadata.modified().ok(),
        })
    }
}

/// Finds the interpreter for a wanted version.
///
/// # Errors
/// There is none that apps could use.
pub(crate) fn find(wanted: Wanted) -> Result<PathBuf, Error> {
    let there = interpreters(&FOLDERS.map(Path::new));
    choose(wanted, &there, default_interpreter()).ok_or_else(|| Error::PythonMissing {
        wanted: wanted.to_string(),
        found: there.iter().map(|(_, path)| path.display().to_string()).collect(),
    })
}

/// Asks an interpreter what it is.
///
/// # Errors
/// It does not run.
pub(crate) async fn identify(path: &Path) -> Result<Python, Error> {
    let failed = |reason: String| Error::Unexpected {
        what: "the Python interpreter",
        reason: format!("{}: {reason}", path.display()),
        lines: Vec::new(),
    };
    let call = Tool::new(path).args(["-I", "-S", "-c", IDENTIFY]);
    let output = call.run_ok(Span::seconds(30)).await.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = text.split_whitespace().collect();
    let [name, version, level, tag] = words[..] else { return Err(failed(format!("it says {text:?}"))) };
    let name = if name == "cpython" { "CPython" } else { name };
    let level = if level == "final" { String::new() } else { format!(" {level}") };
    Ok(Python { path: path.to_owned(), version: format!("{name} {version}{level}"), tag: tag.to_owned() })
}

/// Real executables called `python3.N`, by N, latest first.
fn interpreters(folders: &[&Path]) -> Vec<(u32, PathBuf)> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let minor = name.to_str().and_then(|name| name.strip_prefix("python3.")?.parse().ok());
            let is_program = entry.metadata().is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 && is_elf(&entry.path())
            });
            if let Some(minor) = minor.filter(|_| is_program)
                && found.iter().all(|(known, _)| *known != minor)
            {
                found.push((minor, entry.path()));
            }
        }
    }
    found.sort_by_key(|(minor, _)| std::cmp::Reverse(*minor));
    found
}

/// The one that the system itself calls `python3`: its modules are the most complete.
fn default_interpreter() -> Option<PathBuf> {
    FOLDERS.iter().find_map(|folder| fs::canonicalize(Path::new(folder).join("python3")).ok())
}

/// Of several that fit, the system's own, else the earliest: it is nearest to what the source was written for.
fn choose(wanted: Wanted, there: &[(u32, PathBuf)], default: Option<PathBuf>) -> Option<PathBuf> {
    let fits = |minor: u32| match wanted {
        Wanted::Any => true,
        Wanted::Exactly(wanted) => minor == wanted,
        Wanted::AtLeast(least) => minor >= least,
    };
    let mut fitting = there.iter().filter(|(minor, _)| fits(*minor));
    let own = fitting.clone().find(|(_, path)| Some(path) == default.as_ref());
    let path = match wanted {
        Wanted::AtLeast(_) => own.or_else(|| fitting.next_back()),
        _ => own.or_else(|| fitting.next()),
    };
    path.map(|(_, path)| path.clone())
}

/// `12` of `3.12`, `3.12.4` or `cpython-3.12`.
pub(crate) fn minor_of(wanted: &str) -> Option<u32> {
    let version = wanted.trim().trim_start_matches("cpython").trim_start_matches(['-', '@', '=', '~']);
    version.trim_start_matches("python").strip_prefix("3.")?.split('.').next()?.parse().ok()
}

/// A script in its place is a version manager's.
pub(crate) fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wanted_version_is_found_and_the_default_is_the_systems_own() {
        let there =
            [(13, PathBuf::from("/usr/local/bin/python3.13")), (11, PathBuf::from("/usr/bin/python3.11"))];
        let system = || Some(PathBuf::from("/usr/bin/python3.11"));
        let chosen = |wanted| choose(wanted, &there, system()).map(|path| path.display().to_string());
        assert_eq!(chosen(Wanted::Any).as_deref(), Some("/usr/bin/python3.11"));
        assert_eq!(chosen(Wanted::Exactly(13)).as_deref(), Some("/usr/local/bin/python3.13"));
        assert_eq!(chosen(Wanted::Exactly(12)), None);
        assert_eq!(chosen(Wanted::AtLeast(10)).as_deref(), Some("/usr/bin/python3.11"));
        assert_eq!(chosen(Wanted::AtLeast(12)).as_deref(), Some("/usr/local/bin/python3.13"));
        assert_eq!(chosen(Wanted::AtLeast(14)), None);
        assert_eq!(choose(Wanted::Any, &there, None), Some(there[0].1.clone()));
        for (text, minor) in
            [("3.13.1\n", Some(13)), ("cpython-3.12", Some(12)), (">=3.10", None), ("2.7", None)]
        {
            assert_eq!(minor_of(text), minor, "{text}");
        }
    }

    #[test]
    fn scripts_and_links_are_no_interpreters() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("python3.12");
        tandem_kit::files::write_atomic(&script, b"#!/bin/sh\n", 0o755).unwrap();
        fs::copy("/bin/true", folder.path().join("python3.10")).unwrap();
        std::os::unix::fs::symlink("python3.10", folder.path().join("python3.9")).unwrap();
        let found = interpreters(&[folder.path()]);
        assert_eq!(found, [(10, folder.path().join("python3.10"))]);
    }

    #[tokio::test]
    async fn an_interpreter_tells_what_it_is() {
        let python = identify(&find(Wanted::Any).unwrap()).await.unwrap();
        assert!(python.version.starts_with("CPython 3."), "{python:?}");
        assert!(python.tag.starts_with("cpython-3"), "{python:?}");
        assert!(python.recorded().ends_with(python.path_text()));
    }
}
