//! `Starting`: new instances of one host start and pass the gate, then those of the others.

use std::collections::BTreeSet;

use tandem_types::assignment::AssignedInstance;
use tandem_types::instance::InstanceState;
use tandem_types::problem::Problem;
use tandem_types::rollout::RolloutState;
use tandem_types::{InstanceId, Span, defaults};

use super::problems;
use super::step::{Flow, Step};

/// Ends within the gate after which nobody waits for the rest of the budget: it would only end again.
const MOST_ENDS: u32 = 3;
/// After this time people are told why an instance is not ready; most apps are by then.
const TOLD_AFTER: Span = Span::seconds(10);
/// Time beyond the gate's budget in which the runner tells why.
const REPORT_SLACK: Span = Span::seconds(5);

impl Step<'_> {
    pub(super) fn starting(&mut self) -> Flow {
        let incoming = self.rollout.incoming.clone();
        if let Some(problem) = self.gate_failure(&incoming) {
            return Flow::Fail(problem);
        }
        if !incoming.iter().all(|id| self.draft.is_ready(*id)) {
            self.warn_of_unready(&incoming);
            return Flow::Wait;
        }
        self.warn_of_exposed(&incoming);
        let mut open = self.open_positions();
        if open.is_empty() {
            self.note = format!("{} of {0} ready", incoming.len());
            return self.toward_shift();
        }
        // One host first: what breaks there does not break everywhere.
        let first = open.iter().map(|place| place.host.clone()).min();
        if incoming.is_empty() {
            open.retain(|place| Some(&place.host) == first.as_ref());
        } else if self.since() < self.draft.now {
            self.note = format!("{} of {} ready", incoming.len(), incoming.len() + open.len());
            self.enter(RolloutState::Starting);
        }
        self.fill(&open);
        self.draft.wake_at(crate::world::later(self.watched_since(), gate_limit()));
        Flow::Wait
    }

    /// Why one of the instances will not pass the gate, once that is known. Counted from the beginning of the
    /// present state.
    pub(super) fn gate_failure(&mut self, ids: &[InstanceId]) -> Option<Problem> {
        let waiting = |id: &&InstanceId| !self.draft.is_ready(**id);
        let waiting: Vec<_> = ids.iter().filter(waiting).copied().collect();
        if waiting.is_empty() {
            return None;
        }
        let over = self.lasted(gate_limit());
        let failing = |id: &&InstanceId| over || self.keeps_ending(**id) || self.answers_for_ever(**id);
        let id = *waiting.iter().find(failing)?;
        let instance = self.draft.instance(id)?;
        Some(self.never_healthy(instance))
    }

    fn never_healthy(&self, instance: &AssignedInstance) -> Problem {
        let observed = self.draft.world.observed(instance.id, self.draft.now);
        problems::never_healthy(&self.rollout, instance, observed)
    }

    pub(super) fn keeps_ending(&self, id: InstanceId) -> bool {
        let observed = self.draft.world.observed(id, self.draft.now);
        observed.is_some_and(|i| i.state == InstanceState::Crashed && i.restarts >= MOST_ENDS - 1)
    }

    /// Whether it answers, and no waiting makes the answer another.
    fn answers_for_ever(&self, id: InstanceId) -> bool {
        let observed = self.draft.world.observed(id, self.draft.now);
        observed.is_some_and(|seen| seen.state == InstanceState::Starting && seen.found.lasting)
    }

    /// Says once of each instance why it is not ready after some time, while the rollout goes on to wait for it.
    fn warn_of_unready(&mut self, ids: &[InstanceId]) {
        if !self.lasted(TOLD_AFTER) {
            return;
        }
        let told: Vec<String> =
            ids.iter().filter(|id| !self.draft.is_ready(**id)).filter_map(|id| self.unready(*id)).collect();
        for text in told {
            self.warn(text);
        }
    }

    /// The reason changes while it is waited for; what was said once stays true of its time.
    fn unready(&self, id: InstanceId) -> Option<String> {
        let instance = self.draft.instance(id)?;
        let seen = self.draft.world.observed(id, self.draft.now)?;
        let name = problems::not_ready_yet(instance);
        let is_told = self.rollout.warnings.iter().any(|text| text.starts_with(&name));
        let why = seen.detail.as_ref().filter(|_| !is_told)?;
        let advice = seen.found.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
        Some(format!("{name} {why}{advice}"))
    }

    /// Says once of each process type that it listens on all interfaces.
    fn warn_of_exposed(&mut self, ids: &[InstanceId]) {
        let exposed: Vec<_> = ids
            .iter()
            .filter_map(|id| {
                let seen = self.draft.world.observed(*id, self.draft.now)?;
                Some(problems::exposed(&seen.process, seen.found.exposed?))
            })
            .collect();
        for text in exposed {
            self.warn(text);
        }
    }

    /// The pool after the shift: what serves now, without what goes, with what comes.
    pub(super) fn pool_after(&self) -> BTreeSet<InstanceId> {
        let mut pool = self.draft.pool();
        for id in &self.rollout.outgoing {
            pool.remove(id);
        }
        pool.extend(self.incoming_web());
        pool
    }

    /// Past the gate: through the balancers where requests have to go elsewhere, else at once.
    pub(super) fn toward_shift(&mut self) -> Flow {
        let (to, pool) = (self.to(), self.pool_after());
        let routes = self.draft.routes(to, &pool);
        let (app, environment) = (&self.rollout.app, &self.rollout.environment);
        if !crate::table::leads_alike(&self.draft.routing.serving, app, environment, &routes) {
            return Flow::Next(RolloutState::Preparing);
        }
        self.shift();
        self.rollout.shifted = Some(self.draft.now);
        Flow::Next(RolloutState::Draining)
    }
}

/// Budget of the gate with the time to report its end.
pub(super) fn gate_limit() -> Span {
    Span::millis(defaults::READINESS_BUDGET.as_millis() + REPORT_SLACK.as_millis())
}
