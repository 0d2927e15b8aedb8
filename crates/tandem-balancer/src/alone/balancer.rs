//! A balancer with a fixed table from its configuration to its end: read, listen, serve, drain.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tandem_kit::drain::{self, Drain};
use tandem_kit::files;
use tandem_kit::tasks::{self, Kind, Tasks};
use tandem_types::defaults;
use tokio::sync::{Notify, oneshot, watch};

use super::follow::{Follower, Outlets, Read, open};
use super::handover::{self, Given, Giver, TakeOverError};
use super::stamp::Stamped;
use super::table::Found;
use super::tcp::Doors;
use crate::balancer::{GRACE, RunError, pass_on, processors, until_ended};
use crate::handover::link;
use crate::metrics::{Endpoint, Sources};
use crate::open_files;
use crate::probe::run_probes;
use crate::serve::{ListenError, Listeners, Serving, WaitLimits, start_threads};
use crate::shared::{Secure, Shared};
use tandem_certificates::Certificates;
use tandem_record::AccessLogConfig;
use tandem_toml::Mistake;

/// What a balancer with a fixed table is started with.
#[derive(Debug, Clone)]
pub struct AloneConfig {
    /// The file of routes.
    pub routes: PathBuf,
    /// Where to serve HTTP. Port 0 picks a free one, the same for all addresses that ask for it.
    pub http: Vec<SocketAddr>,
    /// Where to serve HTTPS, in the same way.
    pub https: Vec<SocketAddr>,
    /// Serving threads; none: one per processor.
    pub threads: Option<usize>,
    /// Folder by which the next process finds this one, and takes its sockets over; none: it cannot.
    pub handover: Option<PathBuf>,
    /// Where a line is written for each request; none: nowhere.
    pub access_log: Option<AccessLogConfig>,
    /// Where figures are read, in the format of Prometheus; none: nowhere. Port 0 picks a free one.
    pub metrics: Option<SocketAddr>,
    /// Time which open requests get when a target is named no more, or when the process drains.
    pub drain_limit: Duration,
}

impl AloneConfig {
    /// A configuration with the defaults.
    #[must_use]
    pub fn new(routes: PathBuf, http: Vec<SocketAddr>) -> Self {
        let drain_limit = defaults::DRAIN_TIMEOUT.as_duration();
        let (https, threads, handover, access_log, metrics) = (Vec::new(), None, None, None, None);
        Self { routes, http, https, threads, handover, access_log, metrics, drain_limit }
    }
}

