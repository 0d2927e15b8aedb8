//! One look at one rollout: the draft it changes and what all states share.

use std::collections::BTreeSet;
use std::sync::Arc;

use tandem_types::app::AppSpec;
use tandem_types::document::Cause;
use tandem_types::problem::Problem;
use tandem_types::rollout::{Rollout, RolloutKind, RolloutState, StepRecord, Verdict};
use tandem_types::{InstanceId, ReleaseNumber, RolloutNumber, Span, Timestamp};

use super::plan::Plan;
use super::problems;
use crate::draft::{Change, Draft};
use crate::table;
use crate::world::{World, later};
use crate::{missing_module, read_only};

/// More states than one look can pass through; only a defect would need them.
const MOST_STATES: usize = 24;

/// What a state's method says.
#[derive(Debug)]
pub(super) enum Flow {
    /// This state is over.
    Next(RolloutState),
    /// Nothing to do until the world or the time changes.
    Wait,
    /// It cannot go on. Only said before the traffic moved.
    Fail(Problem),
}

/// See the module.
pub(super) struct Step<'w> {
    pub(super) draft: Draft<'w>,
    pub(super) rollout: Rollout,
    /// Said of the present state when it ends.
    pub(super) note: String,
    pub(super) waiting_for: Option<RolloutNumber>,
    before: Arc<Rollout>,
}

/// Whether the traffic has not been touched yet in this state.
#[must_use]
pub fn before_shift(state: RolloutState) -> bool {
    matches!(
        state,
        RolloutState::Queued
            | RolloutState::Building
            | RolloutState::Staging
            | RolloutState::Smoking
            | RolloutState::Releasing
            | RolloutState::Starting
            | RolloutState::Preparing
    )
}

/// The refusal of an environment whose domains belong to another one; `None` when all are free.
#[must_use]
pub fn domain_taken(world: &World, spec: &AppSpec) -> Option<Problem> {
    let domains = table::domains(&world.app.name, &world.environment.name, spec);
    let (domain, owner) = table::conflict(&domains, &world.taken_domains)?;
    let declared = spec.domains.iter().any(|own| own.eq_ignore_ascii_case(&domain));
    Some(problems::domain_taken(&domain, declared, owner))
}

impl<'w> Step<'w> {
    pub(super) fn new(world: &'w World, rollout: &Arc<Rollout>, now: Timestamp) -> Self {
        Self {
            draft: Draft::new(world, now),
            rollout: (**rollout).clone(),
            note: String::new(),
            waiting_for: None,
            before: Arc::clone(rollout),
        }
    }

    /// Goes on until the world has to answer.
    pub(super) fn run(&mut self) {
        for _ in 0..MOST_STATES {
            if self.rollout.state.is_final() {
                return;
            }
            match self.look() {
                Flow::Next(state) => self.enter(state),
                Flow::Fail(problem) => self.give_up(problem),
                Flow::Wait => return,
            }
        }
    }

    fn look(&mut self) -> Flow {
        if let Some(flow) = self.abort() {
            return flow;
        }
        match self.rollout.state {
            RolloutState::Queued => self.queued(),
            RolloutState::Building => Flow::Wait,
            RolloutState::Staging => self.staging(),
            RolloutState::Smoking => self.smoking(),
            RolloutState::Releasing => self.releasing(),
            RolloutState::Starting => self.starting(),
            RolloutState::Preparing => self.preparing(),
            RolloutState::Committing => self.committing(),
            RolloutState::Draining => self.draining(),
            RolloutState::Soaking => self.soaking(),
            RolloutState::Reverting => self.reverting(),
            RolloutState::Cleaning => self.cleaning(),
            RolloutState::Completed
            | RolloutState::Reverted
            | RolloutState::Failed
            | RolloutState::Aborted => Flow::Wait,
        }
    }

    /// Follows a wish to abort, in the states that can be left. After the traffic moved only where there is
    /// something to go back to.
    fn abort(&mut self) -> Option<Flow> {
        let cause = self.rollout.abort.clone()?;
        if matches!(self.rollout.state, RolloutState::Reverting | RolloutState::Cleaning) {
            return None;
        }
        if before_shift(self.rollout.state) {
            self.rollout.problem = Some(self.say_what_stays_set(self.aborted(&cause)));
            return Some(Flow::Next(RolloutState::Cleaning));
        }
        if self.can_go_back() {
            self.rollout.problem = Some(self.say_what_stays_set(self.aborted(&cause)));
            return Some(Flow::Next(RolloutState::Reverting));
        }
        self.warn(
            "not aborted: the traffic has moved, and there is nothing healthy to go back to".to_owned(),
        );
        None
    }

    fn aborted(&self, cause: &Cause) -> Problem {
        problems::aborted(self.rollout.number, cause)
    }

