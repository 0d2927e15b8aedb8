//! Files that are whole or not there: write aside, sync, rename, sync the folder.
//!
//! A crash at any point leaves the old content or the new one, never half. Locks are `flock`: they end with the
//! process that holds them, however it ends.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ballast;
use crate::points::{self, Effect};

mod remove;
#[cfg(test)]
mod tests;

pub use remove::remove_tree;

/// What was done to which file, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}", path.display())]
pub struct Error {
    /// The step: "write", "rename", "read", …
    pub doing: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system (or the decoder) said.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.source.kind(), error)
    }
}

fn at<T>(doing: &'static str, path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error { doing, path: path.to_owned(), source })
}

/// Replaces a file's content; on return it is on the disk. `mode` is exact, whatever the umask.
///
/// # Errors
/// Any step fails (a full disk, no rights): then the old file stands and nothing is left aside.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    replace(path, content, mode, true)?;
    sync_dir(parent(path))
}

/// As [`write_atomic`] without waiting for the disk: whole after a crash of the process, perhaps old (or, on some file
/// systems, empty) after one of the machine. For what can be made again.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_atomic_unsynced(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    replace(path, content, mode, false)
}

/// Reads a JSON file; none where there is no such file.
///
/// # Errors
/// It cannot be read, or is not what `T` expects.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let content = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        content => at("read", path, content)?,
    };
    at("decode", path, serde_json::from_slice(&content).map_err(io::Error::from)).map(Some)
}

/// Replaces a file by the JSON of `value` as [`write_atomic`] does.
///
/// # Errors
/// As [`write_atomic`], or `value` has no JSON form.
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T, mode: u32) -> Result<(), Error> {
    let content = at("encode", path, serde_json::to_vec(value).map_err(io::Error::from))?;
    write_atomic(path, &content, mode)
}

/// Creates a folder and its missing parents (those 0755 less the umask), and gives the folder itself exactly `mode`.
///
/// # Errors
/// Something that is not a folder is in the way, or there are no rights.
pub fn ensure_dir(path: &Path, mode: u32) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        at("create", parent, ballast::with_room(path, || std::fs::create_dir_all(parent)))?;
    }
    match ballast::with_room(path, || std::fs::DirBuilder::new().mode(mode).create(path)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        created => at("create", path, created)?,
    }
    at("set the mode of", path, std::fs::set_permissions(path, Permissions::from_mode(mode)))
}

/// Waits until the entries of a folder (new names, renames, removals) are on the disk.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_dir(path: &Path) -> Result<(), Error> {
    at("sync", path, File::open(path).and_then(|folder| folder.sync_all()))
}

/// Makes `link` a symbolic link to `target` in one step, replacing a link that is there.
///
/// # Errors
/// Something that is not a link is there, or there are no rights.
pub fn replace_symlink(target: &Path, link: &Path) -> Result<(), Error> {
    if std::fs::symlink_metadata(link).is_ok_and(|metadata| !metadata.is_symlink()) {
        return at("replace", link, Err(io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    let aside = aside(link)?;
    at("create", &aside, std::os::unix::fs::symlink(target, &aside))?;
    let renamed = std::fs::rename(&aside, link);
    clean_up(&aside, renamed.is_err());
    at("rename", link, renamed)
}

/// Removes what killed processes wrote aside in a folder and never gave its name. `is_ours` says of a file, by the name it
/// was to get, whether nobody else can be writing it at this moment. A folder that is not there holds nothing.
///
/// # Errors
/// The folder cannot be listed, or something in it not be removed.
pub fn remove_aside(folder: &Path, is_ours: impl Fn(&str) -> bool) -> Result<(), Error> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => at("list", folder, entries)?,
    };
    for entry in entries {
        let entry = at("list", folder, entry)?;
        let name = entry.file_name();
        if name.to_str().and_then(meant_for).is_some_and(&is_ours) {
            match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => at("remove", &entry.path(), removed)?,
            }
        }
    }
    Ok(())
}

/// The file for which one of this name was written aside; none for any other file.
fn meant_for(name: &str) -> Option<&str> {
    let (name, random) = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
    let is_random = random.len() == 8 && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_random.then_some(name)
}

