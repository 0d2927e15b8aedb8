//! Whatever people do and whatever breaks in whatever order, the promises hold and everything ends.
//!
//! [`Simulation`] checks at every write that only healthy instances are routed to, that no pool with a healthy
//! instance is emptied, that a release phase is assigned once, and that nothing is stopped that a balancer routes to.

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;
use tandem_types::instance::InstanceState;
use tandem_types::rollout::RolloutKind;
use tandem_types::{ReleaseNumber, RolloutNumber, Span};

use super::actors::{Balancer, Behavior};
use super::simulation::{Simulation, process};

#[derive(Debug, Clone)]
enum Act {
    Execute,
    RunRunners,
    RunBalancers,
    Report,
    PassTime(u64),
    Tick(u8),
    Deploy(Behavior),
    Rollback(u64),
    Scale(u32),
    ScaleWorkers(u32),
    Restart(bool),
    Config(u8),
    Abort(u64),
    Break(u64, bool),
    CutOff(usize),
    Reconnect(usize),
    Busy(bool),
    RestartServer,
}

fn behavior() -> impl Strategy<Value = Behavior> {
    let bad = |change: fn(&mut Behavior)| {
        let mut behavior = Behavior::default();
        change(&mut behavior);
        behavior
    };
    prop_oneof![
        6 => Just(Behavior::default()),
        1 => Just(bad(|b| b.never_healthy = true)),
        1 => Just(bad(|b| b.crashes = true)),
        1 => Just(bad(|b| b.worker_crashes = true)),
        1 => Just(bad(|b| b.release_exit = 1)),
        1 => Just(bad(|b| b.release_unknown = true)),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => Just(Act::Execute),
        6 => Just(Act::RunRunners),
        6 => Just(Act::RunBalancers),
        6 => Just(Act::Report),
        4 => (100_u64..40_000).prop_map(Act::PassTime),
        12 => (1_u8..30).prop_map(Act::Tick),
        4 => behavior().prop_map(Act::Deploy),
        3 => (1_u64..5).prop_map(Act::Rollback),
        1 => (0_u32..4).prop_map(Act::Scale),
        1 => (0_u32..3).prop_map(Act::ScaleWorkers),
        1 => any::<bool>().prop_map(Act::Restart),
        1 => any::<u8>().prop_map(Act::Config),
        2 => (1_u64..9).prop_map(Act::Abort),
        3 => ((1_u64..5), any::<bool>()).prop_map(|(release, crash)| Act::Break(release, crash)),
        2 => (0_usize..2).prop_map(Act::CutOff),
        2 => (0_usize..2).prop_map(Act::Reconnect),
        1 => any::<bool>().prop_map(Act::Busy),
        2 => Just(Act::RestartServer),
    ]
}

/// What takes instances out of the table while one balancer comes and goes and the server starts anew.
fn act_beside_a_cut_off_balancer() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Execute),
        1 => Just(Act::RunBalancers),
        1 => Just(Act::Report),
        6 => (1_u8..60).prop_map(Act::Tick),
        2 => Just(Act::Deploy(Behavior::default())),
        1 => (1_u64..5).prop_map(Act::Rollback),
        1 => (1_u32..4).prop_map(Act::Scale),
        2 => Just(Act::Restart(true)),
        1 => (1_u64..9).prop_map(Act::Abort),
        2 => Just(Act::CutOff(1)),
        1 => Just(Act::Reconnect(1)),
        3 => Just(Act::RestartServer),
    ]
}

fn perform(world: &mut Simulation, act: Act) {
    match act {
        Act::Execute => drop(world.execute()),
        Act::RunRunners => world.run_runners(),
        Act::RunBalancers => world.run_balancers(),
        Act::Report => world.report(),
        Act::PassTime(millis) => world.pass_time(Span::millis(millis)),
        Act::Tick(times) => (0..times).for_each(|_| world.tick()),
        Act::Deploy(behavior) => drop(world.deploy(behavior)),
        Act::Rollback(release) => {
            let served = |r: &ReleaseNumber| world.releases.get(r).is_some_and(|r| r.took_traffic.is_some());
            if served(&ReleaseNumber(release)) {
                world.rollback(release);
            }
        }
        Act::Scale(count) => drop(world.scale("web", count)),
        Act::ScaleWorkers(count) => drop(world.scale("worker", count)),
        Act::Restart(all) => {
            let chosen = if all { vec![] } else { vec![process("worker")] };
            world.ask(RolloutKind::Restart, |rollout| rollout.processes = chosen);
        }
        Act::Config(value) => drop(world.set_config("COLOR", &value.to_string())),
        Act::Abort(number) => {
            if world.rollouts.contains_key(&RolloutNumber(number)) {
                world.abort(RolloutNumber(number));
            }
        }
        Act::Break(release, crash) => {
            let state = if crash { InstanceState::Crashed } else { InstanceState::Unhealthy };
            world.crash_instances(release, state);
        }
        Act::CutOff(place) => world.balancers[place].connected = false,
        Act::Reconnect(place) => {
            // A balancer says that it is there before it takes its first table.
            world.balancers[place].connected = true;
            world.report();
        }
        Act::Busy(busy) => {
            let ids = world.runners[0].instances.keys().map(|id| (*id, 1));
            world.balancers[0].draining = if busy { ids.collect() } else { Default::default() };
        }
        Act::RestartServer => world.restart_server(),
    }
}

fn world() -> Simulation {
    let mut world = Simulation::new(&[("web", 2), ("worker", 1), ("clock", 1)]);
    world.balancers.push(Balancer::new("second"));
    world
}

fn end(mut world: Simulation) {
    for balancer in &mut world.balancers {
        balancer.connected = true;
        balancer.draining.clear();
    }
    world.settle();
    let two_clocks = world.instances("clock", tandem_types::assignment::Desired::Run).len();
    assert!(two_clocks <= 1, "{two_clocks} singletons are assigned at rest");
}

proptest! {
    #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]

    #[test]
    fn promises_hold_and_every_rollout_ends(acts in proptest::collection::vec(act(), 1..60)) {
        let mut world = world();
        for act in acts {
            perform(&mut world, act);
        }
        end(world);
    }

    #[test]
    fn promises_hold_beside_a_balancer_that_is_cut_off_while_the_server_starts_anew(
        acts in proptest::collection::vec(act_beside_a_cut_off_balancer(), 1..30),
    ) {
        let mut world = world();
        world.deploy(Behavior::default());
        for act in [Act::Tick(60)].into_iter().chain(acts) {
            perform(&mut world, act);
        }
        end(world);
    }
}
