//! Gathers the world of one environment from the mirror, with the revisions it was read at.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_rules::balancers::{Reports, unheard};
use tandem_rules::world::{Owner, Received, Rival, World};
use tandem_store::Expect;
use tandem_types::api::Installation;
use tandem_types::app::App;
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::destroy::LeavingState;
use tandem_types::environment::Environment;
use tandem_types::instance::HostObservation;
use tandem_types::release::Release;
use tandem_types::rollout::{Rollout, RolloutKind, RolloutState};
use tandem_types::routing::{BalancerStatus, RoutingDocument};
use tandem_types::session::Session;
use tandem_types::{BalancerId, Epoch, Fence, HostName, Revision, Timestamp, keys};

use crate::mirror::{Mirror, Mirrored};
use crate::place::Place;

/// What is not in the documents.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Hosts that may run instances.
    pub(crate) hosts: Vec<HostName>,
    /// Of the lease under which decisions are carried out.
    pub(crate) fence: Fence,
    /// Since when reports are received.
    pub(crate) observing_since: Timestamp,
}

/// A world and what its documents must still be when a decision about it is written.
#[derive(Debug, Clone)]
pub(crate) struct Gathered {
    pub(crate) world: World,
    revisions: BTreeMap<String, Revision>,
}

impl Gathered {
    /// What a document must be: as it was read, or not there.
    pub(crate) fn expect(&self, key: &str) -> Expect {
        self.revisions.get(key).map_or(Expect::Absent, |revision| Expect::Revision(*revision))
    }
}

/// Reads documents and remembers at which revisions.
struct Reader<'m> {
    mirror: &'m Mirror,
    revisions: BTreeMap<String, Revision>,
}

impl Reader<'_> {
    fn read<T: Mirrored>(&mut self, key: String) -> Option<Arc<T>> {
        let found = self.mirror.get(&key)?;
        self.revisions.insert(key, found.revision);
        Some(found.value)
    }

    fn list<T: Mirrored>(&mut self, prefix: &str) -> Vec<Arc<T>> {
        let found: Vec<_> = self.mirror.list::<T>(prefix).collect();
        let note = |(key, found): (&str, crate::mirror::Versioned<T>)| {
            self.revisions.insert(key.to_owned(), found.revision);
            found.value
        };
        found.into_iter().map(note).collect()
    }
}

/// The world around an environment; none: there is no such environment.
pub(crate) fn gather(mirror: &Mirror, place: &Place, around: &Surroundings) -> Option<Gathered> {
    let Place { app, environment } = place;
    let mut reader = Reader { mirror, revisions: BTreeMap::new() };
    let found: Arc<Environment> = reader.read(keys::environment(app, environment))?;
    let rollouts: Vec<Arc<Rollout>> = reader.list(&keys::rollouts(app, environment));
    let releases: Vec<Arc<Release>> = reader.list(&keys::releases(app, environment));
    let builds: Vec<Arc<Build>> = reader.list(&keys::builds(app));
    let world = World {
        app: (*reader.read::<App>(keys::app(app))?).clone(),
        environment: (*found).clone(),
        installation: (*reader.read::<Installation>(keys::INSTALLATION.to_owned())?).clone(),
        last_rollout: rollouts.last().cloned(),
        last_shift: rollouts.iter().filter_map(|rollout| rollout.shifted).max(),
        rollouts: rollouts.into_iter().filter(|rollout| !rollout.state.is_final()).collect(),
        releases: releases.into_iter().map(|release| (release.number, release)).collect(),
        builds: builds.into_iter().map(|build| (build.number, build)).collect(),
        static_trees: BTreeMap::new(),
        hosts: around.hosts.clone(),
        sessions: reader
            .list::<Session>(&keys::sessions(app, environment))
            .into_iter()
            .filter(|session| !session.is_over())
            .collect(),
        assignments: assignments(&mut reader, place),
        observations: hosts(mirror),
        routing: reader.read::<RoutingDocument>(keys::ROUTING_TABLE.to_owned()).unwrap_or_default(),
        balancers: reports(mirror),
        rivals: rivals(mirror, place),
        taken_domains: taken_domains(mirror, place),
        fence: around.fence,
        observing_since: around.observing_since,
    };
    Some(Gathered { world, revisions: reader.revisions })
}

