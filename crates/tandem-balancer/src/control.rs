//! The control side: follows the routing document and the hosts, prepares and serves tables, says how it stands.
//!
//! One loop, one owner of the tables. Nothing in it waits for the disk or for the server, so that a commit is served
//! within a moment of its line on the watch.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tandem_kit::api::{Client, Watch};
use tandem_kit::drain::Drain;
use tandem_kit::points::{self, Effect};
use tandem_types::document::Change;
use tandem_types::instance::Address;
use tandem_types::routing::{BalancerStatus, RoutingDocument, Table};
use tandem_types::{BalancerId, Timestamp, keys};
use tokio::sync::{Notify, watch};
use tokio::time::{Interval, MissedTickBehavior};

use crate::probe::Target;
use crate::shared::Shared;
use crate::table::{Feed, Holder, Saved, Update};
use tandem_certificates::Answers;
use tandem_static::{LoadError, Site, load};

/// Sign of life to the server.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Wait before a preparation that failed is tried again.
const PREPARE_AGAIN: Duration = Duration::from_millis(200);
/// Wait before static files of the served table that did not come are asked for again.
const LOAD_AGAIN: Duration = Duration::from_secs(2);
/// Reports after which old static files are looked for where no table was committed meanwhile (an hour): some were too
/// young to go at the last commit.
const SWEEP_EVERY: u32 = 720;

/// Who this balancer is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its name.
    pub id: BalancerId,
    /// When its process started.
    pub started: Timestamp,
    /// Where it serves HTTP.
    pub http: Vec<SocketAddr>,
    /// Where it serves HTTPS.
    pub https: Vec<SocketAddr>,
    /// Where its figures are read.
    pub metrics: Option<SocketAddr>,
}

/// Where the control side sends what others act on.
#[derive(Debug)]
pub(crate) struct Outlets {
    /// To whoever reports.
    pub status: watch::Sender<BalancerStatus>,
    /// To whoever probes.
    pub targets: watch::Sender<Vec<Target>>,
    /// To whoever writes the state file.
    pub saved: watch::Sender<Option<Saved>>,
    /// Whether it is known what is to be served.
    pub known: watch::Sender<bool>,
    /// To whoever asks for certificates: grows when there may be others.
    pub certificates: watch::Sender<u64>,
    /// To whoever answers authorities.
    pub answers: Answers,
}

/// The control side.
pub(crate) struct Control {
    identity: Identity,
    shared: Arc<Shared>,
    holder: Holder,
    client: Client,
    feed: Feed,
    outlets: Outlets,
    news: Arc<Notify>,
    preparing: Option<Preparing>,
    loading: Option<BoxFuture<'static, ()>>,
    /// Yields whether it is done.
    sweeping: Option<BoxFuture<'static, bool>>,
    /// Ticks until old static files are looked for; 0: now.
    sweep_in: u32,
    problem: Option<String>,
}

/// A table being prepared.
struct Preparing {
    table: Table,
    work: BoxFuture<'static, Result<(), String>>,
}

enum Event {
    Change(Change),
    Prepared(Result<(), String>),
    Loaded,
    Swept(bool),
    News,
    Tick,
    Drain,
}

impl Control {
    /// A control side over some tables. `news` wakes it when an instance has something to tell.
    pub(crate) fn new(
        identity: Identity,
        (shared, holder): (Arc<Shared>, Holder),
        client: Client,
        (outlets, news): (Outlets, Arc<Notify>),
    ) -> Self {
        Self {
            identity,
            shared,
            holder,
            client,
            feed: Feed::default(),
            outlets,
            news,
            preparing: None,
            loading: None,
            sweeping: None,
            sweep_in: 0,
            problem: None,
        }
    }

