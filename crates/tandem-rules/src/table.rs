//! Makes routing tables: which domains of an environment lead to which instances and static files.
//!
//! A table is always made from the one that serves by replacing the routes of one environment, so nothing that an
//! environment does can touch another's routes. How a balancer finds its way in a table is in [`crate::routing`].

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_types::app::AppSpec;
use tandem_types::build::Build;
use tandem_types::domain::WILDCARD;
use tandem_types::routing::{Member, Pool, Route, RoutingDocument, StaticFolder, Table};
use tandem_types::{AppName, BuildNumber, Digest, EnvironmentName, Epoch, ProcessType, ReleaseNumber};

use crate::pause;
use crate::routing::host_below;
use crate::world::Owner;

/// What one environment shows to the world.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// The release that takes the traffic.
    pub release: ReleaseNumber,
    /// Its build.
    pub build: &'a Build,
    /// Where the static files of builds are.
    pub static_trees: &'a StaticTrees,
    /// The instances that answer.
    pub members: &'a [Member],
    /// Builds whose static files are served besides: those that took traffic lately, latest first.
    pub older: &'a [&'a Build],
}

/// URL prefix → root tree, by build. See [`crate::world::World::static_trees`].
pub type StaticTrees = BTreeMap<BuildNumber, Arc<BTreeMap<String, Digest>>>;

/// The domains of an environment. Production has those of its app file, in lower case, or `<app>.localhost` where it
/// names none; every other environment has `<env>.<app>.localhost` (decision 007).
#[must_use]
pub fn domains(app: &AppName, environment: &EnvironmentName, spec: &AppSpec) -> Vec<String> {
    if *environment != EnvironmentName::production() {
        return vec![format!("{environment}.{app}.localhost")];
    }
    let mut domains: Vec<_> = spec.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect();
    if domains.is_empty() {
        domains.push(format!("{app}.localhost"));
    }
    let mut seen = std::collections::BTreeSet::new();
    domains.retain(|domain| seen.insert(domain.clone()));
    domains
}

/// The host name under which an environment is asked whether it is well: its first exact domain; where it has wildcards
/// alone, a name that the first of them covers.
#[must_use]
pub fn host_to_ask<'a>(domains: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut first = None;
    for domain in domains {
        if !domain.starts_with(WILDCARD) {
            return Some(domain.to_owned());
        }
        first = first.or(Some(domain));
    }
    first.map(|domain| host_below(domain).into_owned())
}

/// The first domain that another environment owns, and which that is. A wildcard is a name like any other here: what is below
/// it may belong to others, whose exact names win.
#[must_use]
pub fn conflict<'a>(domains: &[String], taken: &'a BTreeMap<String, Owner>) -> Option<(String, &'a Owner)> {
    domains.iter().find_map(|domain| taken.get(domain).map(|owner| (domain.clone(), owner)))
}

/// The routes of a service; none where it has no process type that takes traffic. Sorted by domain.
#[must_use]
pub fn routes(service: &Service<'_>) -> Vec<Route> {
    let spec = &service.build.spec;
    let Some(web) = spec.processes.get(&ProcessType::web()) else {
        return Vec::new();
    };
    let mut members = service.members.to_vec();
    members.sort();
    let pool = Pool {
        app: service.app.clone(),
        environment: service.environment.clone(),
        release: service.release,
        members,
        health: web.health.clone(),
        limits: spec.limits,
        // What lasts over releases comes from the table that is served.
        paused: None,
        canary: None,
    };
    let static_folders = static_folders(service);
    let mut domains = domains(service.app, service.environment, spec);
    domains.sort();
    let route = |domain| Route {
        domain,
        prefix: "/".to_owned(),
        pool: pool.clone(),
        static_folders: static_folders.clone(),
        https: spec.https.filter(|https| https.redirect || https.hsts.is_some()),
    };
    domains.into_iter().map(route).collect()
}

/// The table with the routes of one environment replaced, which stays paused where it is, sorted by domain and prefix: the same input gives the
/// same table.
#[must_use]
pub fn replace(
    table: &Table,
    (app, environment): (&AppName, &EnvironmentName),
    mut routes: Vec<Route>,
    epoch: Epoch,
) -> Table {
    // Which release serves it is no reason to open what people have closed.
    let paused = pause::paused(table, (app, environment));
    routes.iter_mut().for_each(|route| route.pool.paused = paused.cloned());
    let others = table.routes.iter().filter(|route| !belongs(route, app, environment)).cloned();
    let mut routes: Vec<_> = others.chain(routes).collect();
    routes.sort_by(|a, b| (&a.domain, &a.prefix).cmp(&(&b.domain, &b.prefix)));
    Table { epoch, routes }
}

