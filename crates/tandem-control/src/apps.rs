//! `app list|show|create|destroy`, and under which addresses an environment is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_rules::{pause, table};
use tandem_types::api::{AppSummary, CreateApp, EnvironmentSummary};
use tandem_types::app::App;
use tandem_types::assignment::Desired;
use tandem_types::build::Build;
use tandem_types::domain::WILDCARD;
use tandem_types::environment::Environment;
use tandem_types::instance::{Address, InstanceState};
use tandem_types::pause::Pause;
use tandem_types::problem::Problem;
use tandem_types::release::Release;
use tandem_types::routing::RoutingDocument;
use tandem_types::{AppName, ProcessType, Timestamp, defaults, keys};

use crate::handle::Handle;
use crate::mirror::Mirror;
use crate::place::Place;
use crate::problem;
use crate::shared::cause;
use crate::{ps, world};

pub(crate) mod destroy;

impl Handle {
    /// All apps by name.
    #[must_use]
    pub fn apps(&self) -> Vec<AppSummary> {
        let now = self.shared.now();
        self.shared.look(|mirror| summaries(mirror, now))
    }

    /// One app.
    ///
    /// # Errors
    /// `app_not_found`.
    pub fn app(&self, name: &AppName) -> Result<AppSummary, Problem> {
        let all = self.apps();
        let found = all.iter().find(|app| app.name == *name).cloned();
        found.ok_or_else(|| problem::app_not_found(name, all.iter().map(|app| app.name.as_str())))
    }

    /// Creates an app with its `production` environment.
    ///
    /// # Errors
    /// `app_exists`.
    pub async fn create_app(&self, actor: &str, asked: CreateApp) -> Result<AppSummary, Problem> {
        let place = Place::production(asked.name.clone());
        let cause = cause(actor, "app.create", "", &place);
        if !self.ensure_environment(&place, &cause).await? {
            let title = format!("the app {} exists already", asked.name);
            return Err(
                Problem::new(409, "app_exists", title).hint(format!("tandem app show {}", asked.name))
            );
        }
        self.app(&asked.name)
    }

    /// URLs under which balancers serve an environment.
    pub(crate) fn addresses(&self, place: &Place) -> Vec<String> {
        let Ok(environment) = self.environment(place) else { return Vec::new() };
        let now = self.shared.now();
        self.shared.look(|mirror| addresses(mirror, &environment, now))
    }
}

/// All apps by name.
pub(crate) fn summaries(mirror: &Mirror, now: Timestamp) -> Vec<AppSummary> {
    let environments: Vec<_> = mirror.environments().collect();
    let names: BTreeSet<_> = environments.iter().map(|environment| environment.app.clone()).collect();
    let one = |name: AppName| {
        let app = mirror.value::<App>(&keys::app(&name))?;
        let own = environments.iter().filter(|environment| environment.app == name);
        let environments = own.map(|environment| summary(mirror, environment, now)).collect();
        Some(AppSummary { name, created: app.created, environments })
    };
    names.into_iter().filter_map(one).collect()
}

fn summary(mirror: &Mirror, environment: &Arc<Environment>, now: Timestamp) -> EnvironmentSummary {
    let prefix = keys::rollouts(&environment.app, &environment.name);
    let mut ready = BTreeMap::<ProcessType, u32>::new();
    for line in ps::lines(mirror, environment) {
        let current = environment.current == Some(line.release);
        let counts = current && line.role != "draining" && line.role != "warm";
        let process = line.name.rsplit_once('.').and_then(|(process, _)| process.parse().ok());
        if let Some(process) = process.filter(|_| counts && line.state == InstanceState::Ready) {
            *ready.entry(process).or_default() += 1;
        }
    }
    EnvironmentSummary {
        name: environment.name.clone(),
        current: environment.current,
        warm: environment.warm.iter().map(|warm| warm.release).collect(),
        addresses: addresses(mirror, environment, now),
        paused: paused(mirror, environment),
        rollout: mirror.unfinished(&prefix).next().map(|rollout| rollout.value.number),
        ready,
        wanted: wanted(mirror, environment),
    }
}

fn paused(mirror: &Mirror, environment: &Environment) -> Option<Pause> {
    let routing = mirror.value::<RoutingDocument>(keys::ROUTING_TABLE)?;
    pause::paused(&routing.serving, (&environment.app, &environment.name)).cloned()
}

/// Instances that the serving release should have.
pub(crate) fn wanted(mirror: &Mirror, environment: &Environment) -> BTreeMap<ProcessType, u32> {
    let release = environment.current.and_then(|number| {
        mirror.value::<Release>(&keys::release(&environment.app, &environment.name, number))
    });
    let build =
        release.and_then(|release| mirror.value::<Build>(&keys::build(&environment.app, release.build)));
    let Some(build) = build else { return BTreeMap::new() };
    let count = |(process, spec): (&ProcessType, &tandem_types::app::ProcessSpec)| {
        let said = environment.scale.get(process).copied();
        (process.clone(), said.unwrap_or(spec.instances))
    };
    build.spec.processes.iter().map(count).collect()
}

/// `http://guestbook.localhost:8080`, those of HTTPS behind the others: domains that lead to the environment now, with the ports of live balancers. None
/// where it takes no requests: an app of workers only, or one that has never served.
fn addresses(mirror: &Mirror, environment: &Environment, now: Timestamp) -> Vec<String> {
    let balancers = world::balancers(mirror);
    let live = balancers.values().filter(|report| report.is_fresh(defaults::BALANCER_LIVE, now));
    let port = |address: &Address| match address {
        Address::Tcp(address) => Some(address.port()),
        Address::Unix(_) => None,
    };
    let live: Vec<_> = live.map(|report| &report.value).collect();
    let of = |scheme: &'static str, addresses: &[Address]| {
        let ports: BTreeSet<_> = addresses.iter().filter_map(port).collect();
        ports.into_iter().map(move |port| (scheme, port)).collect::<Vec<_>>()
    };
    let http: BTreeSet<_> = live.iter().flat_map(|status| of("http", &status.http)).collect();
    let https: BTreeSet<_> = live.iter().flat_map(|status| of("https", &status.https)).collect();
    let ports: Vec<_> = http.into_iter().chain(https).collect();
    let url = |domain: &String, port: &(&str, u16)| match port {
        ("http", 80) | ("https", 443) => format!("{}://{domain}", port.0),
        (scheme, port) => format!("{scheme}://{domain}:{port}"),
    };
    let Some(routing) = mirror.value::<RoutingDocument>(keys::ROUTING_TABLE) else { return Vec::new() };
    let routes = routing.serving.routes.iter();
    let own = routes.filter(|route| table::belongs(route, &environment.app, &environment.name));
    let mut domains: BTreeSet<_> = own.map(|route| &route.domain).collect();
    // Nobody can go to a wildcard; shown only where there is nothing else to show.
    if domains.iter().any(|domain| !domain.starts_with(WILDCARD)) {
        domains.retain(|domain| !domain.starts_with(WILDCARD));
    }
    domains.into_iter().flat_map(|domain| ports.iter().map(move |port| url(domain, port))).collect()
}

/// Whether anything of the environment should run.
fn is_running(mirror: &Mirror, environment: &Environment) -> bool {
    let assignments = mirror.list::<tandem_types::assignment::Assignment>(keys::HOSTS);
    let mut own = assignments.map(|(_, found)| found.value).filter(|assignment| {
        (&assignment.app, &assignment.environment) == (&environment.app, &environment.name)
    });
    own.any(|assignment| assignment.instances.iter().any(|instance| instance.desired != Desired::Stop))
}
