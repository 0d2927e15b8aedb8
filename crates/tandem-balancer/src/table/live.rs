//! The table that is served, ready for look-ups. Made once per epoch, read at each request without a lock.

use std::sync::Arc;

use tandem_rules::routing::{Match, RouteIndex};
use tandem_types::canary::{Canary, Share, ShareKey};
use tandem_types::https::HttpsSpec;
use tandem_types::pause::Pause;
use tandem_types::routing::{Pool, Route, Table};
use tandem_types::traffic::Served;
use tandem_types::{AppName, InstanceId, Limits, ReleaseNumber};

use super::{Account, Instance, Registry};
use tandem_static::{Disk, Folder, Library};

/// A table being served.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Whether any table was ever given; until then nothing can be said about a domain.
    known: bool,
    index: RouteIndex,
    routes: Vec<Arc<LiveRoute>>,
}

/// A route being served.
#[derive(Debug)]
pub(crate) struct LiveRoute {
    served: Arc<Served>,
    account: Arc<Account>,
    limits: Limits,
    pause: Option<Pause>,
    members: Vec<Arc<Instance>>,
    folders: Vec<Folder>,
    disk: Option<Arc<Disk>>,
    canary: Option<LiveCanary>,
    https: HttpsSpec,
    is_bare: bool,
}

/// The releases that some clients of a route get.
#[derive(Debug)]
pub(crate) struct LiveCanary {
    /// What cookies are signed with.
    pub key: ShareKey,
    /// As the table says.
    pub shares: Vec<Share>,
    /// A route of each share, in the same order.
    pub routes: Vec<Arc<LiveRoute>>,
}

/// Where a request belongs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// To a route, and perhaps to one of its folders first.
    Route(Arc<LiveRoute>, Option<usize>),
    /// To none: the domain is known, the path is not.
    UnknownPath,
    /// To none.
    UnknownDomain,
    /// Nobody has said yet what is to be served.
    NoTable,
}

impl PartialEq for LiveRoute {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Live {
    /// Makes a table ready. Instances and trees come from the registry and the library, which know those of other
    /// tables too.
    pub(crate) fn new(table: &Table, registry: &mut Registry, library: &mut Library) -> Self {
        let routes = table.routes.iter().map(|route| Arc::new(live_route(route, registry, library)));
        Self { known: true, index: RouteIndex::new(table), routes: routes.collect() }
    }

    /// Routes that are in no table of a server's, in the order of the index.
    pub(crate) fn of(index: RouteIndex, routes: Vec<LiveRoute>) -> Self {
        Self { known: true, index, routes: routes.into_iter().map(Arc::new).collect() }
    }

    /// Whether any table was ever given.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// Finds the route of a request, by its host as asked for and its path as sent.
    pub(crate) fn find(&self, host: &str, path: &str) -> Found {
        match self.index.find(host, path) {
            Match::Route { route, folder } => Found::Route(Arc::clone(&self.routes[route]), folder),
            Match::UnknownPath => Found::UnknownPath,
            Match::UnknownDomain if self.known => Found::UnknownDomain,
            Match::UnknownDomain => Found::NoTable,
        }
    }

    /// Members of its pools that their probes find unhealthy, each once.
    pub(crate) fn unhealthy(&self) -> Vec<InstanceId> {
        self.members(|member| !member.is_healthy())
    }

    /// Members of its pools that are left out for what requests saw of them, each once.
    pub(crate) fn left_out(&self) -> Vec<InstanceId> {
        self.members(Instance::is_left_out)
    }

    /// Its routes, with those that some clients get instead.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<LiveRoute>> {
        let shares = self.routes.iter().filter_map(|route| route.canary.as_ref());
        self.routes.iter().chain(shares.flat_map(|canary| &canary.routes))
    }

    fn members(&self, are: impl Fn(&Instance) -> bool) -> Vec<InstanceId> {
        let members = self.routes().flat_map(|route| &route.members).filter(|member| are(member));
        let mut ids: Vec<_> = members.map(|member| member.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

fn live_route(route: &Route, registry: &mut Registry, library: &mut Library) -> LiveRoute {
    let Pool { app, environment, release, .. } = &route.pool;
    let (app, environment, release) = (app.clone(), environment.clone(), *release);
    LiveRoute {
        account: registry.account(&app, &environment),
        limits: route.pool.limits,
        pause: route.pool.paused.clone(),
        served: Arc::new(Served { app, environment, release }),
        members: route.pool.members.iter().map(|member| registry.instance(member)).collect(),
        folders: route.static_folders.iter().map(|folder| library.folder(folder)).collect(),
        disk: None,
        canary: route.pool.canary.as_ref().map(|canary| live_canary(canary, route, registry, library)),
        https: route.https.unwrap_or_default(),
        is_bare: false,
    }
}

fn live_canary(canary: &Canary, route: &Route, registry: &mut Registry, library: &mut Library) -> LiveCanary {
    let of_share = |share: &Share| {
        let mut route = route.clone();
        (route.pool.release, route.pool.members, route.pool.canary) =
            (share.release, share.members.clone(), None);
        Arc::new(live_route(&route, registry, library))
    };
    let Canary { key, shares } = canary.clone();
    LiveCanary { key, routes: shares.iter().map(of_share).collect(), shares }
}

impl LiveRoute {
    /// A route to some members, or to a folder of this machine.
    pub(crate) fn of(
        app: AppName,
        (members, disk): (Vec<Arc<Instance>>, Option<Arc<Disk>>),
        (account, limits): (Arc<Account>, Limits),
    ) -> Self {
        // There are no others.
        let environment = "production".parse().expect("a constant name");
        let served = Arc::new(Served { app, environment, release: ReleaseNumber(0) });
        Self {
            served,
            account,
            limits,
            pause: None,
            members,
            folders: Vec::new(),
            disk,
            canary: None,
            https: HttpsSpec::default(),
            is_bare: false,
        }
    }

    /// The same, of which neither members nor clients are told anything (see [`Self::is_bare`]).
    pub(crate) fn bare(self, is_bare: bool) -> Self {
        Self { is_bare, ..self }
    }

    /// The same, of which this is done besides where HTTPS is served.
    pub(crate) fn over_https(self, https: HttpsSpec) -> Self {
        Self { https, ..self }
    }

    /// Whether requests and answers get no fields of the balancer's own: no `X-Forwarded-…`, no `X-Request-Id`.
    pub(crate) fn is_bare(&self) -> bool {
        self.is_bare
    }

    /// What its environment's requests take.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// What they may take, and how long they wait.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The folder of this machine that answers for it.
    pub(crate) fn disk(&self) -> Option<&Arc<Disk>> {
        self.disk.as_ref()
    }

    /// What is done besides over HTTPS.
    pub(crate) fn https(&self) -> HttpsSpec {
        self.https
    }

    /// Its app's name.
    pub(crate) fn app(&self) -> &AppName {
        &self.served.app
    }

    /// Whose its requests are.
    pub(crate) fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Whether it is paused.
    pub(crate) fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// Whether some of its clients get other releases.
    pub(crate) fn canary(&self) -> Option<&LiveCanary> {
        self.canary.as_ref()
    }

    /// Its static folders.
    pub(crate) fn folders(&self) -> &[Folder] {
        &self.folders
    }

    /// One of its static folders, by its place in the table.
    pub(crate) fn folder(&self, place: usize) -> &Folder {
        &self.folders[place]
    }

    /// Its members, those with trouble too.
    pub(crate) fn members(&self) -> &[Arc<Instance>] {
        &self.members
    }
}