/// Locks a file for this process alone, creating it (0600) where it is not there. None: somebody else holds it.
/// The lock ends when the guard is dropped or the process ends; the file stays, since removing it would let two
/// processes lock two files of one name.
///
/// # Errors
/// The file cannot be opened or the file system has no locks.
pub fn lock_exclusive(path: &Path) -> Result<Option<LockGuard>, Error> {
    lock(path, File::try_lock)
}

/// As [`lock_exclusive`], but others may hold it in this way at the same time. None: somebody holds it alone.
///
/// # Errors
/// The file cannot be opened or the file system has no locks.
pub fn lock_shared(path: &Path) -> Result<Option<LockGuard>, Error> {
    lock(path, File::try_lock_shared)
}

fn lock(path: &Path, how: fn(&File) -> Result<(), TryLockError>) -> Result<Option<LockGuard>, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = at("open", path, ballast::with_room(path, || options.open(path)))?;
    match how(&file) {
        Ok(()) => Ok(Some(LockGuard { file, shared: false })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => at("lock", path, Err(error)),
    }
}

/// Holds a lock until dropped.
#[derive(Debug)]
#[must_use = "the lock ends when this is dropped"]
pub struct LockGuard {
    file: File,
    /// Another process may hold it by the same open file: then it ends with the last of them.
    shared: bool,
}

impl LockGuard {
    /// A lock that was sent here by the process that holds it (by its [`AsFd`]). It ends when the last process that has
    /// it lets go.
    pub fn inherit(descriptor: OwnedFd) -> Self {
        Self { file: descriptor.into(), shared: true }
    }

    /// From now on it may be sent to another process: dropping it here ends nothing there.
    pub fn share(&mut self) {
        self.shared = true;
    }
}

impl AsFd for LockGuard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if !self.shared {
            // Closing would do, but for a child that is just being started and has not let go of its copy yet.
            let _ = self.file.unlock();
        }
    }
}

fn replace(path: &Path, content: &[u8], mode: u32, sync: bool) -> Result<(), Error> {
    let aside = aside(path)?;
    let write = || write_aside(&aside, content, mode, sync);
    // Small, and what must be written most when nothing else can be.
    let written = with_room(write, &aside)
        .inspect(|()| points::reached_blocking(Effect::FileAside))
        .and_then(|()| at("rename", path, std::fs::rename(&aside, path)));
    clean_up(&aside, written.is_err());
    written
}

/// Tries again with room of the data folder's ballast.
fn with_room(mut write: impl FnMut() -> Result<(), Error>, aside: &Path) -> Result<(), Error> {
    let mut last = None;
    let result = ballast::with_room(aside, || {
        write().map_err(|error| {
            clean_up(aside, true);
            let kind = error.source.kind();
            last = Some(error);
            io::Error::from(kind)
        })
    });
    result.map_err(|_| last.expect("only a write that failed ends in an error"))
}

fn write_aside(aside: &Path, content: &[u8], mode: u32, sync: bool) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let mut file = at("create", aside, options.write(true).create_new(true).mode(0o600).open(aside))?;
    at("write", aside, file.write_all(content))?;
    // The mode at creation is cut by the umask; this one is not.
    at("set the mode of", aside, file.set_permissions(Permissions::from_mode(mode)))?;
    if sync {
        at("sync", aside, file.sync_all())?;
    }
    Ok(())
}

/// A name beside `path` that nobody else uses.
fn aside(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or_else(|| Error {
        doing: "write",
        path: path.to_owned(),
        source: io::ErrorKind::InvalidFilename.into(),
    })?;
    let random = getrandom::u32().map_err(|error| io::Error::other(error.to_string()));
    let random = at("draw a random name for", path, random)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{random:08x}.tmp"));
    Ok(path.with_file_name(hidden))
}

fn clean_up(aside: &Path, failed: bool) {
    if failed {
        // The first error is the one to tell; a leftover with a random name harms nobody.
        let _ = std::fs::remove_file(aside);
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
