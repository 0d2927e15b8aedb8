//! Removing blobs that nobody needs any more.
//!
//! Live is what is below the given roots, and below any tree that somebody put or asked for since the given time:
//! a client that was told "I have that tree" may rely on everything below it for so long. What is asked for while
//! a sweep looks is kept too.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use tandem_types::{Digest, Timestamp};

use super::walk::{BlobKind, children};
use super::{BlobStore, Error, io_error};
use crate::aside::is_unique_name;

/// What a sweep removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// Number of blobs.
    pub blobs: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Files that nobody here made, which were left alone; some of them.
    pub strangers: Vec<PathBuf>,
    /// Live roots below which a folder's listing is gone, and with it what only that listing named.
    pub lacking: Vec<Digest>,
}

/// Most strangers told.
const MOST_STRANGERS: usize = 10;

/// A blob as the folder shows it.
struct Found {
    digest: Digest,
    bytes: u64,
    young: bool,
}

impl BlobStore {
    /// Removes what is not below one of the roots and was neither put nor asked for since `keep_since`, nor since a use
    /// began that is under way ([`BlobStore::begin_use`]). Killed at any moment it leaves a store that can be used: a
    /// tree of which parts are gone is asked for again like one that never was here. Sweeps take turns.
    ///
    /// A live tree of which a listing is gone keeps what is known to be below it, and is told in [`Swept::lacking`]: were
    /// nothing removed, one lost listing would fill the disk.
    ///
    /// # Errors
    /// A live tree cannot be read though it is here, or the disk refuses. Unless it refused a removal, nothing was removed.
    pub fn sweep(&self, live_roots: &[Digest], keep_since: Timestamp) -> Result<Swept, Error> {
        let _turn = self.lock(&self.inner.sweeping);
        *self.lock(&self.inner.touched) = Some(HashSet::new());
        let swept = self.sweep_noting_touches(live_roots, keep_since);
        *self.lock(&self.inner.touched) = None;
        swept
    }

    fn sweep_noting_touches(&self, live_roots: &[Digest], keep_since: Timestamp) -> Result<Swept, Error> {
        let (mut live, mut swept) = (HashSet::new(), Swept::default());
        for root in live_roots {
            if !self.add_live(root, &mut live)? {
                swept.lacking.push(*root);
            }
        }
        let keep_since = self.kept_since(keep_since);
        let found = self.list(keep_since, &mut swept.strangers)?;
        found.iter().filter(|blob| blob.young).for_each(|blob| self.add_below(blob.digest, &mut live));

        let _removal = self.inner.removal.write().unwrap_or_else(PoisonError::into_inner);
        let touched = self.lock(&self.inner.touched).take().unwrap_or_default();
        touched.into_iter().for_each(|digest| self.add_below(digest, &mut live));
        self.lock(&self.inner.complete).clear();
        for blob in found.into_iter().filter(|blob| !live.contains(&blob.digest)) {
            let path = self.path(&blob.digest);
            remove(&path)?;
            swept.blobs += 1;
            swept.bytes += blob.bytes;
        }
        for leftovers in ["aside", "damaged"] {
            remove_old(&self.inner.directory.join(leftovers), keep_since, &mut swept.strangers)?;
        }
        Ok(swept)
    }

    /// Adds a live tree and what is below it. False: a listing is gone, and nobody knows what it named.
    fn add_live(&self, root: &Digest, live: &mut HashSet<Digest>) -> Result<bool, Error> {
        let (mut seen, mut waiting, mut is_whole) = (HashSet::from([*root]), vec![*root], true);
        live.insert(*root);
        while let Some(folder) = waiting.pop() {
            let tree = match self.read_tree(&folder) {
                Ok(tree) => tree,
                Err(error) if error.is_missing() => {
                    is_whole = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (child, kind) in children(&tree) {
                live.insert(child);
                if kind == BlobKind::Folder && seen.insert(child) {
                    waiting.push(child);
                }
            }
        }
        Ok(is_whole)
    }

    /// Adds a blob and, where it is a tree, what is below it as far as that is here.
    fn add_below(&self, digest: Digest, live: &mut HashSet<Digest>) {
        let mut waiting = vec![digest];
        while let Some(digest) = waiting.pop() {
            if !live.insert(digest) || !self.looks_like_tree(&digest) {
                continue;
            }
            if let Ok(tree) = self.read_tree(&digest) {
                for (child, kind) in children(&tree) {
                    match kind {
                        BlobKind::Folder => waiting.push(child),
                        BlobKind::File => drop(live.insert(child)),
                    }
                }
            }
        }
    }

    fn list(&self, keep_since: Timestamp, strangers: &mut Vec<PathBuf>) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for folder in entries(&self.inner.directory)? {
            let prefix = folder.file_name();
            if [OsStr::new("aside"), OsStr::new("damaged")].contains(&&*prefix) {
                continue;
            }
            let prefix = prefix.to_str().filter(|name| name.len() == 2 && folder.path().is_dir());
            let Some(prefix) = prefix else {
                note_stranger(strangers, folder.path());
                continue;
            };
            for file in entries(&folder.path())? {
                let name = file.file_name();
                let digest = name.to_str().and_then(|rest| format!("{prefix}{rest}").parse().ok());
                let Some(digest) = digest else {
                    note_stranger(strangers, file.path());
                    continue;
                };
                // Gone since: it was found damaged.
                let Ok(metadata) = file.metadata() else { continue };
                let young = last_use(&metadata) >= keep_since.as_second();
                found.push(Found { digest, bytes: metadata.blocks() * 512, young });
            }
        }
        Ok(found)
    }
}

fn note_stranger(strangers: &mut Vec<PathBuf>, path: PathBuf) {
    if strangers.len() < MOST_STRANGERS {
        strangers.push(path);
    }
}

/// Somebody who found it damaged may have been quicker.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

fn last_use(metadata: &fs::Metadata) -> i64 {
    metadata.mtime().max(metadata.atime())
}

/// Removes what writers that died left aside, and what was found damaged.
fn remove_old(folder: &Path, keep_since: Timestamp, strangers: &mut Vec<PathBuf>) -> Result<(), Error> {
    for file in entries(folder)? {
        let name = file.file_name();
        let ours = name.to_str().is_some_and(|name| is_unique_name(name) || name.parse::<Digest>().is_ok());
        if !ours {
            note_stranger(strangers, file.path());
            continue;
        }
        let old = file.metadata().is_ok_and(|metadata| metadata.ctime() < keep_since.as_second());
        if old && let Err(error) = remove(&file.path()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not remove a leftover");
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<DirEntry>, Error> {
    fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(io_error("list", folder))
}
