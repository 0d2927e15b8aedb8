//! A balancer with its server, and what a test does to both.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use tandem_blobs::BlobStore;
use tandem_kit::api;
use tandem_kit::clock::Clock;
use tandem_kit::drain::{self, Trigger};
use tandem_kit::tasks::{self, Owned};
use tandem_types::instance::{
    Address, Findings, HostObservation, InstanceObservation, InstanceState, Isolation,
};
use tandem_types::routing::{BalancerStatus, Member, Pool, Route, RoutingDocument, StaticFolder, Table};
use tandem_types::{Epoch, Fence, Health, InstanceId, Limits, Network, Span, Timestamp, keys};
use tokio::sync::oneshot;

use super::server::Server;
use tandem_balancer::WaitLimits;
use tandem_balancer::{Balancer, BuildError, Config, RunError};
use tandem_certificates::{Certificate, Certificates};
use tandem_record::AccessLogConfig;

/// Longest wait for anything in a test.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A server and a balancer with a folder.
pub(super) struct World {
    pub folder: tempfile::TempDir,
    pub server: Server,
    /// Where the balancer serves.
    pub address: SocketAddr,
    pub limits: WaitLimits,
    pub drain_limit: Duration,
    pub clock: Clock,
    /// Serving threads of the next balancer that is started.
    pub threads: usize,
    /// How many connections the next one admits.
    pub most_connections: Option<usize>,
    /// Where the next one writes a line for each request.
    pub access_log: Option<AccessLogConfig>,
    /// Where the next one shows its figures, then where this one does.
    pub metrics: Option<SocketAddr>,
    /// Whether the next one listens on the IPv4 address alone.
    pub only_v4: bool,
    /// Whose connections begin with a PROXY header.
    pub proxy_from: Vec<Network>,
    /// Where it serves HTTPS, if it does.
    pub secure: Option<SocketAddr>,
    /// What it shows there.
    pub certificates: Certificates,
    running: Option<Running>,
}

/// A balancer that runs.
pub(super) struct Running {
    drain: Trigger,
    run: Owned<Result<(), RunError>>,
}

impl Running {
    /// Waits until it has ended by itself.
    pub(super) async fn ended(self) {
        within(self.run).await.unwrap();
    }

    /// Whether it has.
    pub(super) fn is_ended(&self) -> bool {
        self.run.is_finished()
    }
}

/// A route of `shop.example` to some instances.
pub(super) fn shop(instances: &[u64]) -> Route {
    route("shop.example", "/", instances)
}

/// A route to some instances.
pub(super) fn route(domain: &str, prefix: &str, instances: &[u64]) -> Route {
    let member = |id: &u64| Member { host: "box".parse().unwrap(), instance: InstanceId(*id) };
    Route {
        domain: domain.to_owned(),
        prefix: prefix.to_owned(),
        pool: Pool {
            app: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            release: "r1".parse().unwrap(),
            members: instances.iter().map(member).collect(),
            health: Health::at("/healthz"),
            // Who wants to wait for an app that is gone says so.
            limits: Limits { hold: Some(Span::seconds(0)), ..Limits::default() },
            paused: None,
            canary: None,
        },
        static_folders: Vec::new(),
        https: None,
    }
}

/// The same route with a static folder under `/static/`.
pub(super) fn with_static(mut route: Route, trees: &[tandem_types::Digest]) -> Route {
    route.static_folders.push(StaticFolder { prefix: "/static/".to_owned(), trees: trees.to_vec() });
    route
}

/// A table.
pub(super) fn table(epoch: u64, routes: Vec<Route>) -> Table {
    Table { epoch: Epoch(epoch), routes }
}

impl World {
    /// A server and a balancer without a table.
    pub(super) async fn empty() -> Self {
        Self::with_blobs(None).await
    }

    /// The same with blobs to fetch.
    pub(super) async fn with_blobs(blobs: Option<BlobStore>) -> Self {
        let mut world = Self {
            folder: tempfile::tempdir().unwrap(),
            server: Server::start(blobs).await,
            address: "127.0.0.1:0".parse().unwrap(),
            limits: WaitLimits::default(),
            drain_limit: Duration::from_secs(10),
            clock: Clock::system(),
            threads: 2,
            most_connections: None,
            access_log: None,
            metrics: None,
            only_v4: false,
            proxy_from: Vec::new(),
            secure: None,
            certificates: Certificates::default(),
            running: None,
        };
        world.start().await;
        world
    }

    /// A balancer that serves `shop.example` from instances 1, 2, … at these addresses.
    pub(super) async fn serving(apps: &[SocketAddr]) -> Self {
        let world = Self::empty().await;
        let places: Vec<_> = (1..).zip(apps.iter().copied()).collect();
        world.place(&places);
        world.serve(1, vec![shop(&places.iter().map(|(id, _)| *id).collect::<Vec<_>>())]).await;
        world
    }

    /// One that serves `shop.example` from one instance, with these limits.
    pub(super) async fn limited(app: SocketAddr, limits: Limits) -> Self {
        let world = Self::empty().await;
        world.place(&[(1, app)]);
        let mut route = shop(&[1]);
        route.pool.limits = limits;
        world.serve(1, vec![route]).await;
        world
    }

    /// One that serves `shop.example` from instance 1, knows of instance 2, and drains for so long.
    pub(super) async fn draining(old: SocketAddr, new: SocketAddr, limit: Duration) -> Self {
        let mut world = Self::empty().await;
        world.stop().await;
        world.drain_limit = limit;
        world.start().await;
        world.place(&[(1, old), (2, new)]);
        world.serve(1, vec![shop(&[1])]).await;
        world
    }

