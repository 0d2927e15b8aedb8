//! Back: rollbacks, aborts, failures after the shift, and balancers that do not answer, told as stories.

use tandem_types::assignment::Desired;
use tandem_types::instance::InstanceState;
use tandem_types::release::ReleaseStatus;
use tandem_types::rollout::{RolloutKind, RolloutState, Verdict};
use tandem_types::{Epoch, ReleaseNumber, Span};

use super::actors::{Balancer, Behavior};
use super::simulation::Simulation;

const R1: ReleaseNumber = ReleaseNumber(1);
const R2: ReleaseNumber = ReleaseNumber(2);

#[test]
fn a_rollback_to_a_warm_release_prepares_its_epoch_in_the_first_transaction() {
    let mut world = Simulation::deployed(&[("web", 2)], 2);
    let rollout = world.rollback(1);
    let writes = world.writes;
    world.execute();
    assert_eq!((world.writes, world.state_of(rollout)), (writes + 1, RolloutState::Preparing));
    assert_eq!(world.routing.prepared.as_ref().map(|table| table.epoch), Some(Epoch(3)));
    world.settle();
    assert_eq!(world.pool_releases(), [R1, R1]);
    assert_eq!(world.environment.current, Some(R1));
    assert_eq!(world.releases[&R2].status, ReleaseStatus::RolledBack);
    assert_eq!(world.instances("web", Desired::Warm), [(R2, 1), (R2, 2)], "the bad release stays warm");
    insta::assert_snapshot!(world.steps(rollout), @r"
    Queued
    Staging: warm
    Starting: warm
    Preparing: epoch e3
    Committing: 1 balancer confirmed
    Draining
    Soaking
    Completed
    ");
}

#[test]
fn a_rollback_to_a_release_that_was_warm_with_fewer_instances_flips_at_once_and_gets_the_rest_after() {
    let mut world = Simulation::deployed(&[("web", 2)], 2);
    world.scale("web", 3);
    world.settle();
    let rollback = world.rollback(1);
    world.execute();
    assert_eq!(world.state_of(rollback), RolloutState::Preparing);
    world.tick_until(rollback, RolloutState::Completed);
    assert_eq!(world.pool_releases(), [R1, R1]);
    world.settle();
    assert_eq!(world.pool_releases(), [R1, R1, R1]);
    let last = world.rollouts.values().last().unwrap();
    assert_eq!((last.kind, last.cause.reason.as_str()), (RolloutKind::Scale, "2 of 3 web instances serve"));
}

/// A server that has just begun keeps what a restart took out of the pool, since nobody told it yet what balancers may route
/// to; a rollback makes that release warm meanwhile, with two instances of each number.
#[test]
fn a_release_that_is_warm_with_numbers_twice_comes_back_with_each_once_and_scales_from_there() {
    let mut world = Simulation::deployed(&[("web", 2)], 2);
    let restart = world.ask(RolloutKind::Restart, |_| {});
    world.tick_until(restart, RolloutState::Preparing);
    world.restart_server();
    world.tick_until(restart, RolloutState::Completed);
    world.rollback(1);
    world.settle();
    assert_eq!(world.instances("web", Desired::Warm), [(R2, 1), (R2, 1), (R2, 2), (R2, 2)]);
    world.rollback(2);
    world.settle();
    assert_eq!(world.instances("web", Desired::Run), [(R2, 1), (R2, 2)]);
    world.scale("web", 3);
    world.settle();
    assert_eq!(world.instances("web", Desired::Run), [(R2, 1), (R2, 2), (R2, 3)]);
}

/// As it can stand in a store that an earlier version wrote.
#[test]
fn two_instances_with_one_number_count_as_two() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    for assignment in world.assignments.values_mut() {
        assignment.instances.iter_mut().for_each(|instance| instance.index = 1);
    }
    world.scale("web", 3);
    world.settle();
    assert_eq!(world.instances("web", Desired::Run), [(R1, 1), (R1, 1), (R1, 2)]);
}

