//! `Queued`: one rollout of an environment at a time, except that nobody waits to go back.
//!
//! A rollback pushes aside what has not moved traffic yet: who types `rollback` wants the present release gone now,
//! not after somebody's build, and does not want that build to take over afterwards either. So starting a rollback
//! aborts every earlier rollout that is before its shift, and begins while they clean up. A release phase under way
//! is left to end: killing a migration half-way would be worse than what the rollback is for.

use std::sync::Arc;

use tandem_types::rollout::{Rollout, RolloutKind, RolloutState};
use tandem_types::{RolloutNumber, Timestamp};

use super::step::{Flow, Step, before_shift};

/// Action of the cause with which a rollback aborts earlier rollouts.
pub const PREEMPTED: &str = "rollout.preempt";

/// The unfinished rollouts that a new rollback aborts.
#[must_use]
pub fn preempted_by_rollback(rollouts: &[Arc<Rollout>]) -> Vec<RolloutNumber> {
    let aside = |rollout: &&Arc<Rollout>| before_shift(rollout.state) && rollout.abort.is_none();
    rollouts.iter().filter(aside).map(|rollout| rollout.number).collect()
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
