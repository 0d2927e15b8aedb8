//! Takes an environment of an app that is being destroyed out of the world: un-route, drain, stop.
//!
//! How far it is stands in the app's document, so a destroy that was asked for once ends by itself, whatever dies.
//! Nothing that a balancer may still route to is stopped: one that was known when the epoch without the
//! routes was committed is waited for until it serves that epoch or a person removes it, also over restarts. Deleting
//! the documents of an app whose environments have all stopped is left to control.

use std::collections::BTreeSet;

use tandem_types::assignment::Desired;
use tandem_types::destroy::{Leaving, LeavingState};
use tandem_types::document::Cause;
use tandem_types::rollout::Rollout;
use tandem_types::{BalancerId, InstanceId, Span, Timestamp, defaults};

use crate::draft::{Change, Draft};
use crate::rollout::Plan;
use crate::sessions;
use crate::table;
use crate::world::{World, later};

mod progress;

/// Longest time until a runner tells that a one-off command ended that was told to.
const SESSION_STOP: Span = Span::seconds(30);

pub use progress::progress;

/// What to do next about the environment. Empty when it has stopped, or the app is not being destroyed.
///
/// A rollout that began beside the request is aborted and has to end first.
#[must_use]
pub fn plan(world: &World, now: Timestamp) -> Plan {
    let Some(leaving) = leaving(world, now) else { return Plan::default() };
    if !world.rollouts.is_empty() {
        return Plan { changes: aborts(world), ..Plan::default() };
    }
    let mut draft = Draft::new(world, now);
    let mut exit = Exit { leaving, draft: &mut draft };
    exit.run();
    let leaving = exit.leaving;
    if let Some(destroying) = &mut draft.app.destroying {
        destroying.environments.insert(world.environment.name.clone(), leaving);
    }
    let look_again = draft.look_again;
    Plan { changes: draft.changes(), look_again, ..Plan::default() }
}

/// Whether nothing of the environment runs any more.
#[must_use]
pub fn has_stopped(world: &World) -> bool {
    let leaving = world.app.destroying.as_ref().and_then(|all| all.environments.get(&world.environment.name));
    leaving.is_some_and(|leaving| leaving.state == LeavingState::Stopped)
}

fn aborts(world: &World) -> Vec<Change> {
    let Some(destroying) = &world.app.destroying else { return Vec::new() };
    let open = world.rollouts.iter().filter(|rollout| rollout.abort.is_none());
    let aborted = open.map(|rollout| {
        let abort = Cause { reason: "the app is being destroyed".to_owned(), ..destroying.cause.clone() };
        Change::Rollout(Box::new(Rollout { abort: Some(abort), ..(**rollout).clone() }))
    });
    // One a look: a transaction tells of one rollout.
    aborted.take(1).collect()
}

/// Where the environment stands; the beginning where nothing is written yet.
fn leaving(world: &World, now: Timestamp) -> Option<Leaving> {
    let destroying = world.app.destroying.as_ref()?;
    let begun = destroying.environments.get(&world.environment.name).cloned();
    let first =
        || Leaving { state: LeavingState::Preparing, since: now, epoch: None, awaiting: BTreeSet::new() };
    Some(begun.unwrap_or_else(first))
}

/// One look at an environment on its way out.
struct Exit<'d, 'w> {
    leaving: Leaving,
    draft: &'d mut Draft<'w>,
}

impl Exit<'_, '_> {
    /// Goes on until the world has to answer.
    fn run(&mut self) {
        while let Some(next) = self.look() {
            self.leaving.state = next;
            self.leaving.since = self.draft.now;
        }
    }

    fn look(&mut self) -> Option<LeavingState> {
        match self.leaving.state {
            LeavingState::Preparing => self.preparing(),
            LeavingState::Unrouting => self.unrouting(),
            LeavingState::Draining => self.draining(),
            LeavingState::Stopping => self.stopping(),
            LeavingState::Stopped => None,
        }
    }

    fn preparing(&mut self) -> Option<LeavingState> {
        let routed = self.draft.routing.serving.routes.iter().any(|route| self.owns(route));
        if !routed {
            // Never routed to, or un-routed by something else; a balancer may still be behind.
            self.leaving.epoch = Some(self.draft.routing.serving.epoch);
            self.await_balancers();
            return Some(LeavingState::Unrouting);
        }
        if !self.holds_slot() {
            self.prepare();
            return None;
        }
        let epoch = self.leaving.epoch;
        let mut live = self.draft.world.live_balancers(self.draft.now).peekable();
        let heard = live.peek().is_some();
        let ready = live.all(|status| status.prepared >= epoch || Some(status.serving) >= epoch);
        // There is nothing to get ready in a table that only lacks something: who does not answer in time is no reason
        // to go on serving an app that should be gone.
        if (!ready || !heard) && !self.lasted(defaults::CONFIRM_WITHIN) {
            return None;
        }
        if let Some(prepared) = self.draft.routing.prepared.take() {
            self.draft.routing.serving = prepared;
        }
        self.await_balancers();
        Some(LeavingState::Unrouting)
    }

