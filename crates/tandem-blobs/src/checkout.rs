//! A tree as a folder: read-only hard links to the raw blobs of a [`LinkCache`].
//!
//! A checkout is made aside and renamed when it is whole and on the disk, so a folder under its final name is complete,
//! also after a power cut. Its files are 0444 or 0555, its folders 0555; the folder it is put in must be closed to
//! apps (0700), which see the tree through a mount.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use tandem_types::tree::Entry;
use tandem_types::{Digest, Timestamp};

use crate::aside::unique_name;
use crate::cache::{self, LinkCache};
use crate::{links, modes, tree};

#[cfg(test)]
mod tests;

/// Time of empty files: they have no blob whose time they could bear. The first that a zip archive can hold.
const EMPTY_FILE_TIME: i64 = 315_532_800;

/// Why a tree could not be checked out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk said no.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A blob is missing or broken; see [`LinkCache::missing`].
    #[error("check out tree {}", root.short())]
    Cache {
        /// The tree.
        root: Digest,
        /// Why.
        #[source]
        source: cache::Error,
    },
    /// A symbolic link that must not be.
    #[error("check out the link {}", path.display())]
    Link {
        /// Path below the root of the tree.
        path: PathBuf,
        /// Why not.
        #[source]
        source: links::Refusal,
    },
    /// More entries or deeper than any real folder.
    #[error("check out tree {}: it has too many entries or levels", .0.short())]
    TooBig(Digest),
}

/// Checks a tree out as `destination`, whose parent must exist. A destination that is there already is taken to be that
/// tree: name it by the digest. Symbolic links may leave the tree only to exactly `interpreter`.
///
/// # Errors
/// Nothing is left behind under the final name.
pub fn checkout(
    cache: &LinkCache,
    root: &Digest,
    destination: &Path,
    interpreter: Option<&str>,
) -> Result<(), Error> {
    if destination.exists() {
        return Ok(());
    }
    let aside = aside_of(destination);
    let made = Checkout { cache, root, interpreter, entries: 0 }
        .folder(root, &aside, (0, Path::new("")))
        .and_then(|()| cache.unsynced().sync(&aside).map_err(io_error("sync", &aside)))
        .and_then(|()| take_name(&aside, destination));
    if made.is_err()
        && let Err(error) = remove(&aside)
    {
        tracing::warn!(%error, "could not remove a checkout that failed");
    }
    made
}

/// Removes a checkout. It loses its name first, so half a tree is never taken for a whole one. Nothing there is fine.
///
/// # Errors
/// The disk refuses; what is left has a name beginning with `.`, see [`remove_leftovers`].
pub fn remove(checkout: &Path) -> Result<(), Error> {
    let aside = aside_of(checkout);
    match fs::rename(checkout, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io_error("remove", checkout))?,
    }
    open_folders(&aside).and_then(|()| fs::remove_dir_all(&aside)).map_err(io_error("remove", &aside))
}

/// Removes what crashed checkouts and removals left in a folder of checkouts; call it while none is under way.
///
/// # Errors
/// The disk refuses.
pub fn remove_leftovers(folder: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
    for entry in entries {
        let entry = entry.map_err(io_error("list", folder))?;
        if entry.file_name().to_string_lossy().starts_with(".aside-") {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

struct Checkout<'a> {
    cache: &'a LinkCache,
    root: &'a Digest,
    interpreter: Option<&'a str>,
    entries: u64,
}

impl Checkout<'_> {
    fn folder(&mut self, digest: &Digest, to: &Path, (depth, path): (usize, &Path)) -> Result<(), Error> {
        if depth > tree::MAX_DEPTH {
            return Err(Error::TooBig(*self.root));
        }
        let listing = self.cache.read_tree(digest).map_err(|source| self.cache_error(source))?;
        self.entries += listing.entries.len() as u64;
        if self.entries > tree::MAX_ENTRIES {
            return Err(Error::TooBig(*self.root));
        }
        fs::create_dir(to).map_err(io_error("make the folder", to))?;
        self.cache.unsynced().add(to);
        for (name, entry) in &listing.entries {
            let (to, path) = (to.join(name), path.join(name));
            match entry {
                Entry::Folder { digest } => self.folder(digest, &to, (depth + 1, &path))?,
                Entry::File { size: 0, executable, .. } => empty_file(&to, *executable)?,
                Entry::File { digest, size, executable } => {
                    let source = self.cache.ensure(digest, *executable, *size);
                    link(&source.map_err(|source| self.cache_error(source))?, &to)?;
                }
                Entry::Link { target } => {
                    links::check(depth, target, self.interpreter)
                        .map_err(|source| Error::Link { path, source })?;
                    symlink(target, &to).map_err(io_error("link", &to))?;
                }
            }
        }
        fs::set_permissions(to, Permissions::from_mode(modes::folder())).map_err(io_error("close", to))
    }

    fn cache_error(&self, source: cache::Error) -> Error {
        Error::Cache { root: *self.root, source }
    }
}

/// A hard link, or a copy where the file system will not link: ext4 ends at 65,000 links of one file, other file
/// systems have none at all, and some kernels forbid links to files of others.
fn link(source: &Path, to: &Path) -> Result<(), Error> {
    match fs::hard_link(source, to).map_err(|error| (error.raw_os_error().map(Errno::from_raw), error)) {
        Ok(()) => Ok(()),
        Err((Some(Errno::EMLINK | Errno::EXDEV | Errno::EPERM | Errno::EOPNOTSUPP), _)) => copy(source, to),
        Err((_, source)) => Err(Error::Io { action: "link", path: to.to_owned(), source }),
    }
}

/// A copy bears mode and time of its source, as a link would.
fn copy(source: &Path, to: &Path) -> Result<(), Error> {
    fs::copy(source, to)
        .and_then(|_| fs::metadata(source)?.modified())
        .and_then(|time| File::open(to)?.set_modified(time))
        .map_err(io_error("copy to", to))
}

fn empty_file(to: &Path, executable: bool) -> Result<(), Error> {
    let mode = modes::file(executable);
    let time = Timestamp::from_second(EMPTY_FILE_TIME).expect("a constant within range");
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(to)
        .and_then(|file| {
            file.set_modified(time.into()).and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        })
        .map_err(io_error("write", to))
}

fn take_name(aside: &Path, destination: &Path) -> Result<(), Error> {
    match fs::rename(aside, destination) {
        // Somebody else checked the same tree out meanwhile.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty || destination.exists() => {
            tracing::debug!(%error, "a tree was checked out twice at once");
            remove(aside)
        }
        other => other.map_err(io_error("rename", destination)),
    }
}

fn aside_of(destination: &Path) -> PathBuf {
    destination.with_file_name(format!(".aside-{}", unique_name()))
}

/// Only root may remove from a folder of mode 0555.
fn open_folders(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
