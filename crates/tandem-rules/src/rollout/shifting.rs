//! `Preparing` and `Committing`: balancers get ready for the next epoch, then all serve it.
//!
//! There is one slot for a prepared epoch in the whole installation. Who finds it taken waits; who brings traffic
//! back may push aside who does not. An epoch is committed only while every instance that it adds is healthy.

use tandem_types::problem::Problem;
use tandem_types::release::ReleaseStatus;
use tandem_types::rollout::{RolloutKind, RolloutState};
use tandem_types::routing::BalancerStatus;
use tandem_types::{InstanceId, ReleaseNumber, defaults};

use super::problems;
use super::step::{Flow, Step, domain_taken};
use crate::world::later;
use crate::{balancers, table};

/// What balancers say about an epoch.
pub(super) enum Answer {
    /// All that are live did, or enough time has passed and one did.
    Yes,
    /// Not yet.
    NotYet,
    /// The only ones that are live cannot, and say why.
    Refused(Problem),
}

impl Step<'_> {
    pub(super) fn preparing(&mut self) -> Flow {
        if let Some(problem) = self.spec().and_then(|spec| domain_taken(self.draft.world, spec)) {
            return Flow::Fail(problem);
        }
        let joining: Vec<_> = self.pool_after().into_iter().collect();
        if !self.holds_slot() {
            let to = self.to();
            self.prepare(to, &joining);
            return Flow::Wait;
        }
        if let Some(problem) = self.gate_failure(&joining) {
            return Flow::Fail(problem);
        }
        match self.prepared() {
            Answer::Yes if joining.iter().all(|id| self.draft.is_ready(*id)) => {
                self.commit();
                self.shift();
                Flow::Next(RolloutState::Committing)
            }
            Answer::Refused(problem) => Flow::Fail(problem),
            Answer::Yes | Answer::NotYet => Flow::Wait,
        }
    }

    pub(super) fn committing(&mut self) -> Flow {
        if let Some(problem) = self.died_after_shift() {
            return self.go_back(problem);
        }
        if !self.committed() {
            return Flow::Wait;
        }
        self.rollout.shifted = Some(self.draft.now);
        self.warn_of_silent_balancers();
        Flow::Next(RolloutState::Draining)
    }

    // The slot.

    pub(super) fn holds_slot(&self) -> bool {
        let prepared = self.draft.routing.prepared.as_ref().map(|table| table.epoch);
        prepared.is_some() && prepared == self.rollout.epoch
    }

    /// Writes the next epoch where the slot is free. An epoch that no unfinished rollout owns is left over.
    pub(super) fn prepare(&mut self, release: ReleaseNumber, pool: &[InstanceId]) {
        let world = self.draft.world;
        let holder = self.draft.routing.prepared.as_ref().map(|table| table.epoch);
        let rival = world.rivals.iter().find(|rival| Some(rival.epoch) == holder);
        if rival.is_some_and(|rival| rival.urgent || !self.is_urgent()) {
            return;
        }
        let routes = self.draft.routes(release, &pool.iter().copied().collect());
        let epoch = table::next_epoch(&self.draft.routing);
        let of = (&self.rollout.app, &self.rollout.environment);
        let prepared = table::replace(&self.draft.routing.serving, of, routes, epoch);
        self.draft.routing.prepared = Some(prepared);
        self.draft.routing.last = epoch;
        self.draft.remember_balancers();
        self.rollout.epoch = Some(epoch);
        self.draft.wake_at(later(self.draft.now, defaults::CONFIRM_WITHIN));
    }

    fn is_urgent(&self) -> bool {
        self.rollout.kind == RolloutKind::Rollback || self.rollout.state == RolloutState::Reverting
    }

    pub(super) fn withdraw(&mut self) {
        if self.holds_slot() {
            self.draft.routing.prepared = None;
        }
    }

    /// Makes the prepared epoch the serving one. The caller has checked that it may.
    pub(super) fn commit(&mut self) {
        if let Some(prepared) = self.draft.routing.prepared.take() {
            self.note = format!("epoch {}", prepared.epoch);
            self.draft.routing.serving = prepared;
        }
        self.draft.remember_balancers();
        self.draft.wake_at(later(self.draft.now, defaults::CONFIRM_WITHIN));
    }

    // What balancers say.

    pub(super) fn prepared(&mut self) -> Answer {
        let epoch = self.rollout.epoch;
        let answer = self.ask(|status| status.prepared >= epoch || Some(status.serving) >= epoch);
        if !matches!(answer, Answer::NotYet) || !self.lasted(defaults::CONFIRM_WITHIN) {
            return answer;
        }
        let mut live = self.draft.world.live_balancers(self.draft.now);
        let refusal = live.find_map(|status| Some((&status.balancer, status.problem.as_ref()?)));
        refusal.map_or(Answer::NotYet, |(id, why)| Answer::Refused(problems::balancer_refused(id, why)))
    }

    pub(super) fn committed(&mut self) -> bool {
        let epoch = self.rollout.epoch;
        let confirmed = matches!(self.ask(|status| Some(status.serving) >= epoch), Answer::Yes);
        if confirmed {
            // All at once, in a transaction that is written anyway: the document goes to every balancer each time.
            self.draft.remember_balancers();
        }
        confirmed
    }

    fn ask(&mut self, agrees: impl Fn(&BalancerStatus) -> bool) -> Answer {
        let live: Vec<_> = self.draft.world.live_balancers(self.draft.now).collect();
        let behind: Vec<_> =
            live.iter().filter(|status| !agrees(status)).map(|status| status.balancer.clone()).collect();
        if behind.is_empty() && !live.is_empty() {
            self.note = format!("{} confirmed", problems::count(live.len(), "balancer"));
            return Answer::Yes;
        }
        if !self.lasted(defaults::CONFIRM_WITHIN) {
            return Answer::NotYet;
        }
        let some_agree = behind.len() < live.len();
        self.warn(problems::unconfirmed(&behind));
        if some_agree { Answer::Yes } else { Answer::NotYet }
    }

    fn warn_of_silent_balancers(&mut self) {
        let world = self.draft.world;
        let live: Vec<_> = world.live_balancers(self.draft.now).map(|status| &status.balancer).collect();
        let known = balancers::known(&self.draft.routing, &world.balancers).into_keys();
        let silent: Vec<_> = known.filter(|id| !live.contains(id)).cloned().collect();
        if !silent.is_empty() {
            self.warn(problems::unconfirmed(&silent));
        }
    }

    // What the environment's documents say of it.

    /// The new release takes the traffic.
    pub(super) fn shift(&mut self) {
        let (to, from, now) = (self.to(), self.rollout.from, self.draft.now);
        self.rollout.shifted = None;
        self.serve(to);
        let Some(from) = from.filter(|from| *from != to) else { return };
        let status = match self.rollout.kind {
            RolloutKind::Rollback => ReleaseStatus::RolledBack,
            _ => ReleaseStatus::Superseded,
        };
        self.draft.change_release(from, |release| {
            release.status = status;
            release.lost_traffic = Some(now);
        });
    }

    /// The old release takes it again.
    pub(super) fn unshift(&mut self) {
        let (to, now) = (self.to(), self.draft.now);
        let Some(from) = self.rollout.from.filter(|from| *from != to) else { return };
        self.serve(from);
        let status = match self.rollout.kind {
            RolloutKind::Rollback => ReleaseStatus::Superseded,
            _ => ReleaseStatus::RolledBack,
        };
        self.draft.change_release(to, |release| {
            release.status = status;
            release.lost_traffic = Some(now);
        });
    }

    fn serve(&mut self, release: ReleaseNumber) {
        let now = self.draft.now;
        if self.draft.environment.current != Some(release) {
            self.draft.change_release(release, |release| {
                release.status = ReleaseStatus::Current;
                release.took_traffic = Some(now);
                release.lost_traffic = None;
            });
        }
        if let Some(spec) = self.draft.spec(release) {
            let domains = table::domains(&self.rollout.app, &self.rollout.environment, spec);
            self.draft.environment.domains = domains;
        }
        self.draft.environment.current = Some(release);
    }
}
