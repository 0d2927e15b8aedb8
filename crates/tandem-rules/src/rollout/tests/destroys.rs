//! An app on its way out: the order of the steps, cut-off balancers, open requests, crashes at every step.

use std::collections::BTreeMap;

use tandem_types::assignment::Desired;
use tandem_types::destroy::{Destroying, LeavingState};
use tandem_types::document::Cause;
use tandem_types::{Epoch, InstanceId, Span};

use super::actors::{Balancer, Behavior};
use super::simulation::Simulation;
use crate::destroy::{has_stopped, progress, without_balancer};
use crate::world::Rival;

/// More than anything below needs.
const MOST_TICKS: usize = 600;

fn deployed() -> Simulation {
    let mut world = Simulation::new(&[("web", 2), ("worker", 1), ("clock", 1)]);
    world.deploy(Behavior::default());
    world.settle();
    world
}

/// Writes down what `app destroy` does.
fn destroy(world: &mut Simulation) {
    let cause = Cause {
        actor: "unix:ana".to_owned(),
        action: "destroy.start".to_owned(),
        reason: String::new(),
        subject: "guestbook".to_owned(),
    };
    world.environment.current = None;
    world.environment.warm = Vec::new();
    world.app.destroying = Some(Destroying { cause, since: world.now, environments: BTreeMap::new() });
}

fn state(world: &Simulation) -> Option<LeavingState> {
    let leaving = world.app.destroying.as_ref()?.environments.get(&world.environment.name)?;
    Some(leaving.state)
}

fn running(world: &Simulation) -> usize {
    let all = world.assignments.values().flat_map(|assignment| &assignment.instances);
    all.filter(|instance| instance.desired != Desired::Stop).count()
}

fn tick_until(world: &mut Simulation, holds: impl Fn(&Simulation) -> bool) {
    for _ in 0..MOST_TICKS {
        if holds(world) {
            return;
        }
        world.tick();
    }
    panic!("waited in vain: {:?} {:?}", world.app.destroying, progress(&world.world(), world.now));
}

fn web(world: &Simulation) -> InstanceId {
    let all = world.assignments.values().flat_map(|assignment| &assignment.instances);
    all.filter(|instance| instance.process.is_web()).map(|instance| instance.id).next().unwrap()
}

#[test]
fn it_is_unrouted_drained_and_stopped_in_this_order() {
    let mut world = deployed();
    destroy(&mut world);
    let mut states = Vec::new();
    for _ in 0..MOST_TICKS {
        world.execute();
        states.extend(state(&world).filter(|now| states.last() != Some(now)));
        assert_eq!(running(&world) < 4, state(&world) >= Some(LeavingState::Stopping), "{states:?}");
        world.tick();
    }
    // With no open request draining is over at once.
    assert_eq!(
        states,
        [LeavingState::Preparing, LeavingState::Unrouting, LeavingState::Stopping, LeavingState::Stopped]
    );
    assert!(has_stopped(&world.world()));
    assert_eq!(world.balancers[0].serving.routes, []);
    assert_eq!(world.routing.prepared, None);
}

#[test]
fn open_requests_finish_and_the_slowest_is_cut_after_the_drain() {
    for ends in [true, false] {
        let mut world = deployed();
        let id = web(&world);
        destroy(&mut world);
        world.balancers[0].draining.insert(id, 1);
        tick_until(&mut world, |world| state(world) == Some(LeavingState::Draining));
        let begun = world.now;
        for _ in 0..20 {
            world.tick();
        }
        assert_eq!((state(&world), running(&world)), (Some(LeavingState::Draining), 4));
        let told = progress(&world.world(), world.now);
        assert!(told[0].starts_with("1 open request on web.1 of guestbook/production, until "), "{told:?}");
        if ends {
            world.balancers[0].draining.clear();
        }
        tick_until(&mut world, |world| running(world) == 0);
        let waited = world.now.duration_since(begun).as_secs();
        assert_eq!(waited >= 30, !ends, "{waited} s");
        tick_until(&mut world, |world| has_stopped(&world.world()));
    }
}

#[test]
fn open_requests_are_not_forgotten_with_a_restart_of_the_server() {
    let mut world = deployed();
    let id = web(&world);
    destroy(&mut world);
    world.balancers[0].draining.insert(id, 1);
    tick_until(&mut world, |world| state(world) == Some(LeavingState::Draining));
    world.balancers[0].connected = false;
    world.restart_server();
    let begun = world.now;
    tick_until(&mut world, |world| running(world) == 0);
    let waited = world.now.duration_since(begun).as_secs();
    assert!(waited >= 29, "{waited} s");
}