/// Whether a route belongs to an environment.
#[must_use]
pub fn belongs(route: &Route, app: &AppName, environment: &EnvironmentName) -> bool {
    route.pool.app == *app && route.pool.environment == *environment
}

/// Whether the environment's routes in the table lead requests exactly as these do. Static folders do not count:
/// they change with time alone; nor does a pause, which people end.
#[must_use]
pub fn leads_alike(table: &Table, app: &AppName, environment: &EnvironmentName, routes: &[Route]) -> bool {
    let pool = |route: &Route| Pool { paused: None, ..route.pool.clone() };
    let plain = |route: &Route| (route.domain.clone(), route.prefix.clone(), pool(route));
    let mut now: Vec<_> =
        table.routes.iter().filter(|route| belongs(route, app, environment)).map(plain).collect();
    now.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    now == routes.iter().map(plain).collect::<Vec<_>>()
}

/// The epoch after every one that was ever written.
#[must_use]
pub fn next_epoch(routing: &RoutingDocument) -> Epoch {
    let prepared = routing.prepared.as_ref().map_or(Epoch(0), |table| table.epoch);
    routing.last.max(routing.serving.epoch).max(prepared).next()
}

/// Static folders of the build, each with the trees of older builds behind its own. A prefix whose folder is not in
/// the build is left to the app. Behind them come prefixes that older builds alone have: their pages are still open.
fn static_folders(service: &Service<'_>) -> Vec<StaticFolder> {
    let builds: Vec<&Build> = std::iter::once(service.build).chain(service.older.iter().copied()).collect();
    let own = service.build.spec.static_folders.keys().map(|prefix| slashed(prefix));
    let own: Vec<String> = own.collect();
    let mut folders: Vec<_> = own.iter().filter_map(|prefix| folder(service, &builds, prefix)).collect();
    if folders.is_empty() {
        // The app answers for its files itself, under whichever prefix: what is old must not stand before them.
        return folders;
    }
    let mut taken = own;
    for prefix in service.older.iter().flat_map(|build| build.spec.static_folders.keys()) {
        let prefix = slashed(prefix);
        // The longest prefix is looked into alone, so that one below another would hide newer files; and `/` the app.
        if prefix == "/" || taken.iter().any(|taken| prefix.starts_with(taken.as_str())) {
            continue;
        }
        let newest = service
            .older
            .iter()
            .position(|build| static_tree(service.static_trees, build, &prefix).is_some());
        folders.extend(newest.and_then(|newest| folder(service, &service.older[newest..], &prefix)));
        taken.push(prefix);
    }
    folders
}

/// A folder of the first of these builds, with the trees of the others behind; none where it is not in the first.
fn folder(service: &Service<'_>, builds: &[&Build], prefix: &str) -> Option<StaticFolder> {
    let tree = |build: &Build| static_tree(service.static_trees, build, prefix);
    tree(builds.first()?)?;
    let mut trees: Vec<_> = builds.iter().copied().filter_map(tree).collect();
    let mut seen = std::collections::BTreeSet::new();
    trees.retain(|tree| seen.insert(*tree));
    Some(StaticFolder { prefix: prefix.to_owned(), trees })
}

fn static_tree(trees: &StaticTrees, build: &Build, prefix: &str) -> Option<Digest> {
    if let Some(known) = trees.get(&build.number) {
        return known.iter().find(|(other, _)| slashed(other) == slashed(prefix)).map(|(_, tree)| *tree);
    }
    let (_, folder) =
        build.spec.static_folders.iter().find(|(other, _)| slashed(other) == slashed(prefix))?;
    let mount = if folder.starts_with('/') { folder.clone() } else { format!("/app/{folder}") };
    let mount = mount.trim_end_matches('/');
    build.subtrees.iter().find(|subtree| subtree.mount == mount).map(|subtree| subtree.tree)
}

fn slashed(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => "/".to_owned(),
        inner => format!("/{inner}/"),
    }
}

#[cfg(test)]
mod tests;
