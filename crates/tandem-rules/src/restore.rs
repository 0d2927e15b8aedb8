//! Makes the documents of a restored store agree with what runs.
//!
//! A snapshot is older than the machine it is put back on: since it was taken, releases were made, traffic moved, numbers
//! were given out. A store that simply went back would have the balancers serve instances that stopped and the runner stop
//! those that serve. So a restore changes what is known and not what runs: what outlived the store (the runner's records, the
//! balancer's last table, the stories of rollouts, what can still be read of the damaged file) goes over the snapshot, and
//! every number goes on above all that may have been used. Decision 014 has the reasons.

use std::collections::BTreeMap;

use tandem_types::assignment::{Assignment, Desired, JobKind};
use tandem_types::environment::{Config, Environment, WarmRelease};
use tandem_types::instance::JobState;
use tandem_types::problem::Problem;
use tandem_types::rollout::{Rollout, RolloutState, Verdict};
use tandem_types::routing::{RoutingDocument, Table};
use tandem_types::{
    AppName, EnvironmentName, Epoch, HostName, ReleaseNumber, RolloutNumber, Timestamp, defaults,
};

use crate::draft::Change;
use crate::table;
use crate::world::later;

mod adopt;
mod documents;
mod numbers;

pub use documents::Documents;

/// An environment of an app.
pub type Place = (AppName, EnvironmentName);

/// What outlived the store.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The host whose runner it is.
    pub host: Option<HostName>,
    /// What the runner's records say should run, one for each environment that has any.
    pub running: Vec<Assignment>,
    /// Config of releases, as their instances were given it.
    pub configs: BTreeMap<(AppName, EnvironmentName, ReleaseNumber), Config>,
    /// The table that the balancer served last.
    pub table: Option<Table>,
    /// The greatest number of a rollout that has a story.
    pub rollouts: BTreeMap<Place, RolloutNumber>,
    /// The greatest user id that owns anything.
    pub uid: u32,
    /// The greatest id of an instance that left a trace.
    pub instance: u64,
    /// The greatest id of a job that left a trace.
    pub job: u64,
    /// What can still be read of the damaged store and is newer than the snapshot.
    pub found: Documents,
}

/// What to write over a snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Documents to write.
    pub changes: Vec<Change>,
    /// What people should know, a sentence each.
    pub notes: Vec<String>,
}

/// What a restored store has to be told before anybody acts on it.
#[must_use]
pub fn plan(restored: &Documents, evidence: &Evidence, now: Timestamp) -> Plan {
    let mut work = Work { documents: restored.clone(), evidence, now, notes: Vec::new() };
    work.end_rollouts();
    work.end_sessions();
    work.begin_departures_anew();
    let mut routing = work.documents.routing.clone().unwrap_or_default();
    let mut serving = evidence.table.clone().unwrap_or_else(|| routing.serving.clone());
    for running in &evidence.running {
        work.adopt(running, &serving);
    }
    work.leave_the_rest(&mut serving, &routing.serving);
    numbers::raise(&mut work, restored);
    route(&mut routing, serving, evidence);
    work.documents.routing = Some(routing);
    Plan { changes: work.documents.changes_from(restored), notes: work.notes }
}

/// The documents as they become.
struct Work<'e> {
    documents: Documents,
    evidence: &'e Evidence,
    now: Timestamp,
    notes: Vec<String>,
}

