//! A balancer from its configuration to its end: lock, listen, restore, serve, drain.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tandem_blobs::cache::Error as CacheError;
use tandem_kit::api::{Client, Server};
use tandem_kit::clock::Clock;
use tandem_kit::drain::Drain;
use tandem_kit::files::{self, LockGuard};
use tandem_kit::tasks::{self, Failure, Kind, Tasks};
use tandem_kit::version::Version;
use tandem_types::instance::Address;
use tandem_types::routing::BalancerStatus;
use tandem_types::{BalancerId, Epoch, defaults};
use tokio::sync::{Notify, oneshot, watch};

use crate::control::{Control, Identity, Outlets};
use crate::open_files;
use crate::probe::{probe, run_probes};
use crate::process::{self, Process};
use crate::serve::{Limits, ListenError, Listeners, Serving, start_threads};
use crate::shared::Shared;
use crate::static_files::Library;
use crate::table::{Holder, Registry, StateFile, keep_saved, report};

/// Longest wait for a first table before requests are answered without one.
const FIRST_TABLE: Duration = Duration::from_secs(3);
/// Longest wait for the first probes of a saved table: nobody is served meanwhile, and one instance that hangs must not
/// keep all others waiting.
const FIRST_PROBES: Duration = Duration::from_millis(250);
/// Time after the drain's limit for the threads to end.
const GRACE: Duration = Duration::from_secs(2);

/// What a balancer is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its name.
    pub id: BalancerId,
    /// The server it follows.
    pub server: Server,
    /// Its own folder: lock, last table, static files. Made where it is missing.
    pub state_dir: PathBuf,
    /// Where to serve HTTP. Port 0 picks a free one, the same for all addresses that ask for it.
    pub http: Vec<SocketAddr>,
    /// Serving threads; none: one per processor.
    pub threads: Option<usize>,
    /// Time over which websockets of un-routed instances are ended, and which open requests get when the process drains.
    pub drain_limit: Duration,
    /// Clock for its start time.
    pub clock: Clock,
}

impl Config {
    /// A configuration with the defaults.
    #[must_use]
    pub fn new(id: BalancerId, server: Server, state_dir: PathBuf, http: Vec<SocketAddr>) -> Self {
        let drain_limit = defaults::DRAIN_TIMEOUT.as_duration();
        Self { id, server, state_dir, http, threads: None, drain_limit, clock: Clock::system() }
    }
}

