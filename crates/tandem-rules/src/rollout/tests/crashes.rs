//! The executor dies at every step, before and after each of its writes, and goes on as if nothing had happened.

use tandem_types::assignment::Desired;
use tandem_types::rollout::{RolloutKind, RolloutState};
use tandem_types::{ReleaseNumber, RolloutNumber, Span};

use super::actors::Behavior;
use super::simulation::Simulation;
use crate::rollout::plan;
use crate::world::later;

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

/// What happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It dies, and the next one is there at once.
    Crash,
    /// The next one is there after an hour.
    Outage,
    /// It hangs for an hour.
    Stop,
}

impl Fault {
    fn befall(self, world: &mut Simulation) {
        match self {
            Self::Crash => world.restart_server(),
            Self::Outage => {
                world.stop_server(Span::minutes(60));
                world.restart_server();
            }
            Self::Stop => world.stop_server(Span::minutes(60)),
        }
    }
}

/// Runs a story with a fault at the given tick: what was planned is lost. Tells how often was written before each tick.
fn run(story: fn(&mut Simulation), fault_at: Option<(Fault, usize)>) -> (Simulation, Vec<usize>) {
    let mut world = Simulation::new(&[("web", 2), ("worker", 1), ("clock", 1)]);
    for behavior in [Behavior::default(), Behavior::default()] {
        world.deploy(behavior);
        world.settle();
    }
    story(&mut world);
    let mut ticks = Vec::new();
    while !world.unfinished().is_empty() && ticks.len() < 1_000 {
        if let Some((fault, _)) = fault_at.filter(|(_, at)| *at == ticks.len()) {
            for rollout in world.unfinished() {
                let _lost = plan(&world.world(), rollout.number, world.now);
            }
            fault.befall(&mut world);
        }
        ticks.push(world.writes);
        world.tick();
    }
    world.settle();
    (world, ticks)
}

fn same_end_after_a_crash_at_any_tick(story: fn(&mut Simulation)) {
    let (undisturbed, ticks) = run(story, None);
    assert!(ticks.len() < 1_000, "the story has no end");
    // In most ticks nothing happens but waiting; what is away for long goes on from the same state then.
    let changed = |at: &usize| *at == 0 || ticks.get(*at) != ticks.get(at - 1);
    for fault in [Fault::Crash, Fault::Outage, Fault::Stop] {
        for at in (0..=ticks.len()).filter(|at| fault == Fault::Crash || changed(at)) {
            let (world, _) = run(story, Some((fault, at)));
            assert_eq!(end(&world), end(&undisturbed), "after {fault:?} at tick {at} of {}", ticks.len());
        }
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

/// The old release serves on, and what was begun is not half done once its runner goes on.
#[test]
fn a_deploy_to_a_host_that_hangs_fails_within_minutes_and_says_which_host() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    world.runners[0].hangs = true;
    let deploy = world.deploy(Behavior::default());
    let begun = world.now;
    world.settle();
    let rollout = &world.rollouts[&deploy];
    assert_eq!(rollout.state, RolloutState::Failed);
    let problem = rollout.problem.as_ref().expect("it says why");
    assert_eq!(problem.code, "host_silent");
    assert!(problem.title.contains("the runner of alpha does not report"), "{problem:?}");
    assert!(rollout.finished.expect("it ended") < later(begun, Span::minutes(3)), "{rollout:?}");
    world.runners[0].hangs = false;
    world.settle();
    let again = world.deploy(Behavior::default());
    world.settle();
    assert_eq!(world.rollouts[&again].state, RolloutState::Completed);
    assert_eq!(world.runners[0].ran.values().max(), Some(&1), "no command ran twice");
}

#[test]
fn a_host_that_falls_silent_late_in_a_long_staging_has_its_minute_too() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    world.runners[0].hangs = true;
    let deploy = world.deploy(Behavior::default());
    let host = world.runners[0].host.clone();
    for _ in 0..120 {
        world.reports.get_mut(&host).expect("it reported").at = world.now;
        world.tick();
    }
    let tick = |world: &mut Simulation, times: usize| {
        (0..times).for_each(|_| world.tick());
        let rollout = &world.rollouts[&deploy];
        (rollout.state, rollout.problem.as_ref().map(|problem| problem.code.clone()))
    };
    assert_eq!(tick(&mut world, 50), (RolloutState::Staging, None));
    assert_eq!(tick(&mut world, 20).1.as_deref(), Some("host_silent"));
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
