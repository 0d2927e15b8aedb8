//! What people read while an app is destroyed: what it waits for, by name.

use std::collections::BTreeSet;

use tandem_types::assignment::AssignedInstance;
use tandem_types::destroy::{Leaving, LeavingState};
use tandem_types::instance::InstanceState;
use tandem_types::{InstanceId, Timestamp, defaults};

use crate::world::{World, later};

/// What the environment waits for on its way out, one sentence each; nothing where it has stopped or not begun.
#[must_use]
pub fn progress(world: &World, now: Timestamp) -> Vec<String> {
    let destroying = world.app.destroying.as_ref();
    let leaving = destroying.and_then(|all| all.environments.get(&world.environment.name));
    let Some(leaving) = leaving else { return Vec::new() };
    match leaving.state {
        LeavingState::Preparing => vec![preparing(world, leaving)],
        LeavingState::Unrouting => unrouting(world, leaving, now),
        LeavingState::Draining => draining(world, leaving),
        LeavingState::Stopping => stopping(world, now),
        LeavingState::Stopped => Vec::new(),
    }
}

fn preparing(world: &World, leaving: &Leaving) -> String {
    let place = place(world);
    match leaving.epoch {
        Some(epoch) if world.routing.prepared.as_ref().is_some_and(|table| table.epoch == epoch) => {
            format!("balancers get ready to serve without {place}")
        }
        _ => format!("{place} waits for its turn: another app is moving traffic"),
    }
}

fn unrouting(world: &World, leaving: &Leaving, now: Timestamp) -> Vec<String> {
    let live: BTreeSet<_> = world.live_balancers(now).map(|status| &status.balancer).collect();
    let place = place(world);
    let told = leaving.awaiting.iter().map(|id| {
        if live.contains(id) {
            format!("the balancer {id} still serves {place}")
        } else {
            format!(
                "the balancer {id} does not report and may still serve {place}; if it is gone for good, type \
                 `tandem balancer remove {id}`"
            )
        }
    });
    let told: Vec<_> = told.collect();
    if told.is_empty() && later(world.observing_since, defaults::BALANCER_LIVE) > now {
        return vec!["the server has just started: balancers it does not know yet may report".to_owned()];
    }
    told
}

fn draining(world: &World, leaving: &Leaving) -> Vec<String> {
    let end = later(leaving.since, defaults::DRAIN_TIMEOUT).strftime("%H:%M:%S UTC");
    // Also by what a balancer said last that has fallen silent since: that is waited for too.
    let open = |id: InstanceId| -> u64 {
        world.balancers.values().filter_map(|report| report.value.draining.get(&id)).sum()
    };
    let busy = assigned(world).filter(|instance| open(instance.id) > 0);
    busy.map(|instance| {
        let (count, name) = (open(instance.id), name(instance));
        let requests = if count == 1 { "request" } else { "requests" };
        format!("{count} open {requests} on {name} of {}, until {end} at most", place(world))
    })
    .collect()
}

fn stopping(world: &World, now: Timestamp) -> Vec<String> {
    let runs = |instance: &&AssignedInstance| world.state(instance.id, now) != Some(InstanceState::Stopped);
    assigned(world)
        .filter(runs)
        .map(|instance| format!("{} of {} stops", name(instance), place(world)))
        .collect()
}

fn assigned(world: &World) -> impl Iterator<Item = &AssignedInstance> {
    world.assignments.values().flat_map(|assignment| &assignment.instances)
}

fn name(instance: &AssignedInstance) -> String {
    format!("{}.{}", instance.process, instance.index)
}

fn place(world: &World) -> String {
    format!("{}/{}", world.app.name, world.environment.name)
}
