//! What happens to instances that take no requests.

use tandem_types::ReleaseNumber;
use tandem_types::assignment::Desired;
use tandem_types::rollout::{RolloutKind, RolloutState, Verdict};

use super::actors::Behavior;
use super::simulation::{Simulation, process};

const R1: ReleaseNumber = ReleaseNumber(1);
const R2: ReleaseNumber = ReleaseNumber(2);

const PROCESSES: [(&str, u32); 3] = [("web", 1), ("worker", 2), ("clock", 1)];

/// Ticks to the end and asks after every tick how many of a type run, by release.
fn watch(world: &mut Simulation, name: &str, mut look: impl FnMut(&[(ReleaseNumber, bool)])) {
    for _ in 0..400 {
        world.tick();
        let all = world.runners.iter().flat_map(|runner| runner.instances.values());
        let fits = all.filter(|real| real.assigned.process == process(name));
        let told: Vec<_> = fits
            .filter(|real| real.state != tandem_types::instance::InstanceState::Stopped)
            .map(|real| (real.assigned.release, real.assigned.desired == Desired::Stop))
            .collect();
        look(&told);
    }
    assert!(world.unfinished().is_empty());
}

#[test]
fn new_workers_run_before_old_ones_are_asked_to_stop() {
    let mut world = Simulation::deployed(&PROCESSES, 1);
    world.deploy(Behavior::default());
    watch(&mut world, "worker", |workers| {
        let stopping = workers.iter().any(|(release, stops)| *release == R1 && *stops);
        let new = workers.iter().filter(|(release, _)| *release == R2).count();
        assert!(!stopping || new == 2, "old workers stop beside {new} new ones");
    });
    assert_eq!(world.instances("worker", Desired::Run), [(R2, 1), (R2, 2)]);
}

#[test]
fn two_singletons_never_run_at_a_time() {
    let mut world = Simulation::deployed(&PROCESSES, 1);
    world.deploy(Behavior::default());
    watch(&mut world, "clock", |clocks| assert!(clocks.len() <= 1, "{clocks:?}"));
    assert_eq!(world.instances("clock", Desired::Run), [(R2, 1)]);
    world.rollback(1);
    watch(&mut world, "clock", |clocks| assert!(clocks.len() <= 1, "{clocks:?}"));
    assert_eq!(world.instances("clock", Desired::Run), [(R1, 1)]);
    world.ask(RolloutKind::Restart, |_| {});
    watch(&mut world, "clock", |clocks| assert!(clocks.len() <= 1, "{clocks:?}"));
    assert_eq!(world.instances("clock", Desired::Run), [(R1, 1)]);
}

#[test]
fn a_rollback_flips_before_its_workers_run_and_stops_the_others_after() {
    let mut world = Simulation::deployed(&PROCESSES, 2);
    world.runners[0].start_delay = 5;
    let rollback = world.rollback(1);
    while world.rollouts[&rollback].shifted.is_none() {
        world.tick();
    }
    assert_eq!(world.pool_releases(), [R1]);
    assert_eq!(world.instances("worker", Desired::Run), [(R1, 1), (R1, 2), (R2, 1), (R2, 2)]);
    world.settle();
    assert_eq!(world.instances("worker", Desired::Run), [(R1, 1), (R1, 2)]);
    assert_eq!(
        world.instances("web", Desired::Warm),
        [(R2, 1)],
        "the bad release stays warm, its workers do not"
    );
}

#[test]
fn a_worker_that_does_not_come_up_fails_the_deploy_but_not_a_rollback() {
    let mut world = Simulation::deployed(&PROCESSES, 1);
    let deploy = world.deploy(Behavior { worker_crashes: true, ..Behavior::default() });
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Failed);
    assert_eq!(world.instances("worker", Desired::Run), [(R1, 1), (R1, 2)]);

    let mut world = Simulation::deployed(&PROCESSES, 2);
    world
        .behaviors
        .insert(world.releases[&R1].build, Behavior { worker_crashes: true, ..Behavior::default() });
    let rollback = world.rollback(1);
    world.settle();
    assert_eq!((world.state_of(rollback), world.pool_releases()), (RolloutState::Completed, vec![R1]));
    assert!(world.rollouts[&rollback].warnings.iter().any(|text| text.contains("worker.1 of r1")));
}

#[test]
fn a_singleton_that_does_not_come_up_takes_the_deploy_back_and_its_predecessor_runs_again() {
    let mut world = Simulation::new(&[("web", 1), ("clock", 1)]);
    world.deploy(Behavior::default());
    world.settle();
    let deploy = world.deploy(Behavior { worker_crashes: true, ..Behavior::default() });
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Reverted);
    assert_eq!(world.rollouts[&deploy].verdict, Verdict::Fail);
    assert_eq!(world.pool_releases(), [R1]);
    assert_eq!(world.instances("clock", Desired::Run), [(R1, 1)]);
}

#[test]
fn a_process_type_that_is_gone_stops_and_a_new_one_starts() {
    let mut world = Simulation::deployed(&PROCESSES, 1);
    world.spec = super::simulation::spec(&[("web", 1), ("mailer", 1)]);
    world.deploy(Behavior::default());
    world.settle();
    assert_eq!(world.instances("worker", Desired::Run), []);
    assert_eq!(world.instances("clock", Desired::Run), []);
    assert_eq!(world.instances("mailer", Desired::Run), [(R2, 1)]);
}

#[test]
fn an_app_without_web_deploys_without_touching_the_routes() {
    let mut world = Simulation::new(&[("worker", 1)]);
    let deploy = world.deploy(Behavior::default());
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Completed);
    world.deploy(Behavior::default());
    world.settle();
    assert_eq!((world.environment.current, world.routing.last.0), (Some(R2), 0));
    assert_eq!(world.instances("worker", Desired::Run), [(R2, 1)]);
}

#[test]
fn restarting_workers_leaves_web_alone() {
    let mut world = Simulation::deployed(&PROCESSES, 1);
    let epoch = world.routing.serving.epoch;
    let before = world.instances("web", Desired::Run);
    world.ask(RolloutKind::Restart, |rollout| rollout.processes = vec![process("worker")]);
    world.settle();
    assert_eq!((world.instances("web", Desired::Run), world.routing.serving.epoch), (before, epoch));
    assert_eq!(world.instances("worker", Desired::Run), [(R1, 1), (R1, 2)]);
}

#[test]
fn a_worker_that_is_lost_from_the_documents_is_started_again() {
    let mut world = Simulation::deployed(&PROCESSES, 1);
    for assignment in world.assignments.values_mut() {
        assignment.instances.retain(|instance| instance.process.is_web());
    }
    world.settle();
    assert_eq!(world.instances("worker", Desired::Run), [(R1, 1), (R1, 2)]);
    assert_eq!(world.instances("clock", Desired::Run), [(R1, 1)]);
}