    /// The same over HTTPS, too, with these certificates.
    pub(super) async fn secure(apps: &[SocketAddr], certificates: &[Certificate]) -> Self {
        let mut world = Self::serving(apps).await;
        world.certificates.set(certificates);
        world.stop().await;
        world.secure = Some("127.0.0.1:0".parse().unwrap());
        world.start().await;
        world
    }

    /// Starts the balancer, again after [`World::stop`].
    pub(super) async fn start(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        self.hand_over().await;
    }

    /// Starts a balancer and waits until it serves; one that served before hands over to it and is returned.
    pub(super) async fn hand_over(&mut self) -> Option<Running> {
        let balancer = self.build().await.unwrap();
        self.run(balancer).await
    }

    /// Lets a balancer serve; returns the one that did before.
    pub(super) async fn run(&mut self, balancer: Balancer) -> Option<Running> {
        self.address = balancer.addresses()[0];
        self.secure = balancer.secure_addresses().first().copied();
        self.metrics = balancer.metrics_address();
        let (drain, drained) = drain::channel();
        let (serving, served) = oneshot::channel();
        let run = tasks::owned("balancer", balancer.run(drained, Some(serving)));
        let before = self.running.replace(Running { drain, run });
        within(served).await.unwrap();
        before
    }

    /// Comes as far as a balancer comes before it runs.
    pub(super) async fn build(&self) -> Result<Balancer, BuildError> {
        let server = api::Server::Http { authority: self.server.address.to_string(), token: None };
        let state_dir = self.folder.path().join("balancer");
        let mut config = Config::new("edge".parse().unwrap(), server, state_dir, self.listen_on());
        config.threads = Some(self.threads);
        config.https = self.secure.into_iter().collect();
        config.proxy_from = self.proxy_from.clone();
        config.certificates = self.certificates.clone();
        config.drain_limit = self.drain_limit;
        config.clock = self.clock.clone();
        config.access_log = self.access_log.clone();
        config.metrics = self.metrics;
        config.limits = self.limits.clone();
        config.most_connections = self.most_connections;
        within(Balancer::build(config)).await
    }

    fn listen_on(&self) -> Vec<SocketAddr> {
        if self.only_v4 {
            return vec![self.address];
        }
        vec![self.address, SocketAddr::from((Ipv6Addr::LOCALHOST, self.address.port()))]
    }

    /// Asks the balancer to end.
    pub(super) fn drain(&self) {
        self.running.as_ref().unwrap().drain.fire();
    }

    /// Whether the balancer has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.running.as_ref().is_none_or(Running::is_ended)
    }

    /// Asks the balancer to end and waits for it.
    pub(super) async fn stop(&mut self) {
        self.drain();
        within(self.running.take().unwrap().run).await.unwrap();
    }

    /// Says where instances are.
    pub(super) fn place(&self, places: &[(u64, SocketAddr)]) {
        let places: Vec<_> = places.iter().map(|(id, address)| (*id, Address::Tcp(*address))).collect();
        self.place_at(&places);
    }

    /// Says where instances are, on sockets of any kind.
    pub(super) fn place_at(&self, places: &[(u64, Address)]) {
        self.server.put("hosts/box/observed", &observation(places));
    }

    /// Serves a table without preparing it, and waits until the balancer does.
    pub(super) async fn serve(&self, epoch: u64, routes: Vec<Route>) {
        self.route(table(epoch, routes), None);
        self.until(|status| status.serving == Epoch(epoch)).await;
    }

    /// Writes the routing document.
    pub(super) fn route(&self, serving: Table, prepared: Option<Table>) {
        let document = RoutingDocument { serving, prepared, ..RoutingDocument::default() };
        self.server.put(keys::ROUTING_TABLE, &document);
    }

    /// Moves from one table to the next as the server does: prepared first, committed once the balancer is ready.
    pub(super) async fn flip(&self, from: Table, to: Table) {
        self.route(from, Some(to.clone()));
        self.until(|status| status.prepared == Some(to.epoch)).await;
        self.route(to.clone(), None);
        self.until(|status| status.serving == to.epoch).await;
    }

    /// Waits for a status of the balancer.
    pub(super) async fn until(&self, reached: impl Fn(&BalancerStatus) -> bool) -> BalancerStatus {
        let mut statuses = self.server.status();
        let mut last = None;
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                last = statuses.borrow_and_update().clone();
                if last.as_ref().is_some_and(&reached) {
                    return;
                }
                statuses.changed().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "the balancer did not get there, it reports {last:?}");
        last.unwrap()
    }
}

/// Waits for something with a limit.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it does not take that long")
}

/// Waits until a condition holds that nothing announces.
pub(super) async fn eventually(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn observation(places: &[(u64, Address)]) -> HostObservation {
    let instance = |(id, address): &(u64, Address)| InstanceObservation {
        id: InstanceId(*id),
        app: "shop".parse().unwrap(),
        environment: "production".parse().unwrap(),
        release: "r1".parse().unwrap(),
        process: "web".parse().unwrap(),
        index: 1,
        state: InstanceState::Ready,
        address: Some(address.clone()),
        pid: None,
        started: None,
        restarts: 0,
        last_exit: None,
        detail: None,
        log_tail: Vec::new(),
        found: Findings::default(),
    };
    HostObservation {
        host: "box".parse().unwrap(),
        boot_id: "boot".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        api: Address::Unix("/run/runner.sock".into()),
        isolation: Isolation::Plain,
        isolation_gaps: Vec::new(),
        staged: Vec::new(),
        stage_failures: Vec::new(),
        instances: places.iter().map(instance).collect(),
        jobs: Vec::new(),
        fence: Fence(1),
    }
}