/// Why a balancer could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Another balancer has the state folder.
    #[error("take {}: another balancer uses it", .0.display())]
    Taken(PathBuf),
    /// The state folder is of no use.
    #[error("use the state folder")]
    Folder(#[source] files::Error),
    /// The folder of static files is of no use.
    #[error("use the folder of static files")]
    StaticFiles(#[source] CacheError),
    /// The ports are not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Why a balancer ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A serving thread did not start or broke down.
    #[error("run a serving thread")]
    Thread(#[source] io::Error),
    /// What others need to find this process could not be written.
    #[error("write down where this balancer serves")]
    Process(#[source] files::Error),
    /// A part of the control side broke down.
    #[error("run {}: {}", .0.task, .0.message)]
    Task(Failure),
}

/// A balancer that holds its folder and its ports but does not serve yet.
#[derive(Debug)]
pub struct Balancer {
    config: Config,
    identity: Identity,
    listeners: Listeners,
    library: Library,
    pub(crate) limits: Limits,
    _lock: LockGuard,
}

impl Balancer {
    /// Takes the folder and the ports.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(config: Config) -> Result<Self, BuildError> {
        let lock = process::lock(&config.state_dir).map_err(BuildError::Folder)?;
        let lock = lock.ok_or_else(|| BuildError::Taken(config.state_dir.clone()))?;
        let threads = config.threads.unwrap_or_else(processors).max(1);
        let listeners = Listeners::bind(&config.http, threads)?;
        let library = Library::open(&config.state_dir.join("static"), config.clock.clone())
            .map_err(BuildError::StaticFiles)?;
        let identity = Identity {
            id: config.id.clone(),
            started: config.clock.now(),
            http: listeners.addresses.clone(),
        };
        Ok(Self { config, identity, listeners, library, limits: Limits::default(), _lock: lock })
    }

    /// Where it will serve HTTP, with the real ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.identity.http
    }

    /// Serves until `drain` is requested, then lets open requests finish. `serving` is told the addresses once requests
    /// are answered and [`Process::find`] finds this process.
    ///
    /// # Errors
    /// See [`RunError`]; the failure of one part drains all others.
    pub async fn run(
        self,
        drain: Drain,
        serving: Option<oneshot::Sender<Vec<SocketAddr>>>,
    ) -> Result<(), RunError> {
        let Self { config, identity, listeners, library, limits, _lock } = self;
        let tasks = Tasks::new(drain.clone());
        let most = open_files::most_connections();
        let shared = Arc::new(Shared::new(listeners.threads.len(), most, config.drain_limit));
        let open = watch::Sender::new(false);
        let threads =
            Serving { shared: Arc::clone(&shared), limits, drain: drain.clone(), open: open.subscribe() };
        let ends = start_threads(&threads, listeners.threads).map_err(RunError::Thread)?;
        tasks.spawn("serving-threads", Kind::Component, until_ended(ends));
        start_control(&tasks, &config, (identity.clone(), open.clone()), (shared, library)).await;
        tasks.spawn(
            "announce",
            Kind::Component,
            announce(identity, config.state_dir, (open, drain.clone()), serving),
        );
        drain.requested().await;
        // The threads keep the limit themselves; a moment more lets them say so.
        tasks.join(config.drain_limit + GRACE).await;
        tasks.failure().map_or(Ok(()), |failure| Err(RunError::Task(failure)))
    }
}

/// Restores the last table and starts everything that is not a serving thread.
async fn start_control(
    tasks: &Tasks,
    config: &Config,
    (identity, open): (Identity, watch::Sender<bool>),
    (shared, library): (Arc<Shared>, Library),
) {
    let news = Arc::new(Notify::new());
    let client = Client::new(config.server.clone());
    let mut file = StateFile::new(config.state_dir.join("state.json"));
    let mut holder = restore(&mut file, (Arc::clone(&shared), library), &news).await;
    if holder.serving().epoch != Epoch::default() {
        open.send_replace(true);
    }
    let (status, statuses) = watch::channel(first_status(&identity));
    let (targets, probed) = watch::channel(holder.targets());
    let (saved, states) = watch::channel(None);
    tasks.spawn("report", Kind::Helper, report(client.clone(), statuses));
    tasks.spawn("probe", Kind::Helper, run_probes(probed, Arc::clone(&news)));
    // Brought to its end: who starts while the server is away serves what was written last.
    tasks.spawn("save", Kind::Work, keep_saved(file, states));
    let outlets = Outlets { status, targets, saved, open };
    let control = Control::new(identity, (shared, holder), client, (outlets, news));
    tasks.spawn("control", Kind::Component, control.run(tasks.drain().clone()));
}

/// Serves the table of an earlier life, if there was one. Its instances may be gone: each is probed before it is trusted;
/// one that takes its time comes into its pool later.
async fn restore(
    file: &mut StateFile,
    (shared, library): (Arc<Shared>, Library),
    news: &Arc<Notify>,
) -> Holder {
    let saved = file.load();
    let places = saved.as_ref().map(|saved| saved.places.clone()).unwrap_or_default();
    let mut holder = Holder::new(shared, Registry::new(places, Arc::clone(news)), library);
    let Some(saved) = saved else { return holder };
    let epoch = saved.table.epoch;
    holder.serve(saved.table);
    let targets = holder.targets();
    join_all(targets.iter().map(|target| async move {
        let probed = tokio::time::timeout(FIRST_PROBES, probe(target)).await;
        target.instance.set_healthy(probed.is_ok_and(|probed| probed.is_ok()));
    }))
    .await;
    for site in holder.unloaded() {
        // What is not on the disk is fetched as soon as the server is there.
        let _ = site.load().await;
    }
    let well = targets.iter().filter(|target| target.instance.is_healthy()).count();
    tracing::info!(%epoch, "serving the saved routing table {epoch}: {well} of {} instances answer", targets.len());
    holder
}

fn first_status(identity: &Identity) -> BalancerStatus {
    BalancerStatus {
        balancer: identity.id.clone(),
        started: identity.started,
        serving: Epoch::default(),
        prepared: None,
        problem: None,
        draining: BTreeMap::new(),
        unhealthy: Vec::new(),
        http: identity.http.iter().copied().map(Address::Tcp).collect(),
        requests: 0,
    }
}

/// Opens the doors once there is a table, or after a while without one: what is listened on is answered. Then tells.
async fn announce(
    identity: Identity,
    state_dir: PathBuf,
    (open, drain): (watch::Sender<bool>, Drain),
    serving: Option<oneshot::Sender<Vec<SocketAddr>>>,
) -> Result<(), RunError> {
    let mut opened = open.subscribe();
    tokio::select! {
        () = drain.requested() => return Ok(()),
        _ = tokio::time::timeout(FIRST_TABLE, opened.wait_for(|open| *open)) => {}
    }
    open.send_replace(true);
    let process = Process {
        pid: std::process::id(),
        id: identity.id,
        started: identity.started,
        http: identity.http,
        version: Version::current().name.clone(),
    };
    let written = process.clone();
    let write = move || written.write(&state_dir);
    tasks::blocking("write the process file", write).await.map_err(RunError::Process)?;
    if let Some(serving) = serving {
        // Whoever asked may have stopped waiting.
        let _ = serving.send(process.http);
    }
    Ok(())
}

/// Waits for the threads; one that breaks down takes the process along.
async fn until_ended(ends: Vec<oneshot::Receiver<io::Result<()>>>) -> Result<(), RunError> {
    let ends = ends.into_iter().map(|end| async {
        let broke_down = |_| Err(io::Error::other("the thread panicked"));
        end.await.unwrap_or_else(broke_down).map_err(RunError::Thread)
    });
    try_join_all(ends).await.map(drop)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
