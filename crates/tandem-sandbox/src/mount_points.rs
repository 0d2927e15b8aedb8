//! Mount points in folders that the app can write.
//!
//! bubblewrap makes missing mount points as root and follows links on the way, also those that an earlier run has left: a
//! link in the home folder, `a` → `/oldroot/etc`, and a volume at `/home/app/a/cron.d` made a folder in the host's
//! `/etc`. So these are made here first, step by step, and a link in the way ends the start. Nobody else runs in a home
//! folder or in a build's folders meanwhile; a volume within a volume, where others do, is refused by the app file.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};

use crate::check::{Error, innermost};
use crate::spec::HOME;
use crate::{Mount, Spec};

/// As bubblewrap makes them.
const MODE: Mode = Mode::from_bits_truncate(0o755);

/// Makes the mount points that lie in the home folder or in a writable mount.
pub(crate) fn ensure(spec: &Spec) -> Result<(), Error> {
    let mut before = vec![Mount::writable(&spec.home, HOME)];
    for mount in &spec.mounts {
        if let Some(below) = innermost(&before, &mount.target).filter(|below| !below.read_only)
            && let Ok(rest) = mount.target.strip_prefix(&below.target)
        {
            make(&below.source, rest, mount.source.is_dir()).map_err(|source| Error::MountPoint {
                target: mount.target.clone(),
                below: below.target.clone(),
                kind: source.kind(),
            })?;
        }
        before.push(mount.clone());
    }
    Ok(())
}

/// Makes a folder, or a file, below another; fails where a link or something else is in the way.
fn make(top: &Path, rest: &Path, is_folder: bool) -> io::Result<()> {
    let mut parts: Vec<_> = rest
        .components()
        .map(|part| match part {
            Component::Normal(part) => Ok(part),
            _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        })
        .collect::<Result<_, _>>()?;
    let file = if is_folder { None } else { parts.pop() };
    let mut folder = open(top, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    for part in parts {
        folder = enter(&folder, Path::new(part))?;
    }
    let Some(file) = file else { return Ok(()) };
    // One that is there is opened without waiting, whatever it is, and a link not at all.
    let flags = OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = std::fs::File::from(openat(&folder, file, flags, MODE)?);
    if opened.metadata()?.is_file() { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn enter(folder: &impl AsFd, name: &Path) -> io::Result<OwnedFd> {
    match mkdirat(folder, name, MODE) {
        Err(error) if error != Errno::EEXIST => return Err(error.into()),
        _ => {}
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(folder, name, flags, Mode::empty())?)
}
