//! A balancer from its configuration to its end: lock, listen, restore, serve, hand over or drain.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use tandem_blobs::cache::Error as CacheError;
use tandem_kit::api::Server;
use tandem_kit::clock::Clock;
use tandem_kit::drain::{self, Drain, Trigger};
use tandem_kit::files::{self, LockGuard};
use tandem_kit::tasks::{Failure, Kind, Tasks};
use tandem_kit::version::Version;
use tandem_types::{BalancerId, Network, defaults};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, Notify, oneshot, watch};

use crate::control::Identity;
use crate::handover::{
    Elders, Given, Giver, Offer, Refusal, Silence, Sockets, Sought, TakeError, Taker, Voice, has_elders, seek,
};
use crate::metrics::{Endpoint, Sources};
use crate::open_files;
use crate::serve::{ListenError, Listeners, Serving, WaitLimits, start_threads};
use crate::shared::{Secure, Shared};
use crate::start::Start;
use tandem_certificates::Certificates;
use tandem_record::{AccessLogConfig, AccessLogError};
use tandem_static::Library;

/// Longest wait for a first table before requests are answered without one.
const FIRST_TABLE: Duration = Duration::from_secs(3);
/// Time after the drain's limit for the threads to end: they keep it themselves, and a moment more lets them say so.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

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
    /// Where to serve HTTPS, in the same way.
    pub https: Vec<SocketAddr>,
    /// Which certificates are shown there. May be filled later, and changed at any time.
    pub certificates: Certificates,
    /// Where proxies are that say who their clients are: their connections begin with a PROXY header.
    pub proxy_from: Vec<Network>,
    /// Where a line is written for each request; none: nowhere.
    pub access_log: Option<AccessLogConfig>,
    /// Where figures are read, in the format of Prometheus; none: nowhere. Port 0 picks a free one.
    pub metrics: Option<SocketAddr>,
    /// Serving threads; none: one per processor.
    pub threads: Option<usize>,
    /// Time over which websockets of un-routed instances are ended, and which open requests get when the process drains.
    pub drain_limit: Duration,
    /// How long clients and instances may take, where their app says nothing else.
    pub limits: WaitLimits,
    /// Client connections at a time [default: what the limit of open files bears].
    pub most_connections: Option<usize>,
    /// Clock for its start time.
    pub clock: Clock,
}

impl Config {
    /// A configuration with the defaults.
    #[must_use]
    pub fn new(id: BalancerId, server: Server, state_dir: PathBuf, http: Vec<SocketAddr>) -> Self {
        let drain_limit = defaults::DRAIN_TIMEOUT.as_duration();
        let (https, certificates, clock) = (Vec::new(), Certificates::default(), Clock::system());
        let (access_log, metrics, threads, proxy_from) = (None, None, None, Vec::new());
        Self {
            id,
            server,
            state_dir,
            http,
            https,
            certificates,
            proxy_from,
            access_log,
            metrics,
            threads,
            drain_limit,
            limits: WaitLimits::default(),
            most_connections: None,
            clock,
        }
    }
}

