//! The blob store on disk: each blob once, as a zstd frame named by the digest of its raw content.
//!
//! `DIR/ab/cdef…` holds the blobs, `DIR/aside` files being written, `DIR/damaged` what was found to be broken. A
//! blob's modification time is the time at which it was first seen here; its access time the last time somebody asked
//! for it, which keeps it from being swept.
//!
//! Durability: blobs are written aside and renamed without a sync each (a dependency tree has 7,000 of them).
//! [`BlobStore::sync`] makes everything written so far durable at once, and whoever writes the digest of a tree's root
//! down, or tells another machine that it is here, calls it before. After a power cut before that, an empty blob counts as
//! missing, a broken one is found when it is read, and [`BlobStore::missing`] looks below the roots it is asked
//! for, so the next transfer heals both.

mod outgoing;
mod sweep;
mod uses;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use tandem_types::tree::Tree;
use tandem_types::{Digest, Timestamp};

pub use sweep::Swept;
pub use uses::InUse;
pub(crate) use walk::children;
pub use walk::{BlobKind, TreeSummary};

use crate::aside::{self, Aside};
use crate::durable::Unsynced;
use crate::{packed, tree};

/// Blobs larger than this are not read into memory at once; [`BlobStore::reader`] streams them.
pub const MAX_READ_BYTES: u64 = 256 * 1024 * 1024;
/// Files up to this size are packed in memory, larger ones streamed.
const IN_MEMORY_BYTES: u64 = 8 * 1024 * 1024;

/// Why the store could not do something.
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
    /// It is not here.
    #[error("find blob {}", .0.short())]
    Missing(Digest),
    /// Its content is not what its name says. It was put away and counts as missing from now on.
    #[error("read blob {}: its content is damaged, so it counts as missing now", digest.short())]
    Damaged {
        /// Which.
        digest: Digest,
        /// How it shows.
        #[source]
        source: io::Error,
    },
    /// Too large to be held in memory.
    #[error("read blob {} into memory: it has {bytes} bytes", digest.short())]
    TooLarge {
        /// Which.
        digest: Digest,
        /// Its size.
        bytes: u64,
    },
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
}

impl Error {
    /// Whether sending the blob again would help: it is missing, or was damaged and is missing now.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Damaged { .. })
    }
}

/// A store of blobs in a folder. Cheap to clone; safe to use from many threads and processes at once.
#[derive(Clone)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

struct Inner {
    directory: PathBuf,
    /// What was written since the last sync.
    unsynced: Unsynced,
    /// Trees below which everything was seen to be here. Cleared when something was removed or is found missing.
    complete: Mutex<HashSet<Digest>>,
    /// Held for writing while a sweep removes.
    removal: RwLock<()>,
    /// Held by a sweep, which begins and ends `touched`: what was asked for since it began to look.
    sweeping: Mutex<()>,
    touched: Mutex<Option<HashSet<Digest>>>,
    /// Who puts blobs in that nothing names yet.
    uses: uses::Uses,
    /// Blobs put so far.
    changes: AtomicU64,
}

impl std::fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BlobStore").field(&self.inner.directory).finish()
    }
}

impl BlobStore {
    /// Opens the store in a folder, which is made (0700) where it is missing. What a killed process left aside in it is removed.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, Error> {
        let directory = directory.into();
        aside::make_ready(&directory, &["damaged"]).map_err(io_error("make ready the folder", &directory))?;
        let inner = Inner {
            directory,
            unsynced: Unsynced::default(),
            complete: Mutex::default(),
            removal: RwLock::default(),
            sweeping: Mutex::default(),
            touched: Mutex::default(),
            uses: uses::Uses::default(),
            changes: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Keeps some bytes and returns their digest. Bytes that are here already cost one look.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = tree::digest_of(bytes);
        if !self.touch(&digest) {
            let aside = self.aside()?;
            let packed = packed::pack(bytes).map_err(io_error("pack", &aside.path))?;
            (&aside.file).write_all(&packed).map_err(io_error("write", &aside.path))?;
            self.keep(aside, &digest)?;
        }
        Ok(digest)
    }

