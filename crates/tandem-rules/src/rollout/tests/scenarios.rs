//! Forward: deploys, config, scale and restarts of web instances, told as stories.

use tandem_types::assignment::Desired;
use tandem_types::instance::InstanceState;
use tandem_types::release::ReleaseStatus;
use tandem_types::rollout::{RolloutKind, RolloutState, Verdict};
use tandem_types::{ReleaseNumber, Span};

use super::actors::Behavior;
use super::simulation::Simulation;

const R1: ReleaseNumber = ReleaseNumber(1);
const R2: ReleaseNumber = ReleaseNumber(2);
const R3: ReleaseNumber = ReleaseNumber(3);

#[test]
fn a_first_deploy_serves_and_passes_every_step() {
    let mut world = Simulation::new(&[("web", 2)]);
    let rollout = world.deploy(Behavior::default());
    world.settle();
    assert_eq!(world.environment.current, Some(R1));
    assert_eq!(world.pool_releases(), [R1, R1]);
    assert_eq!(world.rollouts[&rollout].verdict, Verdict::Pass);
    insta::assert_snapshot!(world.steps(rollout), @r"
    Queued
    Building
    Staging: 1 host
    Smoking
    Releasing
    Starting: 2 of 2 ready
    Preparing: epoch e1
    Committing: 1 balancer confirmed
    Draining
    Soaking
    Completed
    ");
}

#[test]
fn the_previous_release_stays_warm_and_out_of_the_pool() {
    let world = Simulation::deployed(&[("web", 2)], 2);
    assert_eq!(world.pool_releases(), [R2, R2]);
    assert_eq!(world.instances("web", Desired::Warm), [(R1, 1), (R1, 2)]);
    assert_eq!(world.environment.warm.iter().map(|warm| warm.release).collect::<Vec<_>>(), [R1]);
    assert_eq!(world.releases[&R1].status, ReleaseStatus::Superseded);
}

#[test]
fn only_the_latest_previous_release_is_kept_warm() {
    let world = Simulation::deployed(&[("web", 2)], 3);
    assert_eq!(world.instances("web", Desired::Warm), [(R2, 1), (R2, 2)]);
    assert_eq!(world.instances("web", Desired::Run), [(R3, 1), (R3, 2)]);
}

#[test]
fn a_warm_release_is_stopped_after_half_an_hour() {
    let mut world = Simulation::deployed(&[("web", 2)], 2);
    world.pass_time(Span::minutes(27));
    world.settle();
    assert_eq!(world.instances("web", Desired::Warm).len(), 2);
    world.pass_time(Span::minutes(3));
    world.settle();
    assert_eq!(world.instances("web", Desired::Warm), []);
    assert_eq!(world.runners[0].instances.len(), 2);
}

#[test]
fn an_app_that_never_gets_healthy_leaves_the_old_release_alone() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let serving = world.routing.serving.clone();
    let rollout = world.deploy(Behavior { never_healthy: true, ..Behavior::default() });
    world.settle();
    assert_eq!(world.state_of(rollout), RolloutState::Failed);
    assert_eq!((world.environment.current, &world.routing.serving), (Some(R1), &serving));
    assert_eq!(world.releases[&R2].status, ReleaseStatus::Failed);
    assert_eq!(world.instances("web", Desired::Run), [(R1, 1), (R1, 2)]);
    let problem = world.rollouts[&rollout].problem.clone().unwrap();
    insta::assert_json_snapshot!(problem, @r#"
    {
      "code": "never_healthy",
      "status": 422,
      "title": "web.1 of r2 did not become healthy within 1m: connection refused; r1 still serves",
      "detail": "last line of the app",
      "hint": "tandem logs --app guestbook --release r2 (probed: /; it must listen on 127.0.0.1:$PORT)"
    }
    "#);
}

#[test]
fn an_app_whose_answer_no_waiting_changes_fails_long_before_its_budget_with_what_to_change() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let asked = world.now;
    let rollout = world.deploy(Behavior { refuses_its_host: true, ..Behavior::default() });
    world.tick_until(rollout, RolloutState::Cleaning);
    assert!(world.now.duration_since(asked).as_secs() < 40, "it took {}", world.now.duration_since(asked));
    world.settle();
    let problem = world.rollouts[&rollout].problem.clone().unwrap();
    assert_eq!(problem.title, "web.1 of r2 is not let in: connection refused; r1 still serves");
    assert!(problem.hint.starts_with("add \"a\" to ALLOWED_HOSTS; tandem logs "), "{}", problem.hint);
}

#[test]
fn people_are_told_once_what_a_rollout_waits_for() {
    let mut world = Simulation::deployed(&[("web", 1)], 1);
    let rollout = world.deploy(Behavior { never_healthy: true, ..Behavior::default() });
    world.settle();
    assert_eq!(world.rollouts[&rollout].warnings, ["web.1 of r2 is not ready: connection refused"]);
}

#[test]
fn a_server_that_listens_on_all_interfaces_is_warned_of_once_and_serves() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let rollout = world.deploy(Behavior { exposed: true, ..Behavior::default() });
    world.settle();
    assert_eq!(world.rollouts[&rollout].verdict, Verdict::Pass);
    let warnings = &world.rollouts[&rollout].warnings;
    assert!(warnings.len() == 1 && warnings[0].starts_with("web listens on 0.0.0.0:$PORT"), "{warnings:?}");
}

#[test]
fn an_app_that_ends_at_once_fails_long_before_its_budget() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let asked = world.now;
    let rollout = world.deploy(Behavior { crashes: true, ..Behavior::default() });
    world.tick_until(rollout, RolloutState::Cleaning);
    assert!(world.now.duration_since(asked).as_secs() < 40, "it took {}", world.now.duration_since(asked));
    world.settle();
    let problem = world.rollouts[&rollout].problem.clone().unwrap();
    assert_eq!(
        problem.title,
        "web.1 of r2 ended 3 times at its start, last with exit code 1; r1 still serves"
    );
}

