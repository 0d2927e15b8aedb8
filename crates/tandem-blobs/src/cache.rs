//! The raw blobs of a host: the sources of the hard links that checkouts are made of.
//!
//! A hard link shares mode and times with its source, so a blob that is executable in one place and not in the other
//! is kept twice: `DIR/ab/cdef…` is 0444, `DIR/ab/cdef….x` 0555. The modification time is the blob's first-seen time:
//! web frameworks make ETags of it. `DIR` is closed to others; apps see the files only through their checkouts.

mod sweep;

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_types::tree::{Entry, Tree};
use tandem_types::{Digest, Timestamp};

use crate::aside::{self, Aside};
use crate::durable::Unsynced;
use crate::store::{self, BlobStore};
use crate::{modes, tree};

pub use sweep::{Spare, Swept};

/// Why the cache could not do something.
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
    /// It is not here, or what is here is damaged (and was removed).
    #[error("find blob {} in the cache", .0.short())]
    Missing(Digest),
    /// It should be a folder's listing and is not.
    #[error("read folder {}", digest.short())]
    Tree {
        /// Which.
        digest: Digest,
        /// Why not.
        #[source]
        source: tree::Error,
    },
    /// More entries or deeper than any real folder.
    #[error("walk through tree {}: it has too many entries or levels", .0.short())]
    TooBig(Digest),
    /// The store that it is filled from failed.
    #[error("copy from the blob store")]
    Store(#[from] store::Error),
}

/// Raw blobs in a folder. Cheap to clone; safe to use from many threads and processes at once.
#[derive(Debug, Clone)]
pub struct LinkCache {
    directory: Arc<Path>,
    /// Blobs written since the last checkout was made durable.
    unsynced: Arc<Unsynced>,
}

