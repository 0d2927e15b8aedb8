//! The runner as a whole: built from its configuration, run until the drain.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tandem_blobs::{LinkCache, cache, checkout};
use tandem_kit::api::{Client, Server};
use tandem_kit::clock::Clock;
use tandem_kit::drain::{self, Drain, Trigger};
use tandem_kit::paths::DataDir;
use tandem_kit::tasks::{self, Kind, Tasks};
use tandem_kit::{files, http};
use tandem_sandbox::packet_rules::Tables;
use tandem_types::instance::Address;
use tandem_types::{HostName, Span, defaults, keys};
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::api::Desk;
use crate::board::Board;
use crate::context::Context;
use crate::folders::Folders;
use crate::holds::Holds;
use crate::host::{self, Host};
use crate::ledger::Ledger;
use crate::logs::trim;
use crate::packet_rules::PacketRules;
use crate::port_range::PortRange;
use crate::reconcile::{Outlets, Reconciler};
use crate::stage::sweep::KEEP_TREE;
use crate::stage::{Needs, Stager};
use crate::{api, report};

/// Time that answers under way get at the end.
const JOIN_LIMIT: Duration = Duration::from_secs(1);
/// What no actor stands for is rare and harms little; looking for it reads a few folders.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// What a runner is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of this host; the assignments under it are obeyed.
    pub host: HostName,
    /// The data folder; `runner/` and `volumes/` in it are the runner's.
    pub data: DataDir,
    /// Where the server is.
    pub server: Server,
    /// The program that is a shim when called `<binary> shim DIR`.
    pub binary: PathBuf,
    /// TCP ports of Tandem's own on this host that no app may reach over loopback, such as the API's. They may change: a
    /// server that runs apart may be started at another address.
    pub closed_ports: watch::Receiver<BTreeSet<u16>>,
    /// What the drain means for the instances; read when it comes.
    pub end: watch::Receiver<EndMode>,
    /// Wall and monotonic time.
    pub clock: Clock,
}

/// What becomes of the instances when the runner ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndMode {
    /// They go on, for the next runner to take over.
    #[default]
    Leave,
    /// Each gets its stop signal and its time; the runner ends after them.
    StopAll,
}

/// Times that tests have shorter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// What instances have from their start to being ready.
    pub(crate) budget: Span,
    /// Between two looks for what no actor stands for.
    pub(crate) sweep: Duration,
    /// How long a tree stays that nobody needs.
    pub(crate) keep_trees: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { budget: defaults::READINESS_BUDGET, sweep: SWEEP_INTERVAL, keep_trees: KEEP_TREE }
    }
}

