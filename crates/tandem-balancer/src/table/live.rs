//! The table that is served, ready for look-ups. Made once per epoch, read at each request without a lock.

use std::sync::Arc;

use http::HeaderValue;
use tandem_rules::routing::{Match, RouteIndex};
use tandem_types::routing::{Route, Table};
use tandem_types::{AppName, InstanceId};

use super::{Instance, Registry};
use crate::static_files::{Folder, Library};

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
    app: AppName,
    members: Vec<Arc<Instance>>,
    folders: Vec<Folder>,
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

    /// Whether any table was ever given.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// Finds the route of a request, by its host as asked for and its path as sent.
    pub(crate) fn find(&self, host: &HeaderValue, path: &str) -> Found {
        // A host that is no ASCII is no domain; `forward` refused it before.
        match self.index.find(host.to_str().unwrap_or_default(), path) {
            Match::Route { route, folder } => Found::Route(Arc::clone(&self.routes[route]), folder),
            Match::UnknownPath => Found::UnknownPath,
            Match::UnknownDomain if self.known => Found::UnknownDomain,
            Match::UnknownDomain => Found::NoTable,
        }
    }

    /// Members of its pools that their probes find unhealthy, each once.
    pub(crate) fn unhealthy(&self) -> Vec<InstanceId> {
        let members = self.routes.iter().flat_map(|route| &route.members);
        let mut ids: Vec<_> =
            members.filter(|member| !member.is_healthy()).map(|member| member.id()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

fn live_route(route: &Route, registry: &mut Registry, library: &mut Library) -> LiveRoute {
    LiveRoute {
        app: route.pool.app.clone(),
        members: route.pool.members.iter().map(|member| registry.instance(member)).collect(),
        folders: route.static_folders.iter().map(|folder| library.folder(folder)).collect(),
    }
}

impl LiveRoute {
    /// Its app's name.
    pub(crate) fn app(&self) -> &AppName {
        &self.app
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
