//! `Cleaning`: what a rollout brought that will not serve is stopped.
//!
//! Instances that never were in a table stop at once. Those that were are first drained, and as long as a balancer
//! may still route to one it is left running; [`crate::upkeep`] stops it later.

use tandem_types::assignment::Desired;
use tandem_types::release::ReleaseStatus;
use tandem_types::rollout::RolloutState;
use tandem_types::{InstanceId, Span, defaults};

use super::problems;
use super::step::{Flow, Step};
use crate::world::later;

impl Step<'_> {
    pub(super) fn cleaning(&mut self) -> Flow {
        self.withdraw();
        let jobs_ended = self.end_jobs();
        let served = self.has_served();
        let mut leftover = Vec::new();
        for id in self.rollout.incoming.clone() {
            if self.was_warm(id) {
                self.draft.set_desired(id, Desired::Warm);
            } else {
                self.stop_or_park(id, served);
                leftover.push(id);
            }
        }
        if let Some(to) = self.rollout.to {
            self.draft.change_release(to, |release| {
                if release.status == ReleaseStatus::Pending {
                    release.status = ReleaseStatus::Failed;
                }
            });
        }
        let stopped = leftover.iter().all(|id| self.draft.is_stopped(*id));
        if (stopped || self.lasted(self.patience(&leftover))) && jobs_ended {
            return Flow::Next(self.outcome(served));
        }
        Flow::Wait
    }

    fn has_served(&self) -> bool {
        self.rollout.steps.iter().any(|step| step.state == RolloutState::Reverting)
    }

    /// Whether the instance ran before this rollout, out of the pool, and goes back there.
    fn was_warm(&self, id: InstanceId) -> bool {
        let warm = &self.draft.environment.warm;
        let Some(instance) = self.draft.instance(id) else { return false };
        instance.process.is_web() && warm.iter().any(|kept| kept.release == instance.release)
    }

    fn stop_or_park(&mut self, id: InstanceId, served: bool) {
        let (epoch, unrouted) = (self.draft.routing.serving.epoch, self.since());
        let wait = served && self.is_web(id);
        if wait && (self.draft.may_be_routed(id) || !self.draft.is_drained(id, epoch, Some(unrouted))) {
            self.draft.set_desired(id, Desired::Warm);
            self.draft.wake_at(later(unrouted, defaults::DRAIN_TIMEOUT));
        } else {
            self.draft.set_desired(id, Desired::Stop);
        }
    }

    fn patience(&self, ids: &[InstanceId]) -> Span {
        let stop = self.draft.longest_stop(ids.iter().copied());
        Span::millis(stop.as_millis() + defaults::DRAIN_TIMEOUT.as_millis())
    }

    fn outcome(&self, served: bool) -> RolloutState {
        let aborted = self.rollout.problem.as_ref().is_some_and(|p| p.code == problems::ABORTED);
        match (aborted, served) {
            (true, _) => RolloutState::Aborted,
            (false, true) => RolloutState::Reverted,
            (false, false) => RolloutState::Failed,
        }
    }
}