    /// Ends the present state and begins the next.
    pub(super) fn enter(&mut self, state: RolloutState) {
        self.end_record();
        self.rollout.steps.push(StepRecord {
            state,
            started: self.draft.now,
            finished: None,
            note: String::new(),
        });
        self.rollout.state = state;
        match state {
            RolloutState::Reverting => self.rollout.epoch = None,
            RolloutState::Completed => self.complete(),
            _ => {}
        }
        if state.is_final() {
            self.end_record();
            self.rollout.finished = Some(self.draft.now);
        }
    }

    fn end_record(&mut self) {
        let note = std::mem::take(&mut self.note);
        if let Some(last) = self.rollout.steps.last_mut().filter(|last| last.finished.is_none()) {
            last.finished = Some(self.draft.now);
            last.note = note;
        }
    }

    /// Writes down a state that had nothing to do.
    pub(super) fn record_skipped(&mut self, state: RolloutState, note: &str) {
        let now = self.draft.now;
        let record = StepRecord { state, started: now, finished: Some(now), note: note.to_owned() };
        let place = self.rollout.steps.len();
        self.end_record();
        self.rollout.steps.insert(place, record);
    }

    /// Ends it before the traffic moved.
    pub(super) fn give_up(&mut self, problem: Problem) {
        let problem = self.say_what_is_missing(problem);
        self.rollout.problem = Some(self.say_what_stays_set(self.say_who_serves(problem)));
        self.rollout.verdict = Verdict::Fail;
        self.enter(RolloutState::Cleaning);
    }

    /// Ends what people read with what serves now: that is what they fear for.
    fn say_who_serves(&self, mut problem: Problem) -> Problem {
        if let Some(current) = self.draft.environment.current {
            problem.title = format!("{}; {current} still serves", problem.title);
        }
        problem
    }

    /// Of an app that wrote where nothing can be written: which volume is missing. Of one that lacks a module: where those
    /// come from.
    pub(super) fn say_what_is_missing(&self, problem: Problem) -> Problem {
        let release = self.rollout.to;
        let spec = release.and_then(|release| self.draft.spec(release));
        missing_module::explain(read_only::explain(problem, spec))
    }

    /// A change of config that fails takes its release back, and not the values: the next release would bring them
    /// again. Whoever set them has to know.
    pub(super) fn say_what_stays_set(&self, problem: Problem) -> Problem {
        if self.rollout.kind != RolloutKind::Config {
            return problem;
        }
        let from = self.rollout.from.and_then(|number| self.draft.release(number));
        let config = &self.draft.environment.config;
        let names = from.map_or_else(Vec::new, |from| crate::config::differences(&from.config, config));
        problems::config_stays(&self.rollout, &names, config, problem)
    }

    /// Tells people something, once.
    pub(super) fn warn(&mut self, text: String) {
        if !self.rollout.warnings.contains(&text) {
            self.rollout.warnings.push(text);
        }
    }

    /// When the present state began.
    pub(super) fn since(&self) -> Timestamp {
        self.rollout.steps.last().map_or(self.rollout.created, |step| step.started)
    }

    /// From when on the limits of the present state count. While no server listened nobody could tell it that they were met.
    pub(super) fn watched_since(&self) -> Timestamp {
        self.since().max(self.draft.world.observing_since)
    }

    /// Whether the present state has lasted this long before a server's eyes; else asks to be woken then.
    pub(super) fn lasted(&mut self, limit: Span) -> bool {
        let end = later(self.watched_since(), limit);
        self.draft.wake_at(end);
        self.draft.now >= end
    }

    /// The release that shall take traffic. Known from the end of `Queued` or `Building` on.
    pub(super) fn to(&self) -> ReleaseNumber {
        self.rollout.to.expect("a rollout that acts knows its release")
    }

    pub(super) fn spec(&self) -> Option<&AppSpec> {
        self.draft.spec(self.to())
    }

    /// Other unfinished rollouts of the environment.
    pub(super) fn siblings(&self) -> impl Iterator<Item = &'w Arc<Rollout>> {
        let number = self.rollout.number;
        self.draft.world.rollouts.iter().filter(move |other| other.number != number)
    }

    pub(super) fn is_web(&self, id: InstanceId) -> bool {
        self.draft.instance(id).is_some_and(|instance| instance.process.is_web())
    }

    /// Instances that this rollout brings and that take requests.
    pub(super) fn incoming_web(&self) -> BTreeSet<InstanceId> {
        self.rollout.incoming.iter().copied().filter(|id| self.is_web(*id)).collect()
    }

    /// Whether a release of its own is replaced by this rollout, not only instances.
    pub(super) fn replaces_release(&self) -> bool {
        matches!(self.rollout.kind, RolloutKind::Deploy | RolloutKind::Config | RolloutKind::Rollback)
    }

    pub(super) fn into_plan(self) -> Plan {
        let build = match self.rollout.state {
            RolloutState::Building => self.rollout.build,
            _ => None,
        };
        let (look_again, waiting_for) = (self.draft.look_again, self.waiting_for);
        let mut changes = self.draft.changes();
        if self.rollout != *self.before {
            changes.push(Change::Rollout(Box::new(self.rollout)));
        }
        Plan { changes, build, waiting_for, look_again }
    }
}
