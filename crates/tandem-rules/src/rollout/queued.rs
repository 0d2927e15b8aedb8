//! `Queued`: one rollout of an environment at a time, except that nobody waits to go back.
//!
//! A rollback pushes aside what has not moved traffic yet: who types `rollback` wants the present release gone now,
//! not after somebody's build, and does not want that build to take over afterwards either. So starting a rollback
//! aborts every earlier rollout that is before its shift, and begins while they clean up. A release phase under way
//! is left to end: killing a migration half-way would be worse than what the rollback is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_types::document::Cause;
use tandem_types::rollout::{Rollout, RolloutKind, RolloutState, StepRecord, Verdict};
use tandem_types::{AppName, EnvironmentName, RolloutNumber, Span, Timestamp};

use super::step::{Flow, Step, before_shift};

/// Action of the cause with which a rollback aborts earlier rollouts.
pub const PREEMPTED: &str = "rollout.preempt";

/// The unfinished rollouts that a new rollback aborts.
#[must_use]
pub fn preempted_by_rollback(rollouts: &[Arc<Rollout>]) -> Vec<RolloutNumber> {
    let aside = |rollout: &&Arc<Rollout>| before_shift(rollout.state) && rollout.abort.is_none();
    rollouts.iter().filter(aside).map(|rollout| rollout.number).collect()
}

/// A rollout as it is when it was asked for. What its kind needs besides is filled in by who asks.
#[must_use]
pub fn queued(
    (app, environment): (AppName, EnvironmentName),
    number: RolloutNumber,
    (kind, cause): (RolloutKind, Cause),
    now: Timestamp,
) -> Rollout {
    let record =
        StepRecord { state: RolloutState::Queued, started: now, finished: None, note: String::new() };
    Rollout {
        app,
        environment,
        number,
        kind,
        cause,
        source: None,
        git: None,
        from: None,
        to: None,
        build: None,
        state: RolloutState::Queued,
        steps: vec![record],
        incoming: Vec::new(),
        outgoing: Vec::new(),
        smoke_job: None,
        release_job: None,
        epoch: None,
        scale: BTreeMap::new(),
        processes: Vec::new(),
        soak: Span::seconds(0),
        abort: None,
        verdict: Verdict::Undecided,
        problem: None,
        warnings: Vec::new(),
        created: now,
        shifted: None,
        finished: None,
    }
}

impl Step<'_> {
    pub(super) fn queued(&mut self) -> Flow {
        let earlier = self.siblings().filter(|other| other.number < self.rollout.number);
        let first = earlier.filter(|other| !self.passes(other)).min_by_key(|other| other.number);
        if let Some(other) = first {
            self.waiting_for = Some(other.number);
            return Flow::Wait;
        }
        self.note = waited(self.since(), self.draft.now);
        self.begin()
    }

    /// Whether this rollout need not wait for the other's end.
    fn passes(&self, other: &Rollout) -> bool {
        let gives_way = other.abort.is_some() && before_shift(other.state);
        self.rollout.kind == RolloutKind::Rollback && (gives_way || other.state == RolloutState::Cleaning)
    }

    /// Whether a later rollout waits for this one, so that draining and soaking should end.
    pub(super) fn is_succeeded_by(&self, kind: Option<RolloutKind>) -> bool {
        let fits = |other: &Rollout| kind.is_none_or(|kind| other.kind == kind) && other.abort.is_none();
        self.siblings().any(|other| other.number > self.rollout.number && fits(other))
    }
}

fn waited(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs();
    if seconds > 0 { format!("waited {seconds} s") } else { String::new() }
}
