//! Holds the tables on the control side and serves them to the threads.
//!
//! The order in [`Holder::serve`] is the promise of the whole system: who enters the table is marked first, then the table
//! is swapped, then who left it is marked; from that moment no request reaches who left, and those that did are counted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tandem_rules::table::host_to_ask;
use tandem_types::domain::WILDCARD;
use tandem_types::instance::HostObservation;
use tandem_types::routing::{Route, StaticFolder, Table};
use tandem_types::{Digest, InstanceId};

use super::prepare::{NewPool, Preparation};
use super::{Live, Registry, Saved};
use crate::probe::{Check, Target};
use crate::shared::Shared;
use tandem_static::{Library, Site};

/// The tables and everything they name.
#[derive(Debug)]
pub(crate) struct Holder {
    shared: Arc<Shared>,
    registry: Registry,
    library: Library,
    serving: Table,
    next: Option<Next>,
}

/// The table to be served next.
#[derive(Debug)]
struct Next {
    table: Table,
    /// Made once the table is prepared.
    live: Option<Arc<Live>>,
}

impl Holder {
    /// Serves nothing yet.
    pub(crate) fn new(shared: Arc<Shared>, registry: Registry, library: Library) -> Self {
        Self { shared, registry, library, serving: Table::default(), next: None }
    }

    /// The table that is served.
    pub(crate) fn serving(&self) -> &Table {
        &self.serving
    }

    /// The table that is ready to be served next.
    pub(crate) fn ready(&self) -> Option<&Table> {
        self.next.as_ref().filter(|next| next.live.is_some()).map(|next| &next.table)
    }

    /// Takes in where a host's instances are; says whether that is news.
    pub(crate) fn observe(&mut self, observation: &HostObservation) -> bool {
        self.registry.observe(observation)
    }

    /// Serves a table from now on.
    pub(crate) fn serve(&mut self, table: Table) {
        let live = match self.next.take() {
            Some(Next { table: ready, live: Some(live) }) if ready == table => live,
            _ => Arc::new(Live::new(&table, &mut self.registry, &mut self.library)),
        };
        self.registry.route(&table);
        self.shared.swap(live);
        self.registry.unroute_others(&table);
        self.shared.announce_swap();
        self.serving = table;
        self.tidy();
    }

    /// Names the table to be served next; returns what is to be done before.
    pub(crate) fn prepare(&mut self, table: &Table) -> Preparation {
        self.next = Some(Next { table: table.clone(), live: None });
        let pools = table.routes.iter().map(|route| self.new_pool(table, route)).collect();
        let new = new_folders(&self.serving, table);
        let folders = new.iter().map(|folder| self.library.folder(folder)).collect();
        let own: HashSet<_> = new.iter().flat_map(|folder| folder.trees.iter().copied()).collect();
        let unloaded = self.library.unloaded(table).into_iter();
        let others = unloaded.filter(|site| !own.contains(&site.root()));
        // What is served already is on its way without anybody's waiting for it.
        let served: HashSet<_> = self.unloaded().iter().map(|site| site.root()).collect();
        let wished = others.filter(|site| !served.contains(&site.root())).collect();
        Preparation { pools, folders, wished, shelf: self.library.shelf().clone() }
    }

    fn new_pool(&mut self, table: &Table, route: &Route) -> NewPool {
        let members = route.pool.all_members().map(|member| self.registry.instance(member));
        let (old, new): (Vec<_>, Vec<_>) = members.partition(|instance| instance.is_routed());
        let target = |instance| target(table, route, instance);
        NewPool {
            name: format!("{} {} {}", route.pool.app, route.pool.environment, route.pool.release),
            old,
            new: new.into_iter().map(target).collect(),
        }
    }

    /// What was to be done for the next table is done.
    pub(crate) fn set_ready(&mut self) {
        if let Some(next) = &mut self.next {
            next.live = Some(Arc::new(Live::new(&next.table, &mut self.registry, &mut self.library)));
        }
    }

    /// The table that was to come next was withdrawn, or none was.
    pub(crate) fn withdraw(&mut self) {
        self.next = None;
        self.tidy();
    }

    /// Forgets instances and trees that nobody needs any more.
    pub(crate) fn tidy(&mut self) {
        let tables = || std::iter::once(&self.serving).chain(self.next.as_ref().map(|next| &next.table));
        self.registry.forget(tables());
        self.library.forget(tables());
    }

    /// Trees of the served table that cannot be served yet.
    pub(crate) fn unloaded(&mut self) -> Vec<Arc<Site>> {
        self.library.unloaded(&self.serving)
    }

    /// The static files.
    pub(crate) fn library(&mut self) -> &mut Library {
        &mut self.library
    }

    /// Whom to probe: each instance of the served table once.
    pub(crate) fn targets(&mut self) -> Vec<Target> {
        let mut targets = HashMap::new();
        for route in &self.serving.routes {
            for member in route.pool.all_members() {
                let instance = self.registry.instance(member);
                targets.entry(member.instance).or_insert_with(|| target(&self.serving, route, instance));
            }
        }
        targets.into_values().collect()
    }

    /// Instances outside the served table that still have requests.
    pub(crate) fn draining(&self) -> BTreeMap<InstanceId, u64> {
        self.registry.draining()
    }

    /// What a later life of this balancer needs to serve on.
    pub(crate) fn to_save(&self) -> Saved {
        Saved::new(self.serving.clone(), self.registry.places_of(&self.serving))
    }
}

/// The folders of releases that begin to take traffic with the next table, each with its first tree, which is the release's own, and
/// once for all of its domains. Those of all other apps are in the table too.
fn new_folders(serving: &Table, next: &Table) -> Vec<StaticFolder> {
    let mut folders: Vec<StaticFolder> = Vec::new();
    for route in &next.routes {
        let served = serving.routes.iter().filter(|served| is_of_same_release(served, route));
        let served: HashSet<_> = served.flat_map(own_trees).collect();
        for folder in &route.static_folders {
            let own =
                StaticFolder { trees: folder.trees.iter().take(1).copied().collect(), ..folder.clone() };
            if !own.trees.iter().all(|tree| served.contains(tree)) && !folders.contains(&own) {
                folders.push(own);
            }
        }
    }
    folders
}

fn own_trees(route: &Route) -> impl Iterator<Item = Digest> {
    route.static_folders.iter().filter_map(|folder| folder.trees.first().copied())
}

fn is_of_same_release(one: &Route, other: &Route) -> bool {
    let release =
        |route: &Route| (route.pool.app.clone(), route.pool.environment.clone(), route.pool.release);
    release(one) == release(other)
}

fn target(table: &Table, route: &Route, instance: Arc<super::Instance>) -> Target {
    // What has an exact domain is asked under that one, whichever of its routes it is asked for.
    let own = || table.routes.iter().filter(|other| is_of_same_release(other, route));
    let host = match route.domain.starts_with(WILDCARD) {
        true => host_to_ask(own().map(|route| route.domain.as_str())),
        false => None,
    };
    let domain = host.unwrap_or_else(|| route.domain.clone());
    Target { instance, domain, check: Check::Ask(route.pool.health.clone()) }
}
