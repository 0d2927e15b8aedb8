//! Removing blobs that nobody needs any more.
//!
//! Live is what is below the given roots, and below any tree that somebody put or asked for since the given time:
//! a client that was told "I have that tree" may rely on everything below it for so long. What is asked for while
//! a sweep looks is kept too.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::PoisonError;

use tandem_types::{Digest, Timestamp};

use super::walk::{BlobKind, children};
use super::{BlobStore, Error, io_error};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Number of blobs.
    pub blobs: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// A blob as the folder shows it.
struct Found {
    digest: Digest,
    bytes: u64,
    young: bool,
}

impl BlobStore {
    /// Removes what is not below one of the roots and was neither put nor asked for since `keep_since`.
    ///
    /// # Errors
    /// A live tree is missing or damaged (then nothing is removed: nobody knows what was below it), or the disk refuses.
    pub fn sweep(&self, live_roots: &[Digest], keep_since: Timestamp) -> Result<Swept, Error> {
        *self.lock(&self.inner.touched) = Some(HashSet::new());
        let swept = self.sweep_noting_touches(live_roots, keep_since);
        *self.lock(&self.inner.touched) = None;
        swept
    }

    fn sweep_noting_touches(&self, live_roots: &[Digest], keep_since: Timestamp) -> Result<Swept, Error> {
        let mut live = HashSet::new();
        for root in live_roots {
            live.extend(self.walk(root)?.into_iter().map(|(digest, _)| digest));
        }
        let found = self.list(keep_since)?;
        found.iter().filter(|blob| blob.young).for_each(|blob| self.add_below(blob.digest, &mut live));

        let _removal = self.inner.removal.write().unwrap_or_else(PoisonError::into_inner);
        let touched = self.lock(&self.inner.touched).take().unwrap_or_default();
        touched.into_iter().for_each(|digest| self.add_below(digest, &mut live));
        self.lock(&self.inner.complete).clear();
        let mut swept = Swept::default();
        for blob in found.into_iter().filter(|blob| !live.contains(&blob.digest)) {
            let path = self.path(&blob.digest);
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            swept.blobs += 1;
            swept.bytes += blob.bytes;
        }
        for leftovers in ["aside", "damaged"] {
            remove_old(&self.inner.directory.join(leftovers), keep_since)?;
        }
        Ok(swept)
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

    fn list(&self, keep_since: Timestamp) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for folder in entries(&self.inner.directory)? {
            let prefix = folder.file_name();
            let Some(prefix) = prefix.to_str().filter(|name| name.len() == 2) else { continue };
            for file in entries(&folder.path())? {
                let name = file.file_name();
                let digest = name.to_str().and_then(|rest| format!("{prefix}{rest}").parse().ok());
                let (Some(digest), Ok(metadata)) = (digest, file.metadata()) else { continue };
                let young = last_use(&metadata) >= keep_since.as_second();
                found.push(Found { digest, bytes: metadata.blocks() * 512, young });
            }
        }
        Ok(found)
    }
}

fn last_use(metadata: &fs::Metadata) -> i64 {
    metadata.mtime().max(metadata.atime())
}

fn remove_old(folder: &Path, keep_since: Timestamp) -> Result<(), Error> {
    for file in entries(folder)? {
        let old = file.metadata().is_ok_and(|metadata| metadata.ctime() < keep_since.as_second());
        if old && let Err(error) = fs::remove_file(file.path()) {
            tracing::warn!(%error, path = %file.path().display(), "could not remove a leftover");
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<DirEntry>, Error> {
    fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(io_error("list", folder))
}
