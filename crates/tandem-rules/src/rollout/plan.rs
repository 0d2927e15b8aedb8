//! What a look at the world leads to.

use tandem_types::{BuildNumber, RolloutNumber, Timestamp};

use super::step::Step;
use crate::draft::Change;
use crate::world::World;

/// What to do next about one rollout. Empty when there is nothing to do but to wait.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Documents to write in one transaction.
    pub changes: Vec<Change>,
    /// A build to be made (and made again after a crash): its result goes into [`super::built`] or
    /// [`super::build_failed`].
    pub build: Option<BuildNumber>,
    /// The rollout that has to end first.
    pub waiting_for: Option<RolloutNumber>,
    /// Look again at this time at the latest, or earlier when anything changed.
    pub look_again: Option<Timestamp>,
}

/// Plans for one unfinished rollout; the empty plan where there is none of that number.
#[must_use]
pub fn plan(world: &World, number: RolloutNumber, now: Timestamp) -> Plan {
    let Some(rollout) = world.rollout(number) else { return Plan::default() };
    let mut step = Step::new(world, rollout, now);
    step.run();
    step.into_plan()
}
