//! The one slot for a prepared epoch, shared by all environments.

use tandem_types::rollout::RolloutState;
use tandem_types::routing::Table;
use tandem_types::{Epoch, RolloutNumber};

use super::actors::Behavior;
use super::simulation::Simulation;
use crate::world::Rival;

/// Another environment's epoch is prepared.
fn taken(world: &mut Simulation, urgent: bool) -> Table {
    let epoch = crate::table::next_epoch(&world.routing);
    let table = Table { epoch, ..world.routing.serving.clone() };
    world.routing.prepared = Some(table.clone());
    world.routing.last = epoch;
    world.rivals = vec![Rival { epoch, urgent }];
    table
}

/// The other environment commits its epoch.
fn given_back(world: &mut Simulation) {
    world.routing.serving = world.routing.prepared.take().expect("it was taken");
    world.rivals.clear();
}

fn preparing(world: &mut Simulation, rollout: RolloutNumber) {
    world.tick_until(rollout, RolloutState::Preparing);
    for _ in 0..20 {
        world.tick();
    }
}

#[test]
fn a_deploy_waits_for_the_slot_and_goes_on_from_the_table_that_serves_then() {
    let mut world = Simulation::deployed(&[("web", 1)], 1);
    let table = taken(&mut world, false);
    let deploy = world.deploy(Behavior::default());
    preparing(&mut world, deploy);
    assert_eq!(world.routing.prepared, Some(table));
    given_back(&mut world);
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Completed);
}

#[test]
fn a_rollback_pushes_a_deploy_out_of_the_slot_but_not_another_rollback() {
    for urgent in [false, true] {
        let mut world = Simulation::deployed(&[("web", 1)], 2);
        let table = taken(&mut world, urgent);
        world.rollback(1);
        world.execute();
        let kept = world.routing.prepared.as_ref() == Some(&table);
        assert_eq!(kept, urgent);
        assert!(kept || world.routing.prepared.as_ref().map(|t| t.epoch) == Some(Epoch(table.epoch.0 + 1)));
    }
}

#[test]
fn a_deploy_that_was_pushed_out_of_the_slot_prepares_anew() {
    let mut world = Simulation::deployed(&[("web", 1)], 1);
    world.balancers[0].problem = Some("busy".to_owned());
    let deploy = world.deploy(Behavior::default());
    world.tick_until(deploy, RolloutState::Preparing);
    let first = world.rollouts[&deploy].epoch;
    taken(&mut world, true);
    world.tick();
    assert_eq!(world.rollouts[&deploy].epoch, first);
    given_back(&mut world);
    world.balancers[0].problem = None;
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Completed);
    assert!(world.rollouts[&deploy].epoch > first);
}

#[test]
fn a_left_over_epoch_that_no_rollout_owns_is_replaced() {
    let mut world = Simulation::deployed(&[("web", 1)], 1);
    taken(&mut world, true);
    world.rivals.clear();
    let deploy = world.deploy(Behavior::default());
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Completed);
}
