//! The executor dies at every step, before and after each of its writes, and goes on as if nothing had happened.

use tandem_types::assignment::Desired;
use tandem_types::rollout::{RolloutKind, RolloutState};
use tandem_types::{ReleaseNumber, RolloutNumber};

use super::actors::Behavior;
use super::simulation::Simulation;
use crate::rollout::plan;

/// What must be the same at the end.
#[derive(Debug, Clone, PartialEq)]
struct End {
    states: Vec<(RolloutNumber, RolloutState)>,
    current: Option<ReleaseNumber>,
    pool: Vec<ReleaseNumber>,
    running: Vec<Vec<(ReleaseNumber, u32)>>,
    release_phases: usize,
}

fn end(world: &Simulation) -> End {
    let running = ["web", "worker", "clock"].map(|name| world.instances(name, Desired::Run));
    End {
        states: world.rollouts.values().map(|rollout| (rollout.number, rollout.state)).collect(),
        current: world.environment.current,
        pool: world.pool_releases(),
        running: running.to_vec(),
        release_phases: world.runners.iter().map(|runner| runner.ran.len()).sum(),
    }
}

/// Runs a story with a crash at the given tick: what was planned is lost, and so are all reports.
fn run(story: fn(&mut Simulation), crash_at: Option<usize>) -> (Simulation, usize) {
    let mut world = Simulation::new(&[("web", 2), ("worker", 1), ("clock", 1)]);
    for behavior in [Behavior::default(), Behavior::default()] {
        world.deploy(behavior);
        world.settle();
    }
    story(&mut world);
    let mut ticks = 0;
    while !world.unfinished().is_empty() && ticks < 1_000 {
        if crash_at == Some(ticks) {
            for rollout in world.unfinished() {
                let _lost = plan(&world.world(), rollout.number, world.now);
            }
            world.restart_server();
        }
        world.tick();
        ticks += 1;
    }
    world.settle();
    (world, ticks)
}

fn same_end_after_a_crash_at_any_tick(story: fn(&mut Simulation)) {
    let (undisturbed, ticks) = run(story, None);
    assert!(ticks < 1_000, "the story has no end");
    for crash_at in 0..=ticks {
        let (world, _) = run(story, Some(crash_at));
        assert_eq!(end(&world), end(&undisturbed), "after a crash at tick {crash_at} of {ticks}");
    }
}

#[test]
fn a_deploy_ends_alike() {
    same_end_after_a_crash_at_any_tick(|world| {
        world.deploy(Behavior::default());
    });
}

#[test]
fn a_deploy_that_never_gets_healthy_ends_alike() {
    same_end_after_a_crash_at_any_tick(|world| {
        world.deploy(Behavior { never_healthy: true, ..Behavior::default() });
    });
}

#[test]
fn a_failing_release_phase_ends_alike() {
    same_end_after_a_crash_at_any_tick(|world| {
        world.deploy(Behavior { release_exit: 1, ..Behavior::default() });
    });
}

#[test]
fn a_singleton_that_fails_after_the_shift_ends_alike() {
    same_end_after_a_crash_at_any_tick(|world| {
        world.spec = super::simulation::spec(&[("web", 2), ("clock", 1)]);
        world.deploy(Behavior { worker_crashes: true, ..Behavior::default() });
    });
}

#[test]
fn a_rollback_ends_alike() {
    same_end_after_a_crash_at_any_tick(|world| {
        world.rollback(1);
    });
}

#[test]
fn a_change_of_scale_and_a_restart_end_alike() {
    same_end_after_a_crash_at_any_tick(|world| {
        world.scale("web", 4);
        world.scale("web", 1);
        world.ask(RolloutKind::Restart, |_| {});
    });
}