#[test]
fn an_end_that_tells_its_reason_is_met_with_what_to_change() {
    let bad = Behavior { crashes: true, ..Behavior::default() };
    for (behavior, how, hint) in [
        (
            Behavior { out_of_memory: true, ..bad },
            "last killed: out of memory",
            "raise `memory` in [processes.web] of tandem.toml, which is 512MiB now; ",
        ),
        (
            Behavior { crash_exit: Some(127), ..bad },
            "last with exit code 127",
            "a program of the command of web was not found: run; ",
        ),
    ] {
        let mut world = Simulation::new(&[("web", 1)]);
        let rollout = world.deploy(behavior);
        world.settle();
        let problem = world.rollouts[&rollout].problem.clone().unwrap();
        assert_eq!(problem.title, format!("web.1 of r1 ended 3 times at its start, {how}"));
        assert_eq!(problem.hint, format!("{hint}tandem logs --app guestbook --release r1"));
    }
}

#[test]
fn a_failed_or_unknown_release_phase_ends_the_rollout_and_is_never_run_again() {
    for (behavior, code) in [
        (Behavior { release_exit: 1, ..Behavior::default() }, "release_failed"),
        (Behavior { release_unknown: true, ..Behavior::default() }, "release_unknown"),
        (Behavior { smoke_exit: 1, ..Behavior::default() }, "smoke_failed"),
    ] {
        let mut world = Simulation::deployed(&[("web", 2)], 1);
        let rollout = world.deploy(behavior);
        world.settle();
        assert_eq!(world.state_of(rollout), RolloutState::Failed);
        assert_eq!(world.rollouts[&rollout].problem.as_ref().unwrap().code, code);
        assert!(world.runners[0].ran.values().all(|times| *times == 1));
        assert_eq!(world.pool_releases(), [R1, R1]);
    }
}

#[test]
fn two_deploys_at_once_run_one_after_the_other() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let first = world.deploy(Behavior::default());
    let second = world.deploy(Behavior::default());
    world.tick();
    assert_eq!(crate::rollout::plan(&world.world(), second, world.now).waiting_for, Some(first));
    world.settle();
    assert_eq!(world.state_of(first), RolloutState::Completed);
    assert_eq!(world.pool_releases(), [R3, R3]);
}

#[test]
fn scaling_up_adds_only_the_difference_and_scaling_down_drains_before_it_stops() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    world.scale("web", 3);
    world.settle();
    assert_eq!(world.instances("web", Desired::Run), [(R1, 1), (R1, 2), (R1, 3)]);
    let next = world.installation.next_instance;
    world.scale("web", 1);
    world.settle();
    assert_eq!(
        (world.instances("web", Desired::Run), world.installation.next_instance),
        (vec![(R1, 1)], next)
    );
    world.scale("web", 0);
    world.settle();
    assert_eq!((world.pool_releases(), world.routing.serving.routes.len()), (vec![], 1));
    world.scale("web", 2);
    world.settle();
    assert_eq!(world.pool_releases(), [R1, R1]);
}

#[test]
fn scaling_replaces_what_fails() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let sick = world.runners[0].instances.values_mut().next().unwrap();
    (sick.state, sick.delay) = (InstanceState::Unhealthy, 5);
    let id = sick.assigned.id;
    world.report();
    world.scale("web", 2);
    world.settle();
    assert_eq!(world.pool_releases(), [R1, R1]);
    assert!(!world.runners[0].instances.contains_key(&id));
}

#[test]
fn a_restart_gives_the_same_release_new_instances() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let before: Vec<_> = world.runners[0].instances.keys().copied().collect();
    let rollout = world.ask(RolloutKind::Restart, |_| {});
    world.settle();
    assert_eq!(world.state_of(rollout), RolloutState::Completed);
    assert_eq!((world.environment.current, world.pool_releases()), (Some(R1), vec![R1, R1]));
    assert!(world.runners[0].instances.keys().all(|id| !before.contains(id)));
}

#[test]
fn a_config_change_makes_a_release_of_the_same_build_without_a_release_phase() {
    let mut world = Simulation::deployed(&[("web", 2)], 1);
    let jobs = world.installation.next_job;
    let rollout = world.set_config("COLOR", "blue");
    world.settle();
    assert_eq!((world.environment.current, world.pool_releases()), (Some(R2), vec![R2, R2]));
    assert_eq!(world.releases[&R2].build, world.releases[&R1].build);
    assert_eq!(world.installation.next_job, jobs);
    assert_eq!(world.state_of(rollout), RolloutState::Completed);
    let back = world.rollback(1);
    world.settle();
    assert_eq!(
        world.rollouts[&back].warnings,
        ["config of r1 comes back: COLOR differs from r2; the next deploy brings the newer COLOR"]
    );
}

#[test]
fn a_change_of_config_that_fails_says_that_the_value_stays() {
    let mut world = Simulation::deployed(&[("web", 1)], 1);
    let build = world.releases[&R1].build;
    world.behaviors.insert(build, Behavior { never_healthy: true, ..Behavior::default() });
    let rollout = world.set_config("COLOR", "blue");
    world.settle();
    assert_eq!((world.state_of(rollout), world.environment.current), (RolloutState::Failed, Some(R1)));
    let hint = &world.rollouts[&rollout].problem.as_ref().unwrap().hint;
    let begin = "COLOR stays set and comes with the next release: `tandem config unset COLOR --app guestbook`, \
                 or set anew; tandem logs";
    assert!(hint.starts_with(begin), "{hint}");
}
