//! The builder: one source in, one build out.
//!
//! Builds of one app wait for each other, since they share its caches; builds of different apps do not. A build that is
//! given up (its future dropped) is cleaned up after as soon as nothing works in its folder any more, for which the next one
//! waits; what a killed process left is removed by its next start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tandem_blobs::BlobStore;
use tandem_kit::clock::Clock;
use tandem_kit::paths::DataDir;
use tandem_kit::tasks;
use tandem_sandbox::Limits;
use tandem_types::build::{Build, SourceInfo};
use tandem_types::instance::Isolation;
use tandem_types::{AppName, BuildNumber, Digest, Span, Timestamp};
use tokio::sync::OwnedMutexGuard;

use crate::error::io_error;
use crate::node::{self, Node, modules};
use crate::python::{Python, Stamp, places};
use crate::workshop::{self, Occupied, Workshop};
use crate::{Error, Events, NetworkSettings, bounds, dependencies, git, static_files, tools, uv_cache};

mod fetch;
mod leftovers;
mod part;
mod pythons;
mod steps;
mod stock;

use steps::Steps;
pub use stock::{Stock, Stocked};

/// What a builder works with.
#[derive(Debug, Clone)]
pub struct BuilderConfig {
    /// Folders: caches below `build`, uv in `tools`.
    pub data: DataDir,
    /// Where sources come from and builds go to.
    pub blobs: BlobStore,
    /// Times of builds and their limits.
    pub clock: Clock,
    /// How commands are kept apart; see [`tandem_sandbox::isolation()`].
    pub isolation: Isolation,
    /// The way to the package index.
    pub network: NetworkSettings,
    /// Bytes of downloads kept for an app.
    pub uv_cache_bytes: u64,
    /// Most bytes that one fetch of a source may bring, and that are kept of an app's fetches.
    pub git_bytes: u64,
    /// What a command of a build may use.
    pub limits: Limits,
    /// Folders of the machine's interpreters; Tandem's own are in the data folder.
    pub python_folders: Vec<PathBuf>,
}

impl BuilderConfig {
    /// A builder with the network settings of this process and the usual limits.
    #[must_use]
    pub fn new(data: DataDir, blobs: BlobStore, clock: Clock, isolation: Isolation) -> Self {
        let network = NetworkSettings::of_process();
        let (uv_cache_bytes, git_bytes, limits) =
            (uv_cache::USUAL_BYTES, git::USUAL_BYTES, workshop::limits());
        let python_folders = places::FOLDERS.map(PathBuf::from).to_vec();
        Self { data, blobs, clock, isolation, network, uv_cache_bytes, git_bytes, limits, python_folders }
    }
}

/// What is to be built.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The app.
    pub app: AppName,
    /// The build's number.
    pub number: BuildNumber,
    /// Root tree of the source, complete in the blob store.
    pub tree: Digest,
    /// Where it came from.
    pub source: SourceInfo,
    /// User and group id of the environment's instances. Commands get one of their own that goes with it.
    pub uid: u32,
    /// Time budget of the whole build, [`tandem_types::defaults::BUILD_TIMEOUT`] as a rule.
    pub timeout: Span,
}

/// Builds sources. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Builder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: BuilderConfig,
    /// One lock an app.
    locks: Mutex<BTreeMap<AppName, Arc<tokio::sync::Mutex<()>>>>,
    /// Programs that were asked what they are: a start of Python or uv for each build would be half of its time.
    pythons: Mutex<Vec<(Stamp, Python)>>,
    uvs: Mutex<Vec<(Stamp, String)>>,
}

