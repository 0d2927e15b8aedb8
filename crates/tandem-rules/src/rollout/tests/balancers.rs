//! Balancers that are cut off, fall silent or are gone for good, while the server starts anew.

use tandem_types::assignment::Desired;
use tandem_types::rollout::RolloutState;
use tandem_types::{Epoch, InstanceId, ReleaseNumber};

use super::actors::{Balancer, Behavior};
use super::simulation::Simulation;
use crate::balancers::with;

const R1: ReleaseNumber = ReleaseNumber(1);
const R2: ReleaseNumber = ReleaseNumber(2);

/// Longer than a balancer may be silent and be believed live.
const SILENT_TICKS: usize = 20;

/// One release, served by two balancers.
fn deployed() -> Simulation {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    world.balancers.push(Balancer::new("second"));
    tick(&mut world, 3);
    world
}

fn tick(world: &mut Simulation, times: usize) {
    (0..times).for_each(|_| world.tick());
}

fn deploy(world: &mut Simulation) {
    let deploy = world.deploy(Behavior::default());
    world.settle();
    let rollout = &world.rollouts[&deploy];
    assert_eq!(rollout.state, RolloutState::Completed);
    assert!(rollout.warnings[0].starts_with("unconfirmed: second "), "{:?}", rollout.warnings);
}

#[test]
fn what_a_cut_off_balancer_may_route_to_outlives_a_restart_of_the_server() {
    for (restarts_before, comes_back) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut world = deployed();
        world.balancers[1].connected = false;
        tick(&mut world, SILENT_TICKS);
        if restarts_before {
            world.restart_server();
        }
        deploy(&mut world);
        deploy(&mut world);
        world.restart_server();
        tick(&mut world, 120);
        assert_eq!(world.instances("web", Desired::Warm), [(R1, 1), (R1, 2), (R2, 1), (R2, 2)]);
        if comes_back {
            world.balancers[1].connected = true;
        } else {
            world.remove_balancer(1);
        }
        world.settle();
        assert_eq!(world.instances("web", Desired::Warm), [(R2, 1), (R2, 2)]);
    }
}

#[test]
fn a_balancer_that_confirmed_is_not_waited_for_after_a_restart_of_the_server() {
    let mut world = deployed();
    world.deploy(Behavior::default());
    world.settle();
    let second = &world.balancers[1].id;
    assert_eq!(world.routing.balancers.get(second), Some(&world.routing.serving.epoch));
    world.scale("web", 1);
    world.settle();
    world.balancers[1].connected = false;
    world.restart_server();
    world.pass_time(tandem_types::Span::minutes(40));
    world.settle();
    assert_eq!(world.runners[0].instances.len(), 1);
}

#[test]
fn requests_open_at_a_balancer_that_fell_silent_get_thirty_seconds() {
    for restarts in [false, true] {
        let mut world = deployed();
        let deploy = world.deploy(Behavior::default());
        world.tick_until(deploy, RolloutState::Committing);
        let new = world.runners[0].instances.values().filter(|real| real.assigned.release == R2);
        let new: Vec<InstanceId> = new.map(|real| real.assigned.id).collect();
        world.abort(deploy);
        world.balancers[1].draining = new.into_iter().map(|id| (id, 1)).collect();
        world.tick_until(deploy, RolloutState::Cleaning);
        let begun = world.now;
        world.balancers[1].connected = false;
        if restarts {
            world.restart_server();
        }
        for _ in 0..60 {
            if !world.instances("web", Desired::Stop).is_empty() {
                break;
            }
            world.tick();
        }
        let waited = world.now.duration_since(begun).as_secs();
        assert!((29..=31).contains(&waited), "{waited} s");
    }
}

#[test]
fn a_report_is_written_down_where_a_restart_would_make_more_of_the_balancer_than_it_is() {
    let mut world = deployed();
    let (known, served) = (world.balancers[1].id.clone(), world.routing.serving.epoch);
    world.routing.balancers.insert(known.clone(), Epoch(5));
    for (serving, written) in [(0, None), (4, Some(4)), (5, None), (6, None)] {
        world.balancers[1].serving.epoch = Epoch(serving);
        let changed = with(&world.routing, &world.balancers[1].report());
        assert_eq!(changed.map(|routing| routing.balancers[&known]), written.map(Epoch), "e{serving}");
    }
    let new = with(&world.routing, &Balancer::new("third").report()).expect("it is new");
    assert_eq!((new.balancers.len(), new.serving.epoch), (3, served));
}
