//! The folder of static files on the disk, and who is busy with it: fetches side by side, a sweep only between them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tandem_blobs::cache::{Error as CacheError, LinkCache};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, RwLockReadGuard};

/// Files by digest; cheap to clone.
#[derive(Debug, Clone)]
pub struct Shelf {
    cache: LinkCache,
    busy: Arc<RwLock<()>>,
    fetches: Arc<AtomicU64>,
}

/// The moment from which on nothing was fetched, as long as it may be held.
#[derive(Debug)]
pub(super) struct Quiet {
    shelf: Shelf,
    fetches: u64,
}

impl Shelf {
    /// Opens the folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(directory: &Path) -> Result<Self, CacheError> {
        Ok(Self { cache: LinkCache::open(directory)?, busy: Arc::default(), fetches: Arc::default() })
    }

    /// The files.
    pub fn cache(&self) -> &LinkCache {
        &self.cache
    }

    /// Nothing is removed until the guard is dropped. Waits for the folder that is being swept, of 256, at most.
    pub(super) async fn fetching(&self) -> RwLockReadGuard<'_, ()> {
        let guard = self.busy.read().await;
        self.fetches.fetch_add(1, Ordering::SeqCst);
        guard
    }

    /// To be asked for before it is found out what is to be kept.
    pub(super) fn quiet(&self) -> Quiet {
        Quiet { shelf: self.clone(), fetches: self.fetches.load(Ordering::SeqCst) }
    }
}

impl Quiet {
    /// Keeps fetches waiting while files are removed. None: there is one, or there was one since.
    pub(super) fn hold(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        let guard = Arc::clone(&self.shelf.busy).try_write_owned().ok()?;
        (self.shelf.fetches.load(Ordering::SeqCst) == self.fetches).then_some(guard)
    }
}
