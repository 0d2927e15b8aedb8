//! `Building`: the only state whose work is done outside of the documents. What comes of it enters here.

use tandem_types::build::Build;
use tandem_types::environment::Sealed;
use tandem_types::problem::Problem;
use tandem_types::rollout::{Rollout, RolloutState};
use tandem_types::{RolloutNumber, Timestamp};

use super::plan::{Plan, plan};
use super::problems;
use super::step::{Step, domain_taken};
use crate::world::World;

/// A finished build.
#[derive(Debug, Clone)]
pub struct Built {
    /// The build, under the number that the plan named.
    pub build: Build,
    /// Config that the first release gets where nobody has set it: name and value. A framework that does not start
    /// without a key of its own gets a random one.
    pub generated: Vec<(String, Sealed)>,
}

/// Makes the release of a finished build and goes on. A rollout that no longer waits for it is planned as ever.
#[must_use]
pub fn built(world: &World, number: RolloutNumber, built: Built, now: Timestamp) -> Plan {
    let Some(rollout) = waits_for_build(world, number, built.build.number) else {
        return plan(world, number, now);
    };
    let mut step = Step::new(world, rollout, now);
    let refusal = domain_taken(world, &built.build.spec)
        .or_else(|| built.build.spec.processes.is_empty().then(|| problems::no_process(&built.build)));
    if let Some(problem) = refusal {
        step.give_up(problem);
        return step.into_plan();
    }
    for (name, value) in built.generated {
        step.draft.environment.config.values.entry(name).or_insert(value);
    }
    for warning in &built.build.warnings {
        step.warn(warning.clone());
    }
    step.draft.new_build = Some(built.build);
    step.make_release();
    step.replace_everything();
    step.enter(RolloutState::Staging);
    step.run();
    step.into_plan()
}

/// Ends a rollout whose source could not be built.
#[must_use]
pub fn build_failed(world: &World, number: RolloutNumber, problem: Problem, now: Timestamp) -> Plan {
    let rollout = world.rollout(number).filter(|rollout| rollout.state == RolloutState::Building);
    let Some(rollout) = rollout.filter(|rollout| rollout.abort.is_none()) else {
        return plan(world, number, now);
    };
    let mut step = Step::new(world, rollout, now);
    step.give_up(problem);
    step.into_plan()
}

fn waits_for_build(
    world: &World,
    number: RolloutNumber,
    build: tandem_types::BuildNumber,
) -> Option<&std::sync::Arc<Rollout>> {
    let waits = |rollout: &&std::sync::Arc<Rollout>| {
        rollout.state == RolloutState::Building && rollout.build == Some(build) && rollout.abort.is_none()
    };
    world.rollout(number).filter(waits)
}
