//! All trees of static files that some table names, and how they get onto this machine's disk.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tandem_blobs::cache::{Error as CacheError, LinkCache};
use tandem_blobs::transfer::{self, FetchError};
use tandem_kit::api::Client;
use tandem_kit::tasks;
use tandem_types::routing::{StaticFolder, Table};
use tandem_types::{Digest, Timestamp};

use super::sweep::sweep;
use super::{Folder, Site};

/// Why a tree cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It did not come.
    #[error("fetch the static files {}", root.short())]
    Fetch {
        /// Its digest.
        root: Digest,
        /// Why not.
        #[source]
        source: FetchError,
    },
    /// It is not whole on the disk.
    #[error("list the static files {}", root.short())]
    List {
        /// Its digest.
        root: Digest,
        /// Why not.
        #[source]
        source: CacheError,
    },
}

/// Trees by digest.
#[derive(Debug)]
pub(crate) struct Library {
    directory: PathBuf,
    cache: LinkCache,
    sites: HashMap<Digest, Arc<Site>>,
    kept: Arc<AtomicUsize>,
}

impl Library {
    /// Opens the folder where files are kept.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn open(directory: &Path) -> Result<Self, CacheError> {
        let cache = LinkCache::open(directory)?;
        Ok(Self { directory: directory.to_owned(), cache, sites: HashMap::new(), kept: Arc::default() })
    }

    /// A route's folder with its trees, which may not be loaded yet.
    pub(crate) fn folder(&mut self, folder: &StaticFolder) -> Folder {
        let sites = folder.trees.iter().map(|root| self.site(*root)).collect();
        Folder { prefix: folder.prefix.as_str().into(), sites }
    }

    fn site(&mut self, root: Digest) -> Arc<Site> {
        let made = || Arc::new(Site::new(root, self.cache.clone(), Arc::clone(&self.kept)));
        Arc::clone(self.sites.entry(root).or_insert_with(made))
    }

    /// Trees of a table that cannot be served yet.
    pub(crate) fn unloaded(&mut self, table: &Table) -> Vec<Arc<Site>> {
        let roots: HashSet<_> = roots_of(table).collect();
        roots.into_iter().map(|root| self.site(root)).filter(|site| !site.is_loaded()).collect()
    }

    /// Forgets trees that none of the tables names. Their files stay on the disk: a rollback may want them again.
    pub(crate) fn forget<'a>(&mut self, tables: impl Iterator<Item = &'a Table>) {
        let named: HashSet<_> = tables.flat_map(roots_of).collect();
        self.sites.retain(|root, _| named.contains(root));
    }

    /// Removes files from the disk that no tree has needed for a while. To be called when all trees are loaded and before
    /// anything is fetched; a tree that is not loaded makes it do nothing.
    pub(crate) async fn sweep(&self, now: Timestamp) {
        if !self.sites.values().all(|site| site.is_loaded()) {
            return;
        }
        let digests = self.sites.values().flat_map(|site| site.digests());
        let named: HashSet<_> = digests.map(|digest| self.cache.path(&digest, false)).collect();
        let directory = self.directory.clone();
        match tasks::blocking("sweep static files", move || sweep(&directory, &named, now)).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!("removed {removed} static files that nothing names any more"),
            Err(error) => tracing::warn!("cannot remove old static files: {error}"),
        }
    }

    /// The folder of files.
    pub(crate) fn cache(&self) -> &LinkCache {
        &self.cache
    }
}

fn roots_of(table: &Table) -> impl Iterator<Item = Digest> {
    let folders = table.routes.iter().flat_map(|route| &route.static_folders);
    folders.flat_map(|folder| folder.trees.iter().copied())
}

/// Makes a tree ready to be served: from the disk, or with what the server sends.
///
/// # Errors
/// See [`LoadError`]. What came stays, so trying again fetches the rest.
pub(crate) async fn load(client: &Client, cache: &LinkCache, site: &Arc<Site>) -> Result<(), LoadError> {
    if site.load().await.is_ok() {
        return Ok(());
    }
    let root = site.root();
    transfer::fetch_tree(client, cache, root).await.map_err(|source| LoadError::Fetch { root, source })?;
    site.load().await.map_err(|source| LoadError::List { root, source })
}