    /// Keeps the content of a regular file and returns its digest and size.
    ///
    /// # Errors
    /// The file cannot be read, changes while it is read, or the disk refuses.
    pub fn put_file(&self, path: &Path) -> Result<(Digest, u64), Error> {
        let mut file = File::open(path).map_err(io_error("open", path))?;
        let size = file.metadata().map_err(io_error("look at", path))?.len();
        if size <= IN_MEMORY_BYTES {
            let mut bytes = Vec::with_capacity(usize::try_from(size).expect("checked to be small"));
            file.read_to_end(&mut bytes).map_err(io_error("read", path))?;
            return Ok((self.put(&bytes)?, bytes.len() as u64));
        }
        let aside = self.aside()?;
        let digest = packed::pack_stream(file, size, &aside.file).map_err(io_error("read", path))?;
        if !self.touch(&digest) {
            self.keep(aside, &digest)?;
        }
        Ok((digest, size))
    }

    /// Keeps a folder's listing and returns its digest.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn put_tree(&self, tree: &Tree) -> Result<Digest, Error> {
        self.put(&tree::encode(tree))
    }

    /// The content of a blob, checked against its digest.
    ///
    /// # Errors
    /// Missing, damaged, larger than [`MAX_READ_BYTES`], or the disk refuses.
    pub fn read(&self, digest: &Digest) -> Result<Bytes, Error> {
        self.read_up_to(digest, MAX_READ_BYTES)
    }

    fn read_up_to(&self, digest: &Digest, limit: u64) -> Result<Bytes, Error> {
        let packed = self.read_packed(digest)?;
        let size = packed::raw_len(&packed).unwrap_or(0);
        if size > limit {
            return Err(Error::TooLarge { digest: *digest, bytes: size });
        }
        let bytes = packed::unpack(&packed, limit).map_err(|source| self.damaged(digest, source))?;
        if tree::digest_of(&bytes) != *digest {
            return Err(self.damaged(digest, packed::invalid("the content has another digest")));
        }
        Ok(bytes.into())
    }

    /// A folder's listing.
    ///
    /// # Errors
    /// As [`BlobStore::read`], and when the blob is no listing.
    pub fn read_tree(&self, digest: &Digest) -> Result<Tree, Error> {
        let bytes = match self.read_up_to(digest, tree::MAX_TREE_BYTES) {
            // Some kilobytes on the wire may be gigabytes: looked at by its size, and refused as what it cannot be.
            Err(Error::TooLarge { digest, bytes }) => {
                return Err(Error::Tree { digest, source: tree::Error::TooLong(bytes) });
            }
            other => other?,
        };
        tree::decode(&bytes).map_err(|source| Error::Tree { digest: *digest, source })
    }

    /// Streams the raw content of a blob into a writer, checked against its digest at the end: what was written
    /// counts only when this returns well.
    ///
    /// # Errors
    /// Missing, damaged, or the disk refuses.
    pub fn copy_to(&self, digest: &Digest, to: &mut dyn io::Write) -> Result<u64, Error> {
        let path = self.path(digest);
        let file = self.open_blob(digest)?;
        let mut reader = packed::decoder(file).map_err(io_error("read", &path))?;
        let mut hasher = blake3::Hasher::new();
        let (mut buffer, mut size) = (vec![0; 64 * 1024], 0);
        loop {
            let count = reader.read(&mut buffer).map_err(|source| self.damaged(digest, source))?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            to.write_all(&buffer[..count]).map_err(io_error("copy from", &path))?;
            size += count as u64;
        }
        if hasher.finalize().as_bytes() != &digest.0 {
            return Err(self.damaged(digest, packed::invalid("the content has another digest")));
        }
        Ok(size)
    }

    /// When the blob was first seen here, or by the server it was fetched from.
    ///
    /// # Errors
    /// Missing, or the disk refuses.
    pub fn first_seen(&self, digest: &Digest) -> Result<Timestamp, Error> {
        let metadata = self.metadata(digest)?;
        Ok(metadata.modified().map_or(Timestamp::UNIX_EPOCH, time_of))
    }

    /// Which of these blobs are here by themselves, in the order given. Says nothing of what is below a tree.
    #[must_use]
    pub fn has(&self, digests: &[Digest]) -> Vec<bool> {
        let has: Vec<bool> = digests.iter().map(|digest| self.touch(digest)).collect();
        if has.contains(&false) {
            self.lock(&self.inner.complete).clear();
        }
        has
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// The disk refuses; what was written may be lost at a power cut.
    pub fn sync(&self) -> Result<(), Error> {
        let directory = &self.inner.directory;
        self.inner.unsynced.sync(directory).map_err(io_error("sync", directory))
    }

    /// The packed bytes of a blob; not checked against the digest.
    fn read_packed(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let mut file = self.open_blob(digest)?;
        let path = self.path(digest);
        let mut packed = Vec::new();
        file.read_to_end(&mut packed).map_err(io_error("read", &path))?;
        Ok(packed)
    }

    /// Opens a blob's file: its packed content.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File, Error> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(file),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                self.lock(&self.inner.complete).clear();
                Err(Error::Missing(*digest))
            }
            Err(source) => Err(Error::Io { action: "open", path, source }),
        }
    }

    /// A new file to write a blob to.
    pub(crate) fn aside(&self) -> Result<Aside, Error> {
        let folder = self.inner.directory.join("aside");
        Aside::create(&folder).map_err(io_error("write to", &folder))
    }

    /// Gives a file written aside its name. A blob that somebody else brought meanwhile stays as it is.
    pub(crate) fn keep(&self, aside: Aside, digest: &Digest) -> Result<(), Error> {
        let target = self.path(digest);
        let _removal = self.inner.removal.read().unwrap_or_else(PoisonError::into_inner);
        aside.keep(&target, || self.metadata(digest).is_err()).map_err(io_error("write", &target))?;
        self.inner.unsynced.add(&target);
        self.inner.changes.fetch_add(1, Ordering::Relaxed);
        self.remember_touch(digest);
        Ok(())
    }

    /// Whether a blob is here; if so it is young again for the next sweep.
    pub(crate) fn touch(&self, digest: &Digest) -> bool {
        let _removal = self.inner.removal.read().unwrap_or_else(PoisonError::into_inner);
        if self.metadata(digest).is_err() {
            return false;
        }
        let (now, same) = (TimeSpec::UTIME_NOW, TimeSpec::UTIME_OMIT);
        let path = self.path(digest);
        // A file of another user cannot be touched; then only its first-seen time keeps it from a sweep.
        if let Err(error) = utimensat(AT_FDCWD, &path, &now, &same, UtimensatFlags::NoFollowSymlink) {
            tracing::debug!(%error, blob = %digest.short(), "could not note that a blob was asked for");
        }
        self.remember_touch(digest);
        true
    }

    fn remember_touch(&self, digest: &Digest) {
        if let Some(touched) = self.lock(&self.inner.touched).as_mut() {
            touched.insert(*digest);
        }
    }

    fn metadata(&self, digest: &Digest) -> Result<fs::Metadata, Error> {
        let path = self.path(digest);
        match fs::metadata(&path) {
            // No frame is empty: this is what a power cut leaves of a file that was renamed before it was written.
            Ok(metadata) if metadata.size() > 0 => Ok(metadata),
            Ok(_) => Err(Error::Missing(*digest)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Err(Error::Missing(*digest)),
            Err(source) => Err(Error::Io { action: "look at", path, source }),
        }
    }

    /// Puts a damaged blob away, so that it is missing from now on.
    fn damaged(&self, digest: &Digest, source: io::Error) -> Error {
        if source.raw_os_error().is_some() {
            // The disk failed, not the content: what is there may be whole.
            return Error::Io { action: "read", path: self.path(digest), source };
        }
        let away = self.inner.directory.join("damaged").join(digest.to_string());
        if let Err(error) = fs::rename(self.path(digest), away) {
            tracing::warn!(%error, blob = %digest.short(), "could not put a damaged blob away");
        }
        self.lock(&self.inner.complete).clear();
        Error::Damaged { digest: *digest, source }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.inner.directory.join(&name[..2]).join(&name[2..])
    }

    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn time_of(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
