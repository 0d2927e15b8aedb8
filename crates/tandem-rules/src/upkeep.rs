//! Keeps an environment in the shape that its documents promise, between rollouts and beside them.
//!
//! Stops what nobody will want back and nothing routes to, drops what has ended, and starts workers that are
//! missing. What an unfinished rollout handles is left to it.

use std::collections::BTreeSet;

use tandem_types::assignment::{AssignedInstance, Desired};
use tandem_types::instance::InstanceState;
use tandem_types::rollout::RolloutState;
use tandem_types::{InstanceId, Timestamp, defaults};

use crate::draft::Draft;
use crate::retention;
use crate::rollout::Plan;
use crate::world::{World, later};

/// What to change in an environment without a rollout.
#[must_use]
pub fn plan(world: &World, now: Timestamp) -> Plan {
    let mut draft = Draft::new(world, now);
    retention::expire_warm(&mut draft);
    let handled = handled(world);
    retire(&mut draft, &handled);
    forget(&mut draft, &handled);
    if is_idle(world) {
        if let Some(current) = draft.environment.current {
            draft.fill_workers(current);
        }
        forget_builds(&mut draft);
    }
    let look_again = draft.look_again;
    Plan { changes: draft.changes(), look_again, ..Plan::default() }
}

/// Whether no rollout has begun to change instances.
fn is_idle(world: &World) -> bool {
    world.rollouts.iter().all(|r| matches!(r.state, RolloutState::Queued | RolloutState::Building))
}

fn handled(world: &World) -> BTreeSet<InstanceId> {
    let unfinished = world.rollouts.iter();
    unfinished.flat_map(|rollout| rollout.incoming.iter().chain(&rollout.outgoing)).copied().collect()
}

/// Stops instances that are not needed. What a balancer may still route to runs on, at the lowest share of CPU.
fn retire(draft: &mut Draft<'_>, handled: &BTreeSet<InstanceId>) {
    let pool = draft.pool();
    let unneeded = |instance: &&AssignedInstance| {
        instance.desired != Desired::Stop
            && !handled.contains(&instance.id)
            && !is_needed(draft, instance, &pool)
    };
    let unneeded = draft.instances().map(|(_, instance)| instance).filter(unneeded);
    let unneeded: Vec<_> = unneeded.map(|instance| (instance.id, instance.process.is_web())).collect();
    let unrouted = draft.world.last_shift;
    for (id, is_web) in unneeded {
        if !is_web || (!draft.may_be_routed(id) && draft.is_drained(id, unrouted)) {
            draft.set_desired(id, Desired::Stop);
            continue;
        }
        draft.set_desired(id, Desired::Warm);
        draft.wake_at(later(draft.world.observing_since, defaults::BALANCER_LIVE));
        if let Some(unrouted) = unrouted {
            draft.wake_at(later(unrouted, defaults::DRAIN_TIMEOUT));
        }
    }
}

fn is_needed(draft: &Draft<'_>, instance: &AssignedInstance, pool: &BTreeSet<InstanceId>) -> bool {
    let warm = draft.environment.warm.iter().any(|warm| warm.release == instance.release);
    if instance.process.is_web() {
        return pool.contains(&instance.id) || warm;
    }
    draft.environment.current == Some(instance.release)
}

/// Drops instances that ended because they should, and jobs of rollouts that are over.
fn forget(draft: &mut Draft<'_>, handled: &BTreeSet<InstanceId>) {
    let now = draft.now;
    let world = draft.world;
    let ended = |instance: &AssignedInstance| {
        instance.desired == Desired::Stop
            && !handled.contains(&instance.id)
            && world.state(instance.id, now) == Some(InstanceState::Stopped)
    };
    let jobs: BTreeSet<_> =
        world.rollouts.iter().flat_map(|r| r.smoke_job.into_iter().chain(r.release_job)).collect();
    for assignment in draft.assignments.values_mut() {
        assignment.instances.retain(|instance| !ended(instance));
        assignment.jobs.retain(|job| jobs.contains(&job.id));
    }
}

/// Drops builds that nothing assigned needs. The assignment itself stays: it tells where the volumes are.
fn forget_builds(draft: &mut Draft<'_>) {
    for assignment in draft.assignments.values_mut() {
        let instances = assignment.instances.iter().map(|instance| instance.build);
        let used: BTreeSet<_> = instances.chain(assignment.jobs.iter().map(|job| job.build)).collect();
        assignment.builds.retain(|build, _| used.contains(build));
    }
}