/// Of all hosts, also those that no longer get new instances.
fn assignments(reader: &mut Reader<'_>, place: &Place) -> BTreeMap<HostName, Assignment> {
    let suffix = format!("/assignments/{}.{}", place.app, place.environment);
    let keys: Vec<_> = reader.mirror.list::<Assignment>(keys::HOSTS).map(|(key, _)| key.to_owned()).collect();
    let mut assignments = BTreeMap::new();
    for key in keys {
        let host = key.strip_prefix(keys::HOSTS).and_then(|rest| rest.strip_suffix(&suffix));
        let Some(host) = host.and_then(|host| host.parse().ok()) else { continue };
        if let Some(assignment) = reader.read::<Assignment>(key) {
            assignments.insert(host, (*assignment).clone());
        }
    }
    assignments
}

/// What the hosts were told to run of an environment.
pub(crate) fn assigned(mirror: &Mirror, place: &Place) -> BTreeMap<HostName, Assignment> {
    assignments(&mut Reader { mirror, revisions: BTreeMap::new() }, place)
}

/// What runners said last.
pub(crate) fn hosts(mirror: &Mirror) -> BTreeMap<HostName, Received<HostObservation>> {
    let reports = mirror.list::<HostObservation>(keys::HOSTS);
    reports.map(|(_, r)| (r.value.host.clone(), Received { value: r.value, at: r.heard })).collect()
}

/// What balancers said last.
fn reports(mirror: &Mirror) -> Reports {
    let reports = mirror.list::<BalancerStatus>(keys::BALANCERS);
    reports.map(|(_, r)| (r.value.balancer.clone(), Received { value: r.value, at: r.heard })).collect()
}

/// Every balancer for people: what it said last, or that it is silent and by which epoch it routes at least.
pub(crate) fn balancers(mirror: &Mirror) -> Reports {
    let mut all = reports(mirror);
    let routing = mirror.value::<RoutingDocument>(keys::ROUTING_TABLE).unwrap_or_default();
    let unheard: Vec<_> =
        unheard(&routing, &all).map(|(id, serving)| (id.clone(), unreported(id, serving))).collect();
    all.extend(unheard);
    all
}

fn unreported(balancer: &BalancerId, serving: Epoch) -> Received<BalancerStatus> {
    Received { value: Arc::new(BalancerStatus::silent(balancer.clone(), serving)), at: Timestamp::UNIX_EPOCH }
}

fn rivals(mirror: &Mirror, place: &Place) -> Vec<Rival> {
    let elsewhere =
        |rollout: &Arc<Rollout>| (&rollout.app, &rollout.environment) != (&place.app, &place.environment);
    let rival = |rollout: Arc<Rollout>| {
        let urgent = rollout.kind == RolloutKind::Rollback || rollout.state == RolloutState::Reverting;
        Some(Rival { epoch: rollout.epoch?, urgent })
    };
    let rollouts = mirror.unfinished(keys::APPS).map(|stored| stored.value).filter(elsewhere);
    rollouts.filter_map(rival).chain(leaving(mirror, place)).collect()
}

/// Environments of apps that are being destroyed, while they take themselves out of the routes.
fn leaving<'m>(mirror: &'m Mirror, place: &'m Place) -> impl Iterator<Item = Rival> + 'm {
    let elsewhere =
        mirror.environments().filter(|other| (&other.app, &other.name) != (&place.app, &place.environment));
    elsewhere.filter_map(|other| {
        let app = mirror.value::<App>(&keys::app(&other.app))?;
        let leaving = app.destroying.as_ref()?.environments.get(&other.name)?;
        let epoch = leaving.epoch.filter(|_| leaving.state == LeavingState::Preparing)?;
        Some(Rival { epoch, urgent: false })
    })
}

fn taken_domains(mirror: &Mirror, place: &Place) -> BTreeMap<String, Owner> {
    let elsewhere =
        mirror.environments().filter(|other| (&other.app, &other.name) != (&place.app, &place.environment));
    let owned = elsewhere.flat_map(|other| {
        let owner = Owner { app: other.app.clone(), environment: other.name.clone() };
        other.domains.clone().into_iter().map(move |domain| (domain, owner.clone()))
    });
    owned.collect()
}