/// Why a balancer could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Another balancer has the state folder and does not hand it over.
    #[error("take {}: {reason}", folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// What is known of the reason.
        reason: String,
    },
    /// The state folder is of no use.
    #[error("use the state folder")]
    Folder(#[source] files::Error),
    /// The folder of static files is of no use.
    #[error("use the folder of static files")]
    StaticFiles(#[source] CacheError),
    /// The ports are not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Figures cannot be read where they should.
    #[error("serve metrics")]
    Metrics(#[source] ListenError),
}

/// Why a balancer ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A serving thread did not start or broke down.
    #[error("run a serving thread")]
    Thread(#[source] io::Error),
    /// There is no access log, and one is wanted.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
    /// TLS cannot be spoken.
    #[error("prepare TLS")]
    Tls(#[source] io::Error),
    /// What others need to find this process, or to take over from it, could not be made.
    #[error("write down where this balancer serves")]
    Announce(#[source] io::Error),
    /// The balancer that served before this one goes on.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// A part of the control side broke down.
    #[error("run {}: {}", .0.task, .0.message)]
    Task(Failure),
}

/// What the serving threads will share.
fn shared(config: &Config, identity: &Identity, threads: usize) -> Result<Shared, RunError> {
    let most_connections = config.most_connections.unwrap_or_else(open_files::most_connections);
    let shared = Shared::new(threads, most_connections, config.drain_limit);
    shared.trust(&config.proxy_from);
    shared.answer_authorities(config.certificates.answers().clone());
    if !identity.https.is_empty() {
        let config = config.certificates.config().map_err(RunError::Tls)?.into();
        let (addresses, http) = (identity.https.clone(), identity.http.clone());
        shared.speak_tls(Secure { config, addresses, http });
    }
    Ok(shared)
}

/// A balancer that holds its folder and its ports but does not serve yet.
#[derive(Debug)]
pub struct Balancer {
    config: Config,
    threads: usize,
    identity: Identity,
    listeners: Listeners,
    endpoint: Option<Endpoint>,
    library: Library,
    lock: LockGuard,
    /// The balancer that serves until this one does, and what it said.
    before: Option<(UnixStream, Offer)>,
}

impl Balancer {
    /// Takes the folder and the ports, from nobody or from the balancer that has them: that one serves until this one
    /// does.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        let threads = config.threads.unwrap_or_else(processors).max(1);
        let groups = [config.http.as_slice(), &config.https];
        let sought = seek(&config.state_dir, (&config.id, &groups.concat())).await;
        let sought = sought.map_err(|refusal| match refusal {
            Refusal::Folder(error) => BuildError::Folder(error),
            other => BuildError::Taken { folder: config.state_dir.clone(), reason: other.to_string() },
        })?;
        let (lock, listeners, before) = match sought {
            Sought::Free(lock) => (lock, Listeners::bind_groups(&groups, threads)?, None),
            Sought::Given(given) => {
                let Given { stream, lock, listening, offer } = *given;
                let listeners = Listeners::resume(listening, &groups, threads)?;
                (lock, listeners, Some((stream, offer)))
            }
        };
        let endpoint = Endpoint::bind(config.metrics, before.is_some()).map_err(BuildError::Metrics)?;
        let library = Library::open(&config.state_dir.join("static"), config.clock.clone())
            .map_err(BuildError::StaticFiles)?;
        let identity = Identity {
            id: config.id.clone(),
            started: config.clock.now(),
            http: listeners.addresses[..config.http.len()].to_vec(),
            https: listeners.addresses[config.http.len()..].to_vec(),
            metrics: endpoint.as_ref().map(Endpoint::address),
        };
        Ok(Self { config, threads, identity, listeners, endpoint, library, lock, before })
    }

    /// Where it will serve HTTP, with the real ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.identity.http
    }

    /// Where it will serve HTTPS.
    #[must_use]
    pub fn secure_addresses(&self) -> &[SocketAddr] {
        &self.identity.https
    }

    /// Where its figures will be read.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.identity.metrics
    }

    /// Serves until `drain` is requested or another process takes over, then lets open requests finish. `serving` is told
    /// the addresses once requests are answered and [`Process::find`](crate::Process::find) finds this process.
    ///
    /// # Errors
    /// See [`RunError`]; the failure of one part drains all others.
    pub async fn run(
        self,
        drain: Drain,
        serving: Option<oneshot::Sender<Vec<SocketAddr>>>,
    ) -> Result<(), RunError> {
        let Self { config, threads, identity, listeners, endpoint, library, mut lock, before } = self;
        // A process that has handed over ends by itself.
        let (end, ending) = drain::channel();
        let tasks = Tasks::new(ending.clone());
        tasks.spawn("until-asked", Kind::Helper, pass_on(drain, end.clone()));
        let shared = Arc::new(shared(&config, &identity, threads)?);
        let metrics = endpoint.map(|endpoint| (endpoint, Sources::of(&shared)));
        let _writing = shared.records.begin_log(config.access_log.as_ref(), &tasks)?;
        let open = watch::Sender::new(false);
        let serving_threads = Serving {
            shared: Arc::clone(&shared),
            limits: config.limits.clone(),
            drain: ending.clone(),
            open: open.subscribe(),
        };
        let shares = listeners.for_threads(threads).map_err(RunError::Thread)?;
        let ends = start_threads(&serving_threads, shares).map_err(RunError::Thread)?;
        tasks.spawn("serving-threads", Kind::Component, until_ended(ends));
        let (voice, elders) = (Voice::default(), Elders::default());
        // Until the old one is silent this one is; and until those that finish what they have were heard.
        let silence = match before.is_some() || has_elders(&config.state_dir) {
            true => Some(voice.silence().await),
            false => None,
        };
        let offer = before.as_ref().map(|(_, offer)| offer);
        let start = Start { tasks: &tasks, config: &config, identity: &identity, offer };
        let outlook = start.control((Arc::clone(&shared), library), (voice.clone(), elders.clone())).await;
        lock.share();
        let giver = Arc::new(Giver {
            identity: identity.clone(),
            state_dir: config.state_dir.clone(),
            shared,
            own: outlook.own.clone(),
            merged: outlook.merged,
            saved: outlook.saved,
            voice,
            elders: elders.clone(),
            end,
            sockets: Mutex::new(Some(Sockets { lock, listening: listeners.listening })),
            replaced: Notify::new(),
            last_words: Mutex::default(),
        });
        let (taker, silence) = match (before, silence) {
            (Some((stream, _)), Some(silence)) => {
                let (known, open) = (outlook.known.subscribe(), open.clone());
                (Some(Taker { stream, own: outlook.own, known, open, silence, elders }), None)
            }
            (_, silence) => (None, silence),
        };
        let known = outlook.known;
        let opening = Opening { giver: Arc::clone(&giver), open, known, metrics, serving, silence };
        tasks.spawn("announce", Kind::Component, opening.run(taker, tasks.clone()));
        ending.requested().await;
        let _lock = giver.let_end(&tasks, config.drain_limit + GRACE).await;
        // Its last words end here: whoever took over knows then that nothing is open any more.
        drop(giver);
        tasks.failure().map_or(Ok(()), |failure| Err(RunError::Task(failure)))
    }
}

/// Ends when it is asked to.
pub(crate) async fn pass_on(drain: Drain, end: Trigger) {
    drain.requested().await;
    end.fire();
}

/// How the doors are opened.
struct Opening {
    giver: Arc<Giver>,
    open: watch::Sender<bool>,
    known: watch::Sender<bool>,
    metrics: Option<(Endpoint, Sources)>,
    serving: Option<oneshot::Sender<Vec<SocketAddr>>>,
    /// Kept until processes that have handed over to one that died were heard.
    silence: Option<Silence>,
}

impl Opening {
    /// Opens the doors once there is a table, or after a while without one: what is listened on is answered. Where another
    /// process serves, once that one agrees. Then tells, and waits for who takes over from here.
    async fn run(self, taker: Option<Taker>, tasks: Tasks) -> Result<(), RunError> {
        let drain = tasks.drain().clone();
        let (listener, silence) = match taker {
            Some(taker) => match taker.run(&self.giver, &tasks).await {
                Err(TakeError::Stopped) => return Ok(()),
                taken => taken?,
            },
            None => {
                let mut known = self.known.subscribe();
                tokio::select! {
                    () = drain.requested() => return Ok(()),
                    _ = tokio::time::timeout(FIRST_TABLE, known.wait_for(|known| *known)) => {}
                }
                self.open.send_replace(true);
                (self.giver.announce().map_err(RunError::Announce)?, self.silence)
            }
        };
        tasks.spawn("hand-over-socket", Kind::Helper, Arc::clone(&self.giver).run(listener, tasks.clone()));
        if let Some((endpoint, sources)) = self.metrics {
            tasks.spawn("metrics", Kind::Helper, endpoint.run(sources, tasks.clone()));
        }
        if let Some(serving) = self.serving {
            // Whoever asked may have stopped waiting.
            let _ = serving.send(self.giver.identity.http.clone());
        }
        if let Some(_silence) = silence {
            self.giver.elders.let_come(&self.giver.state_dir).await;
        }
        Ok(())
    }
}

/// Version of this program.
pub(crate) fn version() -> String {
    Version::current().name.clone()
}

/// Waits for the threads; one that breaks down takes the process along.
pub(crate) async fn until_ended(ends: Vec<oneshot::Receiver<io::Result<()>>>) -> Result<(), RunError> {
    let ends = ends.into_iter().map(|end| async {
        let broke_down = |_| Err(io::Error::other("the thread panicked"));
        end.await.unwrap_or_else(broke_down).map_err(RunError::Thread)
    });
    try_join_all(ends).await.map(drop)
}

/// Processors that this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