#[test]
fn what_a_balancer_routes_to_that_was_cut_off_before_the_server_started_runs_on() {
    let mut world = deployed();
    world.balancers[0].connected = false;
    world.restart_server();
    destroy(&mut world);
    for _ in 0..120 {
        world.tick();
    }
    assert_eq!((state(&world), running(&world)), (Some(LeavingState::Unrouting), 4));
    world.remove_balancer(0);
    tick_until(&mut world, |world| has_stopped(&world.world()));
}

#[test]
fn what_a_cut_off_balancer_may_route_to_runs_until_it_is_back_or_removed() {
    for comes_back in [true, false] {
        let mut world = deployed();
        world.balancers.push(Balancer::new("far"));
        for _ in 0..3 {
            world.tick();
        }
        world.balancers[1].connected = false;
        // Long enough for it not to count as live.
        for _ in 0..20 {
            world.tick();
        }
        destroy(&mut world);
        // The server starts anew meanwhile, and knows of that balancer by its own document alone.
        tick_until(&mut world, |world| state(world) == Some(LeavingState::Unrouting));
        world.restart_server();
        for _ in 0..120 {
            world.tick();
        }
        assert_eq!((state(&world), running(&world)), (Some(LeavingState::Unrouting), 4));
        let told = progress(&world.world(), world.now);
        assert!(told[0].contains("tandem balancer remove far"), "{told:?}");
        if comes_back {
            world.balancers[1].connected = true;
        } else {
            world.remove_balancer(1);
            assert_eq!(without_balancer(&world.app, &"far".parse().unwrap()), None);
        }
        tick_until(&mut world, |world| has_stopped(&world.world()));
    }
}

#[test]
fn a_balancer_that_nobody_has_heard_of_yet_is_waited_for() {
    let mut world = deployed();
    destroy(&mut world);
    world.restart_server();
    world.routing.balancers.clear();
    let start = world.now;
    tick_until(&mut world, |world| running(world) == 0);
    assert!(world.now.duration_since(start).as_secs() >= 15);
}

#[test]
fn a_balancer_that_never_gets_ready_does_not_keep_the_routes() {
    let mut world = deployed();
    world.balancers[0].problem = Some("the disk is full".to_owned());
    destroy(&mut world);
    tick_until(&mut world, |world| has_stopped(&world.world()));
}

#[test]
fn it_waits_for_its_turn_at_the_slot() {
    let mut world = deployed();
    let taken = Epoch(world.routing.last.0 + 1);
    world.rivals = vec![Rival { epoch: taken, urgent: false }];
    let table = tandem_types::routing::Table { epoch: taken, ..world.routing.serving.clone() };
    (world.routing.prepared, world.routing.last) = (Some(table.clone()), taken);
    destroy(&mut world);
    for _ in 0..30 {
        world.tick();
    }
    assert_eq!(world.routing.prepared, Some(table), "nobody's slot was taken");
    let told = progress(&world.world(), world.now);
    assert_eq!(told, ["guestbook/production waits for its turn: another app is moving traffic"]);
    (world.routing.prepared, world.rivals) = (None, Vec::new());
    tick_until(&mut world, |world| has_stopped(&world.world()));
}

#[test]
fn an_app_that_never_ran_goes_at_once() {
    let mut world = Simulation::new(&[("web", 1)]);
    destroy(&mut world);
    world.execute();
    assert!(has_stopped(&world.world()));
}

#[test]
fn a_host_that_says_nothing_more_is_not_waited_for_for_ever() {
    let mut world = deployed();
    world.report();
    destroy(&mut world);
    tick_until(&mut world, |world| state(world) == Some(LeavingState::Stopping));
    world.runners.clear();
    tick_until(&mut world, |world| has_stopped(&world.world()));
}

#[test]
fn a_crash_at_any_tick_changes_nothing_but_the_time() {
    let mut ticks = 0;
    loop {
        let mut world = deployed();
        let id = web(&world);
        world.balancers[0].draining.insert(id, 1);
        destroy(&mut world);
        for _ in 0..ticks {
            world.tick();
        }
        let done = has_stopped(&world.world());
        // What was planned is lost, reports are lost, and the document is read again.
        let _lost = crate::destroy::plan(&world.world(), world.now);
        world.restart_server();
        tick_until(&mut world, |world| has_stopped(&world.world()));
        assert_eq!((running(&world), world.routing.serving.routes.len()), (0, 0));
        if done {
            assert!(ticks > 30, "{ticks}");
            return;
        }
        ticks += 1;
        world.pass_time(Span::seconds(0));
    }
}
