//! `Draining` and `Soaking`: the traffic has moved; what it left finishes, and witnesses judge what it came to.
//!
//! Workers of the old release stop once the new ones run; singletons stop first and then start. Old web instances
//! end up warm and out of the pool; [`crate::upkeep`] stops those that nobody will want back.

use tandem_types::InstanceId;
use tandem_types::assignment::{AssignedInstance, Desired};
use tandem_types::environment::WarmRelease;
use tandem_types::instance::InstanceState;
use tandem_types::problem::Problem;
use tandem_types::rollout::{RolloutKind, RolloutState, Verdict};
use tandem_types::{Span, defaults};

use super::problems;
use super::starting::gate_limit;
use super::step::{Flow, Step};
use crate::world::later;

/// How far the change of workers is.
enum Swap {
    Done,
    Waiting,
    /// An instance of the new release does not come up.
    Broken(Problem),
}

impl Step<'_> {
    pub(super) fn draining(&mut self) -> Flow {
        if let Some(problem) = self.died_after_shift() {
            return self.go_back(problem);
        }
        let swap = self.swap_workers();
        let drained = self.drained();
        // Whoever goes back now does not wait for the slowest request, nor for a worker.
        let cut = self.is_succeeded_by(Some(RolloutKind::Rollback));
        match swap {
            Swap::Broken(problem) if !cut => return self.go_back(problem),
            Swap::Waiting if !cut => return Flow::Wait,
            _ if !drained && !cut => return Flow::Wait,
            _ => {}
        }
        for id in self.outgoing_web() {
            self.draft.set_desired(id, Desired::Warm);
        }
        if cut {
            "ended by a rollback".clone_into(&mut self.note);
        }
        Flow::Next(RolloutState::Soaking)
    }

    pub(super) fn soaking(&mut self) -> Flow {
        if let Some(problem) = self.died_after_shift() {
            return self.go_back(problem);
        }
        if self.is_succeeded_by(None) || self.lasted(self.rollout.soak) {
            return Flow::Next(RolloutState::Completed);
        }
        Flow::Wait
    }

    /// Writes down what a completed rollout leaves behind.
    pub(super) fn complete(&mut self) {
        let failed = self.rollout.problem.is_some();
        self.rollout.verdict = if failed { Verdict::Fail } else { Verdict::Pass };
        if self.rollout.shifted.is_none() {
            self.rollout.shifted = Some(self.draft.now);
        }
        if self.rollout.kind == RolloutKind::Scale {
            self.draft.environment.scale.extend(self.rollout.scale.clone());
        }
        let from = self.rollout.from.filter(|from| Some(*from) != self.rollout.to);
        if let Some(release) = from.filter(|_| self.replaces_release()) {
            let until = later(self.draft.now, defaults::WARM_FOR);
            let kept = !self.outgoing_web().is_empty();
            self.draft.environment.warm =
                if kept { vec![WarmRelease { release, until }] } else { Vec::new() };
        }
    }

    // Failure after the shift.

    /// Why the new release must not keep the traffic: none of its instances is left. Whether there is anything to
    /// go back to is another question.
    pub(super) fn died_after_shift(&self) -> Option<Problem> {
        let web = self.incoming_web();
        let dead = |id: &InstanceId| {
            let state = self.draft.state(*id);
            matches!(state, Some(InstanceState::Crashed | InstanceState::Stopped | InstanceState::Unhealthy))
        };
        if web.is_empty() || !web.iter().all(dead) {
            return None;
        }
        let first = self.draft.instance(*web.iter().next()?)?;
        let observed = self.draft.world.observed(first.id, self.draft.now);
        Some(problems::died(&self.rollout, first, observed))
    }

    /// Takes the traffic back where that makes things better, else says what is wrong and goes on: a rollback never
    /// triggers another, and a first release has nothing behind it.
    pub(super) fn go_back(&mut self, problem: Problem) -> Flow {
        let problem = self.say_what_is_missing(problem);
        self.rollout.verdict = Verdict::Fail;
        let automatic = self.rollout.kind != RolloutKind::Rollback && self.can_go_back();
        if automatic {
            self.rollout.problem = Some(self.say_what_stays_set(problem));
            return Flow::Next(RolloutState::Reverting);
        }
        self.rollout.problem = Some(problem);
        self.rollout.shifted.get_or_insert(self.draft.now);
        for id in self.outgoing_web() {
            self.draft.set_desired(id, Desired::Warm);
        }
        for id in self.outgoing_workers() {
            self.draft.set_desired(id, Desired::Stop);
        }
        Flow::Next(RolloutState::Completed)
    }

    // What leaves.

    pub(super) fn outgoing_web(&self) -> Vec<InstanceId> {
        self.rollout.outgoing.iter().copied().filter(|id| self.is_web(*id)).collect()
    }

    fn outgoing_workers(&self) -> Vec<InstanceId> {
        let assigned = |id: &InstanceId| self.draft.instance(*id).is_some();
        self.rollout.outgoing.iter().copied().filter(|id| assigned(id) && !self.is_web(*id)).collect()
    }

    fn drained(&mut self) -> bool {
        let (epoch, unrouted) = (self.draft.routing.serving.epoch, self.rollout.shifted);
        let busy = self.outgoing_web().into_iter().any(|id| !self.draft.is_drained(id, epoch, unrouted));
        if let Some(time) = unrouted.filter(|_| busy) {
            self.draft.wake_at(later(time, defaults::DRAIN_TIMEOUT));
        }
        !busy
    }

    // Workers.

    fn swap_workers(&mut self) -> Swap {
        let incoming: Vec<_> = self.rollout.incoming.iter().copied().filter(|id| !self.is_web(*id)).collect();
        let came_up = incoming.iter().all(|id| self.draft.is_ready(*id));
        for id in self.outgoing_workers() {
            let Some(instance) = self.draft.instance(id) else { continue };
            // A type that the new release does not have, or may have only once, is not waited for.
            let waits = self.has_successor(instance) && !self.draft.is_single(self.to(), &instance.process);
            if !waits || came_up {
                self.draft.set_desired(id, Desired::Stop);
            }
        }
        let mut open = self.open_positions();
        open.retain(|place| !place.process.is_web());
        self.fill(&open);
        if !came_up {
            return match self.gate_failure_of_workers(&incoming) {
                Some(problem) => self.broken(problem),
                None => Swap::Waiting,
            };
        }
        match (open.is_empty(), self.unfilled_workers().is_empty()) {
            (true, true) => Swap::Done,
            (true, false) => self.wait_for_singles(),
            _ => Swap::Waiting,
        }
    }

    fn has_successor(&self, old: &AssignedInstance) -> bool {
        let successor = |id: &InstanceId| self.draft.instance(*id).is_some_and(|i| i.process == old.process);
        self.rollout.incoming.iter().any(successor)
    }

    /// Workers come up while draining in two cases: after a rollback to a warm release, and singletons.
    fn gate_failure_of_workers(&mut self, ids: &[InstanceId]) -> Option<Problem> {
        let stop = self.longest_stop();
        let limit = Span::millis(stop.as_millis() + gate_limit().as_millis());
        let over = self.lasted(limit);
        let failing = |id: &&InstanceId| !self.draft.is_ready(**id) && (over || self.keeps_ending(**id));
        let id = *ids.iter().find(failing)?;
        let observed = self.draft.world.observed(id, self.draft.now);
        Some(problems::never_healthy(&self.rollout, self.draft.instance(id)?, observed))
    }

    /// A rollback, or what has nothing to go back to, goes on without the worker: its runner never gives up.
    fn broken(&mut self, problem: Problem) -> Swap {
        if self.rollout.kind != RolloutKind::Rollback && self.can_go_back() {
            return Swap::Broken(problem);
        }
        let problem = self.say_what_is_missing(problem);
        self.warn(format!("{}; {}", problem.title, problem.hint));
        for id in self.outgoing_workers() {
            self.draft.set_desired(id, Desired::Stop);
        }
        Swap::Done
    }

    fn wait_for_singles(&mut self) -> Swap {
        if self.lasted(self.longest_stop()) {
            self.warn("the old singletons do not end; their successors start once they do".to_owned());
            return Swap::Done;
        }
        Swap::Waiting
    }

    fn longest_stop(&self) -> Span {
        self.draft.longest_stop(self.rollout.outgoing.iter().copied())
    }
}
