//! The event log follows from the document, however much of it is written already.

use tandem_types::event::Event;

use super::actors::Behavior;
use super::simulation::Simulation;
use crate::rollout::{Told, untold};

fn told_all(world: &Simulation, rollout: tandem_types::RolloutNumber) -> Vec<Event> {
    let rollout = &world.rollouts[&rollout];
    untold(rollout, &Told::default(), world.now).into_iter().map(|(_, event)| event).collect()
}

#[test]
fn events_written_bit_by_bit_are_those_written_at_once() {
    let mut world = Simulation::deployed(&[("web", 1)], 1);
    world.balancers[0].connected = false;
    let rollout = world.deploy(Behavior::default());
    let (mut told, mut log) = (Told::default(), Vec::new());
    for tick in 0..300 {
        for (_, event) in untold(&world.rollouts[&rollout], &told, world.now) {
            told.count(&event);
            log.push(event);
        }
        world.balancers[0].connected = tick > 60;
        world.tick();
    }
    let mut at_once = told_all(&world, rollout);
    let is_warning = |event: &Event| matches!(event, Event::Warning { .. });
    assert_eq!(log.iter().filter(|event| is_warning(event)).count(), 1);
    log.retain(|event| !is_warning(event));
    at_once.retain(|event| !is_warning(event));
    assert_eq!(log, at_once);
    assert!(matches!(log.last(), Some(Event::Finished { .. })));
    assert!(untold(&world.rollouts[&rollout], &told, world.now).is_empty());
}

#[test]
fn a_deploy_tells_its_build_and_the_move_of_its_traffic_once() {
    let world = Simulation::deployed(&[("web", 1)], 1);
    let events = told_all(&world, tandem_types::RolloutNumber(1));
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Built { .. })).count(), 1);
    let shifted = events.iter().position(|event| matches!(event, Event::Shifted { .. })).unwrap();
    assert!(matches!(
        &events[shifted - 1],
        Event::StepFinished { step: tandem_types::rollout::RolloutState::Committing, .. }
    ));
}
