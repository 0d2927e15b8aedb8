//! The Python that apps use: which one is asked for, which are here, and which of them it is.
//!
//! A real file at a path that instances see: a folder of the machine's or Tandem's own, never a version manager's shim in
//! somebody's home. The dependencies hold a link to exactly this file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tandem_sandbox::tool::Tool;
use tandem_types::Span;

use crate::Error;

pub(crate) mod asked;
pub(crate) mod fetch;
pub(crate) mod places;

pub(crate) use asked::Asked;

/// Prints what identifies the interpreter, in one line.
const IDENTIFY: &str = "import sys; v = sys.version_info; \
    print(sys.implementation.name, '%d.%d.%d' % v[:3], v.releaselevel, sys.implementation.cache_tag)";

/// An interpreter and what identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Python {
    /// Path of the executable as commands of builds and instances see it.
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

    /// `3.11.2`.
    pub(crate) fn number(&self) -> &str {
        self.version.split(' ').nth(1).unwrap_or_default()
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

/// The machine's own, for what needs any: the tools that Tandem installs for itself.
///
/// # Errors
/// There is none.
pub(crate) fn any_of_machine() -> Result<PathBuf, Error> {
    places::any_of_machine().ok_or_else(|| Error::PythonMissing(Box::default()))
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

    #[tokio::test]
    async fn an_interpreter_tells_what_it_is() {
        let python = identify(&places::any_of_machine().unwrap()).await.unwrap();
        assert!(python.version.starts_with("CPython 3."), "{python:?}");
        assert!(python.tag.starts_with("cpython-3"), "{python:?}");
        assert!(python.recorded().ends_with(python.path_text()));
        assert!(python.number().starts_with("3."), "{python:?}");
    }
}