impl Builder {
    /// A builder; nothing is touched before the first build.
    #[must_use]
    pub fn new(config: BuilderConfig) -> Self {
        let inner =
            Inner { config, locks: Mutex::default(), pythons: Mutex::default(), uvs: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Builds a source. The same source and lock file give the same [`Build::digest`] on machines of one platform. What
    /// is in the returned build is durable.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::to_problem`] says it to people.
    pub async fn build(&self, request: BuildRequest, events: Events<'_>) -> Result<Build, Error> {
        let guard = self.turn(&request).await?;
        // It may have waited for long.
        if let Some(left) = bounds::too_little(self.inner.config.data.root()) {
            return Err(Error::NoRoom { left });
        }
        let started = self.clock().monotonic();
        let shop = Arc::new(self.open_workshop(&request, guard).await?);
        let result = Steps::new(self, Arc::clone(&shop), events).run(&request).await;
        shop.leave().await;
        let finished = result?;
        let duration = self.clock().monotonic().elapsed_since(started);
        Ok(Build {
            subtrees: finished.subtrees,
            spec: finished.spec,
            source: request.source,
            interpreter: finished.interpreter,
            node: finished.node,
            duration: Span::millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
            warnings: finished.warnings,
            notes: finished.notes,
            packages: finished.packages,
            ..Build::new(request.app, request.number, finished.digest, self.now())
        })
    }

    /// Removes what builds of an earlier process left behind: folders they worked in, control groups and what still runs
    /// in them. Only before the first build of this process.
    pub async fn remove_leftovers(&self) {
        let data = self.inner.config.data.clone();
        leftovers::remove(&data).await;
    }

    /// Roots of trees that the builder's caches name. A sweep of blobs that keeps them spares builds from doing their
    /// work again; one that does not is no harm.
    #[must_use]
    pub fn roots(&self) -> Vec<Digest> {
        let Ok(apps) = std::fs::read_dir(self.inner.config.data.build()) else { return Vec::new() };
        let roots = |folder: &Path| {
            [dependencies::KEPT.roots(folder), static_files::roots(folder), modules::KEPT.roots(folder)]
                .concat()
        };
        apps.filter_map(Result::ok).flat_map(|app| roots(&app.path())).collect()
    }

    /// Removes everything that is kept for an app, for when it is destroyed. Blobs go with the next sweep.
    ///
    /// # Errors
    /// The disk refuses.
    pub async fn forget(&self, app: &AppName) -> Result<(), Error> {
        let guard = self.lock_of(app).lock_owned().await;
        let folder = self.inner.config.data.build().join(app.as_str());
        let remove = move || {
            // Held by the work: it goes on where nobody waits for it any more.
            let _guard = guard;
            match tandem_kit::files::remove_tree(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(io_error("remove", &folder)(error))
                }
                _ => Ok(()),
            }
        };
        tasks::blocking("remove build folder", remove).await
    }

    /// Waits for builds of the app that came before, for as long as the build itself may take.
    async fn turn(&self, request: &BuildRequest) -> Result<OwnedMutexGuard<()>, Error> {
        let turn = self.lock_of(&request.app).lock_owned();
        let limit = request.timeout;
        tokio::time::timeout(limit.as_duration(), turn).await.map_err(|_| Error::Busy { limit })
    }

    /// Opens it under the app's lock, also where nobody waits for it any more.
    async fn open_workshop(
        &self,
        request: &BuildRequest,
        guard: OwnedMutexGuard<()>,
    ) -> Result<Occupied, Error> {
        let (config, app) = (self.inner.config.clone(), request.app.clone());
        let (uid, limit) = (request.uid, request.timeout);
        let open = move || {
            let BuilderConfig { data, clock, isolation, network, limits, .. } = &config;
            let isolation = *isolation;
            let options =
                workshop::Options { data, app: &app, isolation, uid, network, clock, limit, limits };
            Workshop::open(&options).map(|shop| Occupied::new(shop, guard))
        };
        tasks::blocking("open build folder", open).await
    }

    fn lock_of(&self, app: &AppName) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.inner.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(app.clone()).or_default())
    }

    fn blobs(&self) -> &BlobStore {
        &self.inner.config.blobs
    }

    fn clock(&self) -> &Clock {
        &self.inner.config.clock
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// The Node for what is wanted. Asking one costs 40 ms.
    async fn node(&self, wanted: &node::Wanted) -> Result<Node, Error> {
        let BuilderConfig { data, isolation, .. } = &self.inner.config;
        let node = node::find(wanted, &data.nodes()).await?;
        // Without a sandbox paths are those of the machine.
        let path = if *isolation == Isolation::Plain { node.host.clone() } else { node.path.clone() };
        Ok(Node { path, ..node })
    }

    /// uv and its version; installed where it is not there.
    async fn uv(&self, events: Events<'_>) -> Result<(PathBuf, String), Error> {
        let path = tools::ensure_uv(&self.inner.config.data, self.clock(), events).await?;
        let stamp = Stamp::of(&path).map_err(io_error("look at", &path))?;
        if let Some(version) = known(&self.inner.uvs, &stamp) {
            return Ok((path, version));
        }
        let version = tools::uv_version(&path).await?;
        remember(&self.inner.uvs, stamp, version.clone());
        Ok((path, version))
    }
}

fn known<T: Clone>(all: &Mutex<Vec<(Stamp, T)>>, stamp: &Stamp) -> Option<T> {
    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().find(|(known, _)| known == stamp).map(|(_, value)| value.clone())
}

fn remember<T>(all: &Mutex<Vec<(Stamp, T)>>, stamp: Stamp, value: T) {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.truncate(15);
    all.insert(0, (stamp, value));
}