/// Why it could not be built.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// The file of routes has a mistake.
    #[error(transparent)]
    Routes(#[from] Mistake),
    /// The ports are not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Figures cannot be read where they should.
    #[error("serve metrics")]
    Metrics(#[source] ListenError),
    /// Another process serves, and does not hand over.
    #[error(transparent)]
    TakeOver(#[from] TakeOverError),
}

/// A balancer with a fixed table that holds its ports but does not serve yet.
#[derive(Debug)]
pub struct Alone {
    config: AloneConfig,
    threads: usize,
    listeners: Listeners,
    doors: Doors,
    endpoint: Option<Endpoint>,
    stamps: Vec<Stamped>,
    found: Found,
    /// The process that serves until this one does.
    before: Option<Given>,
}

impl Alone {
    /// Reads the file and takes the ports, from nobody or from the process that serves: that one goes on until this one
    /// runs.
    ///
    /// # Errors
    /// See [`AloneError`].
    pub async fn build(config: AloneConfig) -> Result<Self, AloneError> {
        let path = config.routes.clone();
        let Read { stamps, found } = tasks::blocking("read the routes", move || Read::file(&path)).await;
        let found = found?;
        let threads = config.threads.unwrap_or_else(processors).max(1);
        let groups = [config.http.as_slice(), &config.https];
        let mut before = match &config.handover {
            Some(folder) => handover::seek(folder, &groups.concat()).await?,
            None => None,
        };
        let listeners = match &mut before {
            Some(given) => Listeners::resume(std::mem::take(&mut given.http), &groups, threads)?,
            None => Listeners::bind_groups(&groups, threads)?,
        };
        let given = before.as_mut().map(|given| std::mem::take(&mut given.doors)).unwrap_or_default();
        let mut doors = Doors::new(threads, given);
        open(&mut doors, &found)?;
        let endpoint = Endpoint::bind(config.metrics, before.is_some()).map_err(AloneError::Metrics)?;
        Ok(Self { config, threads, listeners, doors, endpoint, stamps, found, before })
    }

    /// Where it will serve HTTP, with the real ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listeners.addresses[..self.config.http.len()]
    }

    /// Where it will serve HTTPS.
    #[must_use]
    pub fn secure_addresses(&self) -> &[SocketAddr] {
        &self.listeners.addresses[self.config.http.len()..]
    }

    /// Where its figures will be read.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(Endpoint::address)
    }

    /// Serves until `drain` is requested or another process takes over, then lets open requests finish. `serving` is told the addresses once requests are
    /// answered. `asked` has the file read again, changed or not.
    ///
    /// # Errors
    /// See [`RunError`]; the failure of one part drains all others.
    pub async fn run(
        self,
        drain: Drain,
        serving: Option<oneshot::Sender<Vec<SocketAddr>>>,
        asked: Arc<Notify>,
    ) -> Result<(), RunError> {
        let (http, https) = (self.addresses().to_vec(), self.secure_addresses().to_vec());
        let Self { config, threads, listeners, doors, endpoint, stamps, found, before } = self;
        // A process that has handed over ends by itself.
        let (end, ending) = drain::channel();
        let tasks = Tasks::new(ending.clone());
        tasks.spawn("until-asked", Kind::Helper, pass_on(drain, end.clone()));
        let shared = Arc::new(Shared::new(threads, open_files::most_connections(), config.drain_limit));
        let metrics = endpoint.map(|endpoint| (endpoint, Sources::of(&shared)));
        let _writing = shared.records.begin_log(config.access_log.as_ref(), &tasks)?;
        let certificates = Certificates::default();
        if !https.is_empty() {
            let config = certificates.config().map_err(RunError::Tls)?.into();
            shared.speak_tls(Secure { config, addresses: https, http: http.clone() });
        }
        let (probes, probed) = watch::channel(Vec::new());
        let news = Arc::new(Notify::new());
        let outlets = Outlets { shared: Arc::clone(&shared), probes, certificates, news: Arc::clone(&news) };
        let follower = Follower::new(config.routes.clone(), doors, (stamps, found), outlets);
        let open = watch::Sender::new(true);
        let told = Arc::clone(&shared);
        let threading =
            Serving { shared, limits: WaitLimits::default(), drain: ending.clone(), open: open.subscribe() };
        let shares = listeners.for_threads(threads).map_err(RunError::Thread)?;
        let ends = start_threads(&threading, shares).map_err(RunError::Thread)?;
        tasks.spawn("serving-threads", Kind::Component, until_ended(ends));
        tasks.spawn("probe", Kind::Helper, run_probes(probed, news));
        tasks.spawn("follow", Kind::Component, follower.run(asked, ending.clone()));
        if let Some(given) = before {
            given.serves().await;
        }
        let giver = Giver { shared: told, listening: listeners.listening, end };
        hand_over(&config, giver, &tasks)?;
        if let Some((endpoint, sources)) = metrics {
            tasks.spawn("metrics", Kind::Helper, endpoint.run(sources, tasks.clone()));
        }
        if let Some(serving) = serving {
            // Whoever asked may have stopped waiting.
            let _ = serving.send(http);
        }
        ending.requested().await;
        tasks.join(config.drain_limit + GRACE).await;
        tasks.failure().map_or(Ok(()), |failure| Err(RunError::Task(failure)))
    }
}

/// Lets the next process find this one. Where there is none to be, the threads have their sockets and nobody else: nobody may
/// wait in the queue of a socket from which nobody takes.
fn hand_over(config: &AloneConfig, giver: Giver, tasks: &Tasks) -> Result<(), RunError> {
    let Some(folder) = &config.handover else { return Ok(()) };
    files::ensure_dir(folder, 0o700).map_err(|error| RunError::Announce(io::Error::other(error)))?;
    let listener = link::listen(folder).map_err(RunError::Announce)?;
    tasks.spawn("hand-over", Kind::Helper, giver.run(listener));
    Ok(())
}