    /// Every balancer that is known and may route by an older epoch.
    fn await_balancers(&mut self) {
        let epoch = self.leaving.epoch.unwrap_or_default();
        self.leaving.awaiting = self.draft.behind(epoch);
        self.draft.remember_balancers();
    }

    /// Writes the next epoch where the slot is free; see [`crate::rollout`] for who may push whom aside.
    fn prepare(&mut self) {
        let world = self.draft.world;
        let holder = self.draft.routing.prepared.as_ref().map(|table| table.epoch);
        if world.rivals.iter().any(|rival| Some(rival.epoch) == holder) {
            return;
        }
        let epoch = table::next_epoch(&self.draft.routing);
        let of = (&world.environment.app, &world.environment.name);
        let prepared = table::replace(&self.draft.routing.serving, of, Vec::new(), epoch);
        self.draft.routing.prepared = Some(prepared);
        self.draft.routing.last = epoch;
        self.leaving.epoch = Some(epoch);
        self.leaving.since = self.draft.now;
        self.draft.wake_at(later(self.draft.now, defaults::CONFIRM_WITHIN));
    }

    fn holds_slot(&self) -> bool {
        let prepared = self.draft.routing.prepared.as_ref().map(|table| table.epoch);
        prepared.is_some() && prepared == self.leaving.epoch
    }

    fn unrouting(&mut self) -> Option<LeavingState> {
        let routed = self.draft.routing.serving.routes.iter().any(|route| self.owns(route));
        if routed {
            return Some(LeavingState::Preparing);
        }
        self.count_confirmations();
        if self.web().is_empty() {
            return Some(LeavingState::Draining);
        }
        // A balancer that has not reported since we listen may exist, and nobody has written it down.
        let heard = later(self.draft.world.observing_since, defaults::BALANCER_LIVE);
        self.draft.wake_at(heard);
        if !self.leaving.awaiting.is_empty() || heard > self.draft.now {
            return None;
        }
        self.draft.remember_balancers();
        Some(LeavingState::Draining)
    }

    /// Whoever serves the epoch is waited for no longer; who turns up with an older one is.
    fn count_confirmations(&mut self) {
        let epoch = self.leaving.epoch;
        for (id, report) in &self.draft.world.balancers {
            if Some(report.value.serving) >= epoch {
                self.leaving.awaiting.remove(id);
            } else if report.is_fresh(defaults::BALANCER_LIVE, self.draft.now) {
                // Not by an old report: a person may have removed that balancer since.
                self.leaving.awaiting.insert(id.clone());
            }
        }
    }

    fn draining(&mut self) -> Option<LeavingState> {
        let (epoch, since) = (self.leaving.epoch.unwrap_or_default(), self.leaving.since);
        let drained = self.web().into_iter().all(|id| self.draft.is_drained(id, epoch, Some(since)));
        (drained || self.lasted(defaults::DRAIN_TIMEOUT)).then_some(LeavingState::Stopping)
    }

    fn stopping(&mut self) -> Option<LeavingState> {
        let all: Vec<_> = self.draft.instances().map(|(_, instance)| instance.id).collect();
        for id in &all {
            self.draft.set_desired(*id, Desired::Stop);
        }
        let ended = sessions::end(self.draft);
        let stopped = ended && all.iter().all(|id| self.draft.is_stopped(*id));
        // A host that is gone for good says nothing more. What no assignment names is stopped when it comes back.
        let limit = Span::millis(self.draft.longest_stop(all).as_millis().max(SESSION_STOP.as_millis()));
        (stopped || self.lasted(limit)).then_some(LeavingState::Stopped)
    }

    fn lasted(&mut self, limit: Span) -> bool {
        let end = later(self.leaving.since, limit);
        self.draft.wake_at(end);
        self.draft.now >= end
    }

    fn owns(&self, route: &tandem_types::routing::Route) -> bool {
        table::belongs(route, &self.draft.environment.app, &self.draft.environment.name)
    }

    fn web(&self) -> Vec<InstanceId> {
        let web = self.draft.instances().filter(|(_, instance)| instance.process.is_web());
        web.map(|(_, instance)| instance.id).collect()
    }
}

/// The app with a balancer struck from those that are waited for, because a person says that it is gone for good; none
/// where nobody waits for it.
#[must_use]
pub fn without_balancer(app: &tandem_types::app::App, gone: &BalancerId) -> Option<tandem_types::app::App> {
    let mut changed = app.clone();
    let environments = &mut changed.destroying.as_mut()?.environments;
    for leaving in environments.values_mut() {
        leaving.awaiting.remove(gone);
    }
    (changed != *app).then_some(changed)
}