impl LinkCache {
    /// Opens the cache in a folder, which is made (0700) where it is missing. Checkouts must be on the same file
    /// system; elsewhere every file is copied. What a killed process left aside in it is removed.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = directory.as_ref();
        aside::make_ready(directory, &[]).map_err(io_error("make ready the folder", directory))?;
        Ok(Self { directory: directory.into(), unsynced: Arc::default() })
    }

    /// Where it lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the raw content of a blob lies if it is here.
    #[must_use]
    pub fn path(&self, digest: &Digest, executable: bool) -> PathBuf {
        let name = digest.to_string();
        let suffix = if executable { ".x" } else { "" };
        self.directory.join(&name[..2]).join(format!("{}{suffix}", &name[2..]))
    }

    /// A folder's listing. A damaged one is removed and counts as missing.
    ///
    /// # Errors
    /// Missing, no listing, or the disk refuses.
    pub fn read_tree(&self, digest: &Digest) -> Result<Tree, Error> {
        let path = self.path(digest, false);
        let size = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Missing(*digest)),
            other => other.map_err(io_error("look at", &path))?.len(),
        };
        if size > tree::MAX_TREE_BYTES {
            return Err(Error::Tree { digest: *digest, source: tree::Error::TooLong(size) });
        }
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        if tree::digest_of(&bytes) != *digest {
            tracing::warn!(blob = %digest.short(), "removed a damaged folder listing from the cache");
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            return Err(Error::Missing(*digest));
        }
        tree::decode(&bytes).map_err(|source| Error::Tree { digest: *digest, source })
    }

    /// The next digests to fetch so that a tree can be checked out: as far down as its listings are here. Ask again when
    /// they have come; empty: everything is here.
    ///
    /// # Errors
    /// A listing is none, the tree is too deep, or the disk refuses.
    pub fn missing(&self, root: &Digest) -> Result<Vec<Digest>, Error> {
        let mut missing = std::collections::BTreeSet::new();
        let mut seen = std::collections::HashSet::new();
        let mut level = vec![*root];
        for _ in 0..=tree::MAX_DEPTH {
            let mut next = Vec::new();
            for folder in std::mem::take(&mut level) {
                let listing = match self.read_tree(&folder) {
                    Err(Error::Missing(digest)) => {
                        missing.insert(digest);
                        continue;
                    }
                    other => other?,
                };
                for entry in listing.entries.values() {
                    match entry {
                        Entry::Folder { digest } if seen.insert(*digest) => next.push(*digest),
                        Entry::File { digest, size, .. } if !self.has_content(digest, *size) => {
                            missing.insert(*digest);
                        }
                        _ => {}
                    }
                }
            }
            if next.is_empty() {
                return Ok(missing.into_iter().collect());
            }
            level = next;
        }
        Err(Error::TooBig(*root))
    }

    /// Copies what a tree needs from a blob store on the same machine.
    ///
    /// # Errors
    /// A blob is missing or damaged there or has another size than the tree says, or the disk refuses.
    pub fn fill_from(&self, store: &BlobStore, root: &Digest) -> Result<(), Error> {
        let mut before = Vec::new();
        loop {
            let missing = self.missing(root)?;
            match missing.first() {
                None => return Ok(()),
                // It came, and is not what the tree says: it would be copied for ever.
                Some(digest) if missing == before => return Err(Error::Missing(*digest)),
                Some(_) => before.clone_from(&missing),
            }
            for digest in missing {
                let first_seen = store.first_seen(&digest)?;
                let mut aside = self.aside()?;
                store.copy_to(&digest, &mut aside.file)?;
                self.keep(aside, &digest, first_seen)?;
            }
        }
    }

    /// Makes sure that a file is here with the right mode, made from its other form if need be, and returns its path.
    ///
    /// # Errors
    /// It is here in neither form with that size, or the disk refuses.
    pub fn ensure(&self, digest: &Digest, executable: bool, size: u64) -> Result<PathBuf, Error> {
        let path = self.path(digest, executable);
        if let Some(metadata) = of_size(&path, size) {
            modes::renew(&path, &metadata, executable);
            return Ok(path);
        }
        let other = self.path(digest, !executable);
        if !has_size(&other, size) {
            return Err(Error::Missing(*digest));
        }
        let mut aside = self.aside()?;
        let mut from = File::open(&other).map_err(io_error("open", &other))?;
        io::copy(&mut from, &mut aside.file).map_err(io_error("copy", &other))?;
        let modified = from.metadata().and_then(|metadata| metadata.modified());
        let first_seen = store::time_of(modified.map_err(io_error("look at", &other))?);
        self.keep_as(aside, &path, (executable, first_seen))?;
        Ok(path)
    }

    /// A new file to write a blob to.
    pub(crate) fn aside(&self) -> Result<Aside, Error> {
        let folder = self.directory.join("aside");
        Aside::create(&folder).map_err(io_error("write to", &folder))
    }

    /// Gives a file written aside its name in its plain form.
    pub(crate) fn keep(&self, aside: Aside, digest: &Digest, first_seen: Timestamp) -> Result<(), Error> {
        self.keep_as(aside, &self.path(digest, false), (false, first_seen))
    }

    /// What is to be made durable before a checkout may be relied on.
    pub(crate) fn unsynced(&self) -> &Unsynced {
        &self.unsynced
    }

    /// Whether the plain form of a blob is here; listings are kept in that form only.
    pub(crate) fn has_plain(&self, digest: &Digest, size: u64) -> bool {
        has_size(&self.path(digest, false), size)
    }

    /// An empty file needs no source: it is created in each checkout, since 211 links to one file add up.
    fn has_content(&self, digest: &Digest, size: u64) -> bool {
        size == 0 || [false, true].iter().any(|executable| has_size(&self.path(digest, *executable), size))
    }

    fn keep_as(
        &self,
        mut aside: Aside,
        path: &Path,
        (executable, first_seen): (bool, Timestamp),
    ) -> Result<(), Error> {
        let size = aside
            .file
            .flush()
            .and_then(|()| aside.set_first_seen(first_seen))
            .and_then(|()| aside.file.set_permissions(Permissions::from_mode(modes::file(executable))))
            .and_then(|()| aside.file.metadata())
            .map_err(io_error("write", path))?
            .len();
        self.unsynced.add(path);
        aside.keep(path, || !has_size(path, size)).map_err(io_error("write", path))
    }
}

/// A file of another size is what a power cut left of it.
fn has_size(path: &Path, size: u64) -> bool {
    of_size(path, size).is_some()
}

fn of_size(path: &Path, size: u64) -> Option<Metadata> {
    fs::symlink_metadata(path).ok().filter(|metadata| metadata.len() == size)
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