    /// Follows the documents until the process drains.
    pub(crate) async fn run(mut self, drain: Drain) {
        let mut watch = self.client.watch(&[keys::ROUTING, keys::HOSTS, keys::HTTPS]);
        let mut connected = watch.connected();
        let mut ticks = tokio::time::interval(REPORT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.load_static_files(Duration::ZERO);
        loop {
            match self.next_event(&mut watch, &mut ticks, &drain).await {
                Event::Change(change) => {
                    if is_table(&change) {
                        points::reached(Effect::BalancerHeard).await;
                    }
                    self.change(change);
                    // A server that is back knows nothing of this balancer, and is not ready before it does.
                    if connected.has_changed().is_ok_and(|changed| changed) && *connected.borrow_and_update()
                    {
                        self.tell(true);
                    }
                }
                Event::Prepared(result) => {
                    points::reached(Effect::BalancerReady).await;
                    self.prepared(result);
                }
                Event::Loaded => self.load_static_files(LOAD_AGAIN),
                Event::Swept(done) => self.swept(done),
                Event::News => {
                    self.holder.tidy();
                    self.shared.raise_hopes();
                }
                Event::Tick => {
                    self.sweep_in = self.sweep_in.saturating_sub(1);
                    self.tell(true);
                }
                Event::Drain => return,
            }
            self.tell(false);
            self.sweep_static_files();
        }
    }

    async fn next_event(&mut self, watch: &mut Watch, ticks: &mut Interval, drain: &Drain) -> Event {
        let preparing = match &mut self.preparing {
            Some(preparing) => preparing.work.as_mut().left_future(),
            None => pending().right_future(),
        };
        let loading = match &mut self.loading {
            Some(loading) => loading.as_mut().left_future(),
            None => pending().right_future(),
        };
        let sweeping = match &mut self.sweeping {
            Some(sweeping) => sweeping.as_mut().left_future(),
            None => pending().right_future(),
        };
        tokio::select! {
            biased;
            () = drain.requested() => Event::Drain,
            change = watch.next() => Event::Change(change),
            result = preparing => Event::Prepared(result),
            () = loading => Event::Loaded,
            done = sweeping => Event::Swept(done),
            () = self.news.notified() => Event::News,
            _ = ticks.tick() => Event::Tick,
        }
    }

    fn change(&mut self, change: Change) {
        for update in self.feed.take(change) {
            match update {
                Update::Observed(observation) => {
                    if self.holder.observe(&observation) {
                        self.shared.raise_hopes();
                        self.save();
                    }
                }
                Update::Routing(document) => self.route(document),
                Update::Challenges(challenges) => self.outlets.answers.set(&challenges),
                Update::Certificates => self.want_certificates(),
                Update::Complete => self.complete(),
            }
        }
    }

    /// Everything there is has been listed. Where there is no routing document there is nothing to serve, and that is
    /// known from now on.
    fn complete(&mut self) {
        if !self.shared.live().is_known() {
            self.holder.serve(Table::default());
        }
        self.outlets.known.send_replace(true);
        self.want_certificates();
    }

    fn want_certificates(&self) {
        self.outlets.certificates.send_modify(|wanted| *wanted += 1);
    }

    fn route(&mut self, document: RoutingDocument) {
        if document.serving != *self.holder.serving() {
            self.serve(document.serving);
        }
        match document.prepared {
            None => {
                self.preparing = None;
                self.problem = None;
                self.holder.withdraw();
            }
            Some(table) if self.holder.ready() == Some(&table) => {}
            // Who accepts now gets ready for it; this process follows only so that what is open goes to the right place.
            Some(_) if self.shared.is_leaving() => {}
            Some(table) if self.preparing.as_ref().is_some_and(|preparing| preparing.table == table) => {}
            Some(table) => self.prepare(table, Duration::ZERO),
        }
    }

    fn serve(&mut self, table: Table) {
        let epoch = table.epoch;
        self.holder.serve(table);
        // Before anything else: whoever waits for the flip waits for this.
        self.tell(false);
        tracing::info!(%epoch, "serving routing table {epoch}");
        self.outlets.targets.send_replace(self.holder.targets());
        self.save();
        self.load_static_files(Duration::ZERO);
        self.sweep_in = 0;
    }

    fn save(&self) {
        self.outlets.saved.send_replace(Some(self.holder.to_save()));
    }

    fn prepare(&mut self, table: Table, wait: Duration) {
        let preparation = self.holder.prepare(&table);
        let client = self.client.clone();
        let work = async move {
            tokio::time::sleep(wait).await;
            preparation.attempt(&client).await
        };
        self.preparing = Some(Preparing { table, work: work.boxed() });
    }

    fn prepared(&mut self, result: Result<(), String>) {
        let Some(Preparing { table, .. }) = self.preparing.take() else { return };
        match result {
            Ok(()) => {
                tracing::info!(epoch = %table.epoch, "ready for routing table {}", table.epoch);
                self.problem = None;
                self.holder.set_ready();
            }
            Err(problem) => {
                if self.problem.as_ref() != Some(&problem) {
                    tracing::warn!(epoch = %table.epoch, "not ready for routing table {}: {problem}", table.epoch);
                }
                self.problem = Some(problem);
                self.prepare(table, PREPARE_AGAIN);
            }
        }
    }

    /// Brings static files of the served table that were not prepared: after a start, or when this balancer was cut off.
    fn load_static_files(&mut self, wait: Duration) {
        let sites = self.holder.unloaded();
        self.loading = (!sites.is_empty()).then(|| {
            let (client, shelf) = (self.client.clone(), self.holder.library().shelf().clone());
            let load_all = async move {
                tokio::time::sleep(wait).await;
                for site in sites {
                    let loaded = load(&client, &shelf, &site).await;
                    // Tried for as long as the table names it; once is enough for people.
                    if wait.is_zero() {
                        tell_failure(&site, loaded);
                    }
                }
            };
            load_all.boxed()
        });
    }

    /// Removes static files that no table names, once nothing is being fetched. Before the first table nobody knows what
    /// is named: a balancer that lost its state file must not lose its files too.
    fn sweep_static_files(&mut self) {
        let busy = self.preparing.is_some() || self.loading.is_some() || self.sweeping.is_some();
        if self.sweep_in > 0 || busy || self.shared.is_leaving() || !self.shared.live().is_known() {
            return;
        }
        self.sweep_in = SWEEP_EVERY;
        self.sweeping = Some(self.holder.library().sweep().boxed());
    }

    fn swept(&mut self, done: bool) {
        self.sweeping = None;
        if !done {
            self.sweep_in = self.sweep_in.min(1);
        }
    }

    /// Publishes the status where it differs from the last one, or as a sign of life; whoever reports sees it at once.
    fn tell(&self, sign_of_life: bool) {
        let status = BalancerStatus {
            balancer: self.identity.id.clone(),
            started: self.identity.started,
            serving: self.holder.serving().epoch,
            prepared: self.holder.ready().map(|table| table.epoch),
            problem: self.problem.clone(),
            draining: self.holder.draining(),
            unhealthy: self.shared.live().unhealthy(),
            left_out: self.shared.live().left_out(),
            http: self.identity.http.iter().copied().map(Address::Tcp).collect(),
            https: self.identity.https.iter().copied().map(Address::Tcp).collect(),
            challenges: self.outlets.answers.number(),
            requests: self.shared.requests(),
        };
        self.outlets.status.send_if_modified(|last| {
            let same = BalancerStatus { requests: last.requests, ..status.clone() } == *last;
            *last = status;
            sign_of_life || !same
        });
    }
}

fn is_table(change: &Change) -> bool {
    matches!(change, Change::Put { document } if document.key == keys::ROUTING_TABLE)
}

fn tell_failure(site: &Site, loaded: Result<(), LoadError>) {
    if let Err(error) = loaded {
        let error: &dyn std::error::Error = &error;
        let root = site.root();
        tracing::warn!(error, "static files {} are not here yet, the app is asked instead", root.short());
    }
}