impl Work<'_> {
    /// A one-off command of the snapshot may have run to its end since, and must not run again.
    fn end_sessions(&mut self) {
        let now = self.now;
        for session in self.documents.sessions.values_mut().filter(|session| !session.is_over()) {
            let reason = "the store was restored to a moment before its end".to_owned();
            session.state = JobState::Unknown { reason };
            session.finished = Some(now);
        }
        for assignment in self.documents.assignments.values_mut() {
            assignment.jobs.retain(|job| job.kind != JobKind::Run);
        }
    }

    /// A rollout that was under way has gone on since, nobody knows how far. To take it up again could run its release
    /// phase twice.
    fn end_rollouts(&mut self) {
        let now = self.now;
        for rollout in self.documents.rollouts.values_mut().filter(|rollout| !rollout.state.is_final()) {
            let Rollout { number, app, environment, .. } = rollout;
            let text =
                format!("{number} of {app}/{environment} was under way in the snapshot and has ended for it");
            self.notes.push(text);
            if let Some(step) = rollout.steps.last_mut() {
                step.finished.get_or_insert(now);
            }
            let title = "the store was restored to a moment at which this rollout was under way";
            rollout.problem = Some(
                Problem::new(500, "store_restored", title)
                    .detail("What became of it is not known; what runs was left as it was.")
                    .hint("tandem deploy"),
            );
            rollout.state = RolloutState::Failed;
            rollout.verdict = Verdict::Fail;
            rollout.finished = Some(now);
        }
    }

    /// The wish to destroy an app stays; how far it was is of the epochs of another life.
    fn begin_departures_anew(&mut self) {
        for app in self.documents.apps.values_mut() {
            if let Some(destroying) = &mut app.destroying {
                destroying.environments.clear();
            }
        }
    }

    /// Environments of which nothing was found running.
    fn leave_the_rest(&mut self, serving: &mut Table, before: &Table) {
        let found: Vec<Place> =
            self.evidence.running.iter().map(|one| (one.app.clone(), one.environment.clone())).collect();
        let rest: Vec<Place> =
            self.documents.environments.keys().filter(|place| !found.contains(place)).cloned().collect();
        for place in rest {
            let routed =
                |table: &Table| table.routes.iter().any(|route| table::belongs(route, &place.0, &place.1));
            if self.evidence.table.is_some() && routed(before) && !routed(serving) {
                self.take_out(&place);
            } else {
                // Stopped as a whole (`tandem down`, a new machine): it comes back as the snapshot has it.
                self.tell_return(&place, serving);
                lead(serving, before, &place);
            }
        }
        let known = |place: &Place| self.documents.environments.contains_key(place);
        let is_known = |route: &tandem_types::routing::Route| {
            known(&(route.pool.app.clone(), route.pool.environment.clone()))
        };
        if !serving.routes.iter().all(is_known) {
            serving.routes.retain(is_known);
            serving.epoch = Epoch(0);
        }
    }

    fn tell_return(&mut self, place: &Place, serving: &Table) {
        let own = serving.routes.iter().find(|route| table::belongs(route, &place.0, &place.1));
        let (last, before) = (own.map(|route| route.pool.release), self.documents.environments.get(place));
        let before = before.and_then(|environment| environment.current);
        if let (Some(last), Some(before)) = (last, before)
            && last != before
        {
            let (app, name) = place;
            let text =
                format!("{app}/{name} comes back as {before}; {last} served last and does not run any more");
            self.notes.push(text);
        }
    }

    /// It was taken out of the routes since, and nothing of it runs: a restore does not bring it back to life.
    fn take_out(&mut self, place: &Place) {
        let Some(environment) = self.documents.environments.get_mut(place) else { return };
        let (app, name) = place;
        let hint = match environment.current.take() {
            Some(release) => format!("`tandem rollback {release} --app {app} --env {name}` brings it back"),
            None => format!("`tandem deploy --app {app} --env {name}` brings it up"),
        };
        environment.domains.clear();
        environment.warm.clear();
        let own = |(_, app, name): &(HostName, AppName, EnvironmentName)| (app, name) == (&place.0, &place.1);
        for (_, assignment) in self.documents.assignments.iter_mut().filter(|(key, _)| own(key)) {
            assignment.instances.clear();
            assignment.jobs.clear();
        }
        self.notes.push(format!("nothing of {app}/{name} runs any more, and nothing was started; {hint}"));
    }

    fn adopt(&mut self, running: &Assignment, serving: &Table) {
        let Some(host) = self.evidence.host.clone() else { return };
        let place = (running.app.clone(), running.environment.clone());
        let pool = serving.routes.iter().find(|route| table::belongs(route, &place.0, &place.1));
        let newest = || {
            let runs = running.instances.iter().filter(|instance| instance.desired == Desired::Run);
            runs.map(|instance| instance.release).max()
        };
        let current = pool.map(|route| route.pool.release).or_else(newest);
        self.ensure_environment(running, serving);
        self.ensure_releases(running, (current, serving));
        let before = self.documents.environments.get(&place).and_then(|environment| environment.current);
        if before != current {
            let name =
                |release: Option<ReleaseNumber>| release.map_or("nothing".to_owned(), |r| r.to_string());
            let text = format!(
                "{}/{}: the snapshot has {} serving, {} serves and was left serving",
                place.0,
                place.1,
                name(before),
                name(current)
            );
            self.notes.push(text);
        }
        if let Some(environment) = self.documents.environments.get_mut(&place) {
            environment.current = current;
            environment.warm = warm(running, current, self.now);
            environment.domains = domains(serving, environment);
        }
        self.documents.assignments.insert((host, place.0, place.1), running.clone());
    }
}

fn warm(running: &Assignment, current: Option<ReleaseNumber>, now: Timestamp) -> Vec<WarmRelease> {
    let warm = running.instances.iter().filter(|instance| instance.desired == Desired::Warm);
    let mut releases: Vec<_> = warm.map(|instance| instance.release).collect();
    releases.sort_unstable_by(|a, b| b.cmp(a));
    releases.dedup();
    releases.retain(|release| Some(*release) != current);
    releases
        .into_iter()
        .map(|release| WarmRelease { release, until: later(now, defaults::WARM_FOR) })
        .collect()
}

fn domains(serving: &Table, environment: &Environment) -> Vec<String> {
    let own =
        serving.routes.iter().filter(|route| table::belongs(route, &environment.app, &environment.name));
    let mut domains: Vec<_> = own.map(|route| route.domain.clone()).collect();
    domains.sort();
    domains.dedup();
    domains
}

/// Gives an environment the routes that another table has of it. A table that is changed gets an epoch of its own.
fn lead(serving: &mut Table, from: &Table, place: &Place) {
    let of = |table: &Table| {
        let own = table.routes.iter().filter(|route| table::belongs(route, &place.0, &place.1));
        own.cloned().collect::<Vec<_>>()
    };
    let routes = of(from);
    if of(serving) != routes {
        *serving = table::replace(serving, (&place.0, &place.1), routes, Epoch(0));
    }
}

/// What balancers serve stays the table that they know, number and all; whatever differs from it gets a number beyond all
/// that may have been used.
fn route(routing: &mut RoutingDocument, serving: Table, evidence: &Evidence) {
    let found = evidence.found.routing.as_ref();
    let table = evidence.table.as_ref().map_or(Epoch(0), |table| table.epoch);
    let known = found.map_or(Epoch(0), |found| found.last.max(found.serving.epoch));
    let greatest = routing.last.max(routing.serving.epoch).max(table).max(known);
    routing.last = Epoch(greatest.0 + numbers::EPOCHS_LEFT_OUT);
    routing.prepared = None;
    routing.serving = serving;
    if routing.serving.epoch == Epoch(0) && !routing.serving.routes.is_empty() {
        routing.last = routing.last.next();
        routing.serving.epoch = routing.last;
    }
    if let Some(found) = found {
        let missing = found.balancers.iter().map(|(id, epoch)| (id.clone(), *epoch));
        routing.balancers.extend(missing);
    }
}

#[cfg(test)]
mod tests;
