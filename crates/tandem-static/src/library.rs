//! All trees of static files that some table names, and how they get onto this machine's disk.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use tandem_blobs::cache::Error as CacheError;
use tandem_blobs::transfer::{self, FetchError};
use tandem_kit::api::Client;
use tandem_kit::clock::Clock;
use tandem_kit::tasks;
use tandem_types::Digest;
use tandem_types::routing::{StaticFolder, Table};

use super::sweep::{Swept, sweep};
use super::{Folder, Shelf, Site};

/// Why a tree cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
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
pub struct Library {
    directory: PathBuf,
    shelf: Shelf,
    clock: Clock,
    sites: HashMap<Digest, Arc<Site>>,
    /// Trees that no table names, but perhaps a request that began under an earlier table.
    leaving: Vec<Weak<Site>>,
    kept: Arc<AtomicUsize>,
}

impl Library {
    /// Opens the folder where files are kept. The clock tells how old they are.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(directory: &Path, clock: Clock) -> Result<Self, CacheError> {
        Ok(Self {
            directory: directory.to_owned(),
            shelf: Shelf::open(directory)?,
            clock,
            sites: HashMap::new(),
            leaving: Vec::new(),
            kept: Arc::default(),
        })
    }

    /// A route's folder with its trees, which may not be loaded yet.
    pub fn folder(&mut self, folder: &StaticFolder) -> Folder {
        let sites = folder.trees.iter().map(|root| self.site(*root)).collect();
        Folder { prefix: folder.prefix.as_str().into(), sites }
    }

    fn site(&mut self, root: Digest) -> Arc<Site> {
        let made = || Arc::new(Site::new(root, self.shelf.cache().clone(), Arc::clone(&self.kept)));
        Arc::clone(self.sites.entry(root).or_insert_with(made))
    }

    /// Trees of a table that cannot be served yet.
    pub fn unloaded(&mut self, table: &Table) -> Vec<Arc<Site>> {
        let roots: HashSet<_> = roots_of(table).collect();
        roots.into_iter().map(|root| self.site(root)).filter(|site| !site.is_loaded()).collect()
    }

    /// Forgets trees that none of the tables names. Their files stay on the disk until the next sweep.
    pub fn forget<'a>(&mut self, tables: impl Iterator<Item = &'a Table>) {
        let named: HashSet<_> = tables.flat_map(roots_of).collect();
        let gone = self.sites.extract_if(|root, _| !named.contains(root));
        self.leaving.extend(gone.map(|(_, site)| Arc::downgrade(&site)));
        self.leaving.retain(|site| site.strong_count() > 0);
    }

    /// Removes files from the disk that no tree of a table needs and no request that is under way. The work yields
    /// whether it is done: a fetch interrupts it, and nothing is removed before all trees are loaded, since until then
    /// nobody knows what they need.
    pub fn sweep(&mut self) -> impl Future<Output = bool> + Send + 'static {
        self.leaving.retain(|site| site.strong_count() > 0);
        let quiet = self.shelf.quiet();
        let used = self.leaving.iter().filter_map(Weak::upgrade);
        let sites: Vec<_> = self.sites.values().cloned().chain(used).collect();
        let (shelf, directory, now) = (self.shelf.clone(), self.directory.clone(), self.clock.now());
        let remove = move || {
            if !sites.iter().all(|site| site.is_loaded()) {
                return Ok(Swept::Interrupted);
            }
            let digests = sites.iter().flat_map(|site| site.digests());
            let named: HashSet<_> = digests.map(|digest| shelf.cache().path(&digest, false)).collect();
            sweep(&directory, &named, now, &quiet)
        };
        async move {
            match tasks::blocking("sweep static files", remove).await {
                Ok(Swept::Interrupted) => return false,
                Ok(Swept::Through(0)) => {}
                Ok(Swept::Through(removed)) => {
                    tracing::info!("removed {removed} static files that no table names any more");
                }
                Err(error) => tracing::warn!("cannot remove old static files: {error}"),
            }
            true
        }
    }

    /// The folder of files.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
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
pub async fn load(client: &Client, shelf: &Shelf, site: &Arc<Site>) -> Result<(), LoadError> {
    let _fetching = shelf.fetching().await;
    if site.load().await.is_ok() {
        return Ok(());
    }
    let root = site.root();
    transfer::fetch_tree(client, shelf.cache(), root)
        .await
        .map_err(|source| LoadError::Fetch { root, source })?;
    site.load().await.map_err(|source| LoadError::List { root, source })
}