/// Why a runner could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its folders.
    #[error("prepare the runner's folder")]
    Folders(#[source] files::Error),
    /// Its record of fences and ports.
    #[error("read what the runner wrote down")]
    Ledger(#[source] files::Error),
    /// Its blobs.
    #[error("open the runner's blob cache")]
    Cache(#[source] cache::Error),
    /// Half-made trees of an earlier process.
    #[error("remove unfinished checkouts")]
    Leftovers(#[source] checkout::Error),
    /// Its own API.
    #[error("open the runner's socket")]
    Bind(#[source] http::BindError),
}

/// The host reconciler, ready to run.
pub struct Runner {
    context: Arc<Context>,
    host: Host,
    cache: LinkCache,
    outlets: Outlets,
    listener: UnixListener,
    end: watch::Receiver<EndMode>,
    trigger: Trigger,
    tasks: Tasks,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("host", &self.host.name).finish_non_exhaustive()
    }
}

impl Runner {
    /// Opens the folders and the socket, and finds out how instances can be kept apart. Nothing is started or stopped.
    ///
    /// # Errors
    /// A folder cannot be made or read, or another runner listens on the socket.
    pub async fn build(config: Config) -> Result<Self, Error> {
        Self::with_pace(config, Pace::default()).await
    }

    /// As [`Runner::build`], with times of one's own.
    pub(crate) async fn with_pace(config: Config, pace: Pace) -> Result<Self, Error> {
        let (folders, ledger, cache) = open(&config.data)?;
        let (isolation, explanation) = tasks::blocking("isolation", tandem_sandbox::isolation).await;
        tracing::info!(?isolation, "{explanation}");
        let socket = config.data.runner_socket();
        let listener = http::bind_unix(&socket, 0o600).await.map_err(Error::Bind)?;
        let host = Host {
            name: config.host.clone(),
            boot_id: host::boot_id(),
            started: config.clock.now(),
            api: Address::Unix(socket),
            isolation,
        };
        let (alone, alone_seen) = watch::channel(false);
        let board = Board::default();
        let (tables, closed) = (Tables::of(&config.data), config.closed_ports);
        let context = Arc::new(Context {
            packet_rules: PacketRules::new(tables, board.clone(), isolation, closed),
            clock: config.clock,
            folders,
            ledger,
            board,
            holds: Holds::default(),
            client: Client::new(config.server),
            binary: config.binary,
            isolation,
            budget: pace.budget,
            sweep_interval: pace.sweep,
            keep_trees: pace.keep_trees,
            host: config.host,
            alone: alone_seen,
        });
        // Its own drain: when the process drains, instances may have to be stopped first.
        let (trigger, inner) = drain::channel();
        let outlets = Outlets { needs: watch::Sender::new(Needs::default()), alone };
        let tasks = Tasks::new(inner);
        Ok(Self { context, host, cache, outlets, listener, end: config.end, trigger, tasks })
    }

    /// Takes over what runs, then reconciles until the drain. Returns when the end mode is carried out.
    pub async fn run(self, drain: Drain) {
        let Self { context, host, cache, outlets, listener, end, trigger, tasks } = self;
        // Also where this future is dropped: actors of two runners must never meet.
        let tasks_end = FireOnDrop(trigger);
        let watch = context.client.watch(&[&keys::assignments(&host.name)]);
        let needs = outlets.needs.subscribe();
        let reconciler = Reconciler::adopt(Arc::clone(&context), tasks.clone(), outlets).await;
        let shared = Arc::clone(&context);
        tasks.spawn_restarting("runner-stage", move || {
            Stager::new(Arc::clone(&shared), cache.clone(), needs.clone()).run()
        });
        let (shared, connected) = (Arc::clone(&context), watch.connected());
        tasks.spawn_restarting("runner-report", move || {
            report::report(Arc::clone(&shared), host.clone(), connected.clone())
        });
        tasks.spawn("runner-api", Kind::Helper, api::serve(listener, Desk::of(&context), tasks.clone()));
        let rules = context.packet_rules.clone();
        tasks.spawn_restarting("packet-rules", move || rules.clone().keep());
        tasks.spawn_restarting("log-trim", move || {
            trim::keep_small(context.folders.clone(), context.board.clone())
        });
        reconciler.run(watch, drain, end).await;
        drop(tasks_end);
        tasks.join(JOIN_LIMIT).await;
    }
}

/// Ends the runner's own tasks.
struct FireOnDrop(Trigger);

impl Drop for FireOnDrop {
    fn drop(&mut self) {
        self.0.fire();
    }
}

fn open(data: &DataDir) -> Result<(Folders, Ledger, LinkCache), Error> {
    let folders = Folders::open(data).map_err(Error::Folders)?;
    folders.remove_aside().map_err(Error::Folders)?;
    let ports = PortRange::of_this_machine();
    let first = ports.spread(&data.cgroup_name());
    let ledger = Ledger::open(folders.state(), ports, first).map_err(Error::Ledger)?;
    let cache = LinkCache::open(folders.cache()).map_err(Error::Cache)?;
    checkout::remove_leftovers(&folders.trees()).map_err(Error::Leftovers)?;
    Ok((folders, ledger, cache))
}