#[test]
fn a_cold_rollback_is_staged_and_gated_without_smoke_check_and_release_phase() {
    let mut world = Simulation::deployed(&[("web", 2)], 3);
    let rollout = world.rollback(1);
    world.settle();
    assert_eq!(world.pool_releases(), [R1, R1]);
    assert_eq!(world.rollouts[&rollout].release_job, None);
    let told = world.steps(rollout).replace('\n', " ");
    assert!(told.contains("Staging: 1 host Starting: 2 of 2 ready") && !told.contains("Smoking"), "{told}");
}

#[test]
fn rolling_back_and_forth_reuses_the_same_instances() {
    let mut world = Simulation::deployed(&[("web", 2)], 2);
    let next = world.installation.next_instance;
    for release in [1, 2, 1, 2] {
        let rollout = world.rollback(release);
        world.settle();
        assert_eq!(world.state_of(rollout), RolloutState::Completed);
        assert_eq!(world.pool_releases(), [ReleaseNumber(release); 2]);
    }
    assert_eq!(world.installation.next_instance, next);
}

#[test]
fn a_rollback_does_not_wait_for_a_deploy_that_is_under_way() {
    let mut world = Simulation::deployed(&[("web", 2)], 2);
    let deploy = world.deploy(Behavior { never_healthy: true, ..Behavior::default() });
    world.tick_until(deploy, RolloutState::Starting);
    let rollback = world.rollback(1);
    world.execute();
    assert_eq!(world.state_of(rollback), RolloutState::Preparing);
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Aborted);
    assert_eq!(world.pool_releases(), [R1, R1]);
}

#[test]
fn a_rollback_lets_the_release_phase_of_the_deploy_it_pushes_aside_end() {
    let mut world = Simulation::deployed(&[("web", 2)], 2);
    let deploy = world.deploy(Behavior::default());
    while world.rollouts[&deploy].release_job.is_none() {
        world.tick();
    }
    let rollback = world.rollback(1);
    world.settle();
    assert_eq!(world.state_of(rollback), RolloutState::Completed);
    assert_eq!(world.state_of(deploy), RolloutState::Aborted);
    assert!(world.assignments.values().flat_map(|a| &a.jobs).all(|job| !job.canceled));
}

#[test]
fn a_rollback_does_not_wait_for_slow_requests_on_the_release_it_goes_back_to() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let deploy = world.deploy(Behavior::default());
    let old = world.runners[0].instances.keys().copied().next().unwrap();
    world.balancers[0].draining.insert(old, 1);
    world.tick_until(deploy, RolloutState::Draining);
    let rollback = world.rollback(1);
    world.execute();
    assert_eq!(world.state_of(deploy), RolloutState::Completed);
    assert_eq!(world.state_of(rollback), RolloutState::Preparing);
    world.balancers[0].draining.clear();
    world.settle();
    assert_eq!(world.pool_releases(), [R1, R1]);
}

#[test]
fn requests_in_flight_get_thirty_seconds() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let deploy = world.deploy(Behavior::default());
    world.balancers[0].draining = world.runners[0].instances.keys().map(|id| (*id, 1)).collect();
    world.tick_until(deploy, RolloutState::Draining);
    let began = world.now;
    while world.state_of(deploy) == RolloutState::Draining {
        assert_eq!(world.instances("web", Desired::Warm), []);
        world.tick();
    }
    let took = world.now.duration_since(began).as_secs();
    assert!((29..=31).contains(&took), "draining took {took} s");
}

#[test]
fn a_release_that_dies_after_the_shift_goes_back_by_itself() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let deploy = world.deploy(Behavior::default());
    world.balancers[0].draining = world.runners[0].instances.keys().map(|id| (*id, 1)).collect();
    world.tick_until(deploy, RolloutState::Draining);
    assert_eq!(world.environment.current, Some(R2));
    world.crash_instances(2, InstanceState::Crashed);
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Reverted);
    assert_eq!((world.environment.current, world.pool_releases()), (Some(R1), vec![R1, R1]));
    assert_eq!(world.releases[&R2].status, ReleaseStatus::RolledBack);
    assert_eq!(world.instances("web", Desired::Run).len(), 2);
    assert_eq!(world.rollouts[&deploy].verdict, Verdict::Fail);
}

