//! What can be told to be wrong with a specification before anything is started.
//!
//! bubblewrap would refuse most of it too, with a line on the app's error output; here it becomes a reason that says
//! whose mistake it is.

use std::path::{Path, PathBuf};

use crate::environment;
use crate::{Mount, Spec};

/// What is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A name that ends up in paths and host files.
    #[error("use {name:?} as {what}: only lower-case letters, digits, hyphens and dots can be in it")]
    Name {
        /// Which.
        what: &'static str,
        /// As given.
        name: String,
    },
    /// The shell would drop it silently.
    #[error("pass on the environment variable {name:?}: its name is not one that shells know")]
    VariableName {
        /// As given.
        name: String,
    },
    /// No string of a process can hold it.
    #[error("pass on {what}: there is a NUL character in it")]
    Nul {
        /// Which, such as `the value of NAME`.
        what: String,
    },
    /// A path that must be absolute is not.
    #[error("mount {}: the path is not absolute", path.display())]
    Relative {
        /// As given.
        path: PathBuf,
    },
    /// There is nothing to mount.
    #[error("mount {} at {}: there is no such file or folder on the host", source_path.display(), target.display())]
    NoSource {
        /// On the host.
        source_path: PathBuf,
        /// In the sandbox.
        target: PathBuf,
    },
    /// Nothing can be made in a read-only tree, so the mount point must be part of it.
    #[error("mount {}: the read-only {} has no such folder to mount on", target.display(), below.display())]
    NoMountPoint {
        /// In the sandbox.
        target: PathBuf,
        /// Target of the mount that should have it.
        below: PathBuf,
    },
    /// The app can write where it lies, and something is there that is no folder.
    #[error(
        "mount {}: a link or a file of the app is in its way below {} ({kind}); remove it, or mount elsewhere",
        target.display(),
        below.display()
    )]
    MountPoint {
        /// In the sandbox.
        target: PathBuf,
        /// Target of the mount that it lies in, or the home folder.
        below: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
}

/// Looks for mistakes.
pub(crate) fn check(spec: &Spec) -> Result<(), Error> {
    name("an id", &spec.id)?;
    name("a user's name", &spec.user.name)?;
    name("a host name", &spec.hostname)?;
    for part in spec.cgroup_parent.split('/') {
        name("a control group", part)?;
    }
    no_nul(&spec.command, || "the command".to_owned())?;
    for (variable, value) in &spec.environment {
        if !environment::is_name(variable) {
            return Err(Error::VariableName { name: variable.clone() });
        }
        no_nul(value, || format!("the value of {variable}"))?;
    }
    (0..spec.mounts.len()).try_for_each(|index| mount(&spec.mounts[..=index]))
}

fn name(what: &'static str, name: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let good =
        !name.is_empty() && name.len() <= 64 && !name.starts_with(['-', '.']) && name.bytes().all(plain);
    if good { Ok(()) } else { Err(Error::Name { what, name: name.to_owned() }) }
}

fn no_nul(text: &str, what: impl FnOnce() -> String) -> Result<(), Error> {
    if text.contains('\0') { Err(Error::Nul { what: what() }) } else { Ok(()) }
}

/// Checks the last of these mounts.
fn mount(mounts: &[Mount]) -> Result<(), Error> {
    let Some((last, before)) = mounts.split_last() else { return Ok(()) };
    if let Some(path) = [&last.source, &last.target].into_iter().find(|path| !path.is_absolute()) {
        return Err(Error::Relative { path: path.clone() });
    }
    if !last.source.exists() {
        return Err(Error::NoSource { source_path: last.source.clone(), target: last.target.clone() });
    }
    let Some(below) = innermost(before, &last.target).filter(|mount| mount.read_only) else { return Ok(()) };
    match host_path(below, &last.target) {
        Some(point) if !point.exists() => {
            Err(Error::NoMountPoint { target: last.target.clone(), below: below.target.clone() })
        }
        _ => Ok(()),
    }
}

/// The mount that a path of the sandbox lies in.
pub(crate) fn innermost<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let around = mounts.iter().filter(|mount| path.starts_with(&mount.target));
    around.max_by_key(|mount| mount.target.components().count())
}

/// A path of the sandbox on the host.
pub(crate) fn host_path(mount: &Mount, path: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(&mount.target).ok()?;
    // Joining an empty path would add a slash.
    Some(if rest.as_os_str().is_empty() { mount.source.clone() } else { mount.source.join(rest) })
}
