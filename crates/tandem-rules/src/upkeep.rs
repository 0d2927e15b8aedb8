//! Keeps an environment in the shape that its documents promise, between rollouts and beside them.
//!
//! Stops what nobody will want back and nothing routes to, drops what has ended, and starts workers that are
//! missing. Web instances that are missing get a rollout of their own, since traffic has to be led to them. What an
//! unfinished rollout handles is left to it.

use std::collections::BTreeSet;

use tandem_types::assignment::{AssignedInstance, Desired, JobKind};
use tandem_types::document::Cause;
use tandem_types::instance::InstanceState;
use tandem_types::rollout::{Rollout, RolloutKind, RolloutState};
use tandem_types::{InstanceId, ProcessType, Timestamp, defaults};

use crate::draft::{Change, Draft};
use crate::retention;
use crate::rollout::{self, Plan};
use crate::sessions;
use crate::world::{World, later};

/// Who the journal says asked for the rollouts that upkeep starts.
const ACTOR: &str = "system:upkeep";

/// What to change in an environment without a rollout.
#[must_use]
pub fn plan(world: &World, now: Timestamp) -> Plan {
    let mut draft = Draft::new(world, now);
    retention::expire_warm(&mut draft);
    let handled = handled(world);
    retire(&mut draft, &handled);
    sessions::follow(&mut draft);
    forget(&mut draft, &handled);
    if is_idle(world) {
        if let Some(current) = draft.environment.current {
            draft.fill_workers(current);
        }
        forget_builds(&mut draft);
    }
    let refill = refill(&mut draft);
    let look_again = draft.look_again;
    let mut changes = draft.changes();
    changes.extend(refill.map(|rollout| Change::Rollout(Box::new(rollout))));
    Plan { changes, look_again, ..Plan::default() }
}

/// Whether no rollout has begun to change instances.
fn is_idle(world: &World) -> bool {
    world.rollouts.iter().all(|r| matches!(r.state, RolloutState::Queued | RolloutState::Building))
}

/// A change of scale to the number that should be, where fewer web instances serve: after a rollback to a release
/// that was warm with fewer, say. One that did not work is not tried again until something else happens.
fn refill(draft: &mut Draft<'_>) -> Option<Rollout> {
    let world = draft.world;
    let failed = |last: &Rollout| {
        last.cause.actor == ACTOR && (last.state != RolloutState::Completed || last.incoming.is_empty())
    };
    if !world.rollouts.is_empty() || world.last_rollout.as_ref().is_some_and(|last| failed(last)) {
        return None;
    }
    let web = ProcessType::web();
    let want = draft.wanted(draft.environment.current?).get(&web).copied()?;
    if draft.pool().len() >= want as usize {
        return None;
    }
    let number = draft.environment.next_rollout;
    draft.environment.next_rollout = number.next();
    let place = (draft.environment.app.clone(), draft.environment.name.clone());
    let cause = Cause {
        actor: ACTOR.to_owned(),
        action: "scale.start".to_owned(),
        reason: format!("{} of {want} web instances serve", draft.pool().len()),
        subject: format!("{}/{}", place.0, place.1),
    };
    let mut rollout = rollout::queued(place, number, (RolloutKind::Scale, cause), draft.now);
    rollout.scale.insert(web, want);
    Some(rollout)
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
    let (epoch, unrouted) = (draft.routing.serving.epoch, draft.world.last_shift);
    for (id, is_web) in unneeded {
        if !is_web || (!draft.may_be_routed(id) && draft.is_drained(id, epoch, unrouted)) {
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

/// Drops instances that ended because they should, and jobs of rollouts that are over. Those of one-off commands are [`sessions`]' own.
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
        assignment.jobs.retain(|job| job.kind == JobKind::Run || jobs.contains(&job.id));
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