#[test]
fn a_rollback_never_triggers_another() {
    let mut world = Simulation::deployed(&[("web", 2)], 2);
    let rollback = world.rollback(1);
    world.tick_until(rollback, RolloutState::Committing);
    world.crash_instances(1, InstanceState::Crashed);
    world.settle();
    assert_eq!(world.state_of(rollback), RolloutState::Completed);
    assert_eq!(world.rollouts[&rollback].verdict, Verdict::Fail);
    assert_eq!(world.environment.current, Some(R1));
}

#[test]
fn an_abort_before_the_shift_touches_nothing_and_after_it_goes_back() {
    for state in
        [RolloutState::Staging, RolloutState::Starting, RolloutState::Preparing, RolloutState::Committing]
    {
        let mut world = Simulation::deployed(&[("web", 2)], 1);
        let deploy = world.deploy(Behavior::default());
        world.tick_until(deploy, state);
        world.abort(deploy);
        world.settle();
        assert_eq!(world.state_of(deploy), RolloutState::Aborted, "aborted while {state:?}");
        assert_eq!((world.environment.current, world.pool_releases()), (Some(R1), vec![R1, R1]));
        assert_eq!(world.instances("web", Desired::Run).len(), 2);
    }
}

#[test]
fn without_a_balancer_the_rollout_waits_says_so_and_can_be_aborted() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    world.balancers[0].connected = false;
    let deploy = world.deploy(Behavior::default());
    for _ in 0..120 {
        world.tick();
    }
    assert_eq!(world.state_of(deploy), RolloutState::Preparing);
    let warnings = &world.rollouts[&deploy].warnings;
    assert_eq!(warnings, &["unconfirmed: no balancer reports; traffic moves when one does"]);
    world.abort(deploy);
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Aborted);
}

#[test]
fn nothing_that_a_cut_off_balancer_may_route_to_is_stopped_until_it_is_back_or_gone() {
    let mut world = Simulation::deployed(&[("web", 2)], 2);
    world.balancers.push(Balancer::new("second"));
    world.settle();
    world.balancers[1].obey(&world.routing.clone());
    world.settle();
    world.balancers[1].connected = false;
    for _ in 0..20 {
        world.tick();
    }
    let deploy = world.deploy(Behavior::default());
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Completed);
    assert!(world.rollouts[&deploy].warnings[0].starts_with("unconfirmed: second"));
    world.pass_time(Span::minutes(40));
    world.settle();
    assert_eq!(world.instances("web", Desired::Warm), [(R1, 1), (R1, 2), (R2, 1), (R2, 2)]);
    world.remove_balancer(1);
    world.settle();
    assert_eq!(world.runners[0].instances.len(), 2);
}

#[test]
fn a_balancer_that_cannot_prepare_fails_the_rollout_in_its_own_words() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    world.balancers[0].problem = Some("r2's instance refuses connections".to_owned());
    let deploy = world.deploy(Behavior::default());
    world.settle();
    assert_eq!(world.state_of(deploy), RolloutState::Failed);
    let problem = world.rollouts[&deploy].problem.as_ref().unwrap();
    assert!(problem.title.contains("edge cannot serve the new routes: r2's instance refuses"), "{problem}");
}

#[test]
fn an_epoch_is_not_committed_while_an_instance_that_it_adds_is_unhealthy() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let deploy = world.deploy(Behavior::default());
    world.tick_until(deploy, RolloutState::Preparing);
    world.crash_instances(2, InstanceState::Unhealthy);
    world.execute();
    assert_eq!(world.state_of(deploy), RolloutState::Preparing);
    world.settle();
    assert_eq!(
        world.state_of(deploy),
        RolloutState::Completed,
        "it went on once the instance was healthy again"
    );
}
