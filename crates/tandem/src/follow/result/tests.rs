//! The last line and the exit code, for each kind and state.

use tandem_types::problem::Problem;
use tandem_types::{ReleaseNumber, RolloutNumber};

use super::*;
use crate::output::Style;

const STATES: [RolloutState; 16] = [
    RolloutState::Queued,
    RolloutState::Building,
    RolloutState::Staging,
    RolloutState::Smoking,
    RolloutState::Releasing,
    RolloutState::Starting,
    RolloutState::Preparing,
    RolloutState::Committing,
    RolloutState::Draining,
    RolloutState::Soaking,
    RolloutState::Reverting,
    RolloutState::Cleaning,
    RolloutState::Completed,
    RolloutState::Reverted,
    RolloutState::Failed,
    RolloutState::Aborted,
];

fn outcome(kind: RolloutKind, state: RolloutState, wanted: &[(&str, u32)]) -> Outcome {
    let wanted = wanted.iter().map(|(name, number)| (name.parse().expect("a process type"), *number));
    Outcome {
        kind,
        processes: Vec::new(),
        scale: BTreeMap::new(),
        wanted: wanted.collect(),
        shifted: false,
        streamed: HashSet::new(),
        target: " --app shop".into(),
        result: RolloutResult {
            app: "shop".parse().expect("a name"),
            environment: "production".parse().expect("a name"),
            rollout: RolloutNumber(3),
            release: Some(ReleaseNumber(12)),
            build: None,
            state,
            verdict: Verdict::Pass,
            duration_ms: 4_321,
            addresses: vec!["http://shop.localhost:8080".into()],
            problem: None,
            warnings: Vec::new(),
        },
    }
}

fn rendered(outcome: &Outcome) -> String {
    let failure = told(outcome).expect_err("it failed");
    failure.render(Style::new(false)).expect("it is told")
}

#[test]
fn the_last_line_says_what_happened_with_verdict_time_and_address() {
    let facts = "verdict pass, 4.3 s, http://shop.localhost:8080";
    for (kind, line) in [
        (RolloutKind::Deploy, "r12 is live"),
        (RolloutKind::Rollback, "r12 is live"),
        (RolloutKind::Config, "r12 runs with the new config"),
        (RolloutKind::Restart, "r12 runs in new instances"),
        (RolloutKind::Scale, "web 3, worker 1"),
    ] {
        let outcome = outcome(kind, RolloutState::Completed, &[("web", 3), ("worker", 1)]);
        assert_eq!(success_line(&outcome), format!("{line}: {facts}"));
    }
    let mut workers = outcome(RolloutKind::Restart, RolloutState::Completed, &[("web", 1)]);
    workers.processes = vec!["worker".parse().expect("a process type")];
    assert_eq!(success_line(&workers), format!("worker of r12 runs in new instances: {facts}"));
}

#[test]
fn without_a_web_instance_nothing_is_called_live() {
    let mut scaled = outcome(RolloutKind::Scale, RolloutState::Completed, &[("web", 0), ("worker", 1)]);
    assert!(success_line(&scaled).starts_with("web 0, worker 1: "));
    scaled.scale = [(ProcessType::web(), 0)].into();
    let gone = "r12 has no web instances now; http://shop.localhost:8080 answers 503";
    assert_eq!(success_line(&scaled), gone);
    assert_eq!(success_line(&outcome(RolloutKind::Deploy, RolloutState::Completed, &[("web", 0)])), gone);
}

#[test]
fn only_traffic_that_moved_is_a_success() {
    use RolloutState::{Committing, Completed, Draining, Soaking};
    for state in STATES {
        let mut outcome = outcome(RolloutKind::Deploy, state, &[("web", 1)]);
        let moved = matches!(state, Draining | Soaking | Completed);
        assert_eq!(told(&outcome).is_ok(), moved, "{state:?}");
        outcome.shifted = true;
        assert_eq!(told(&outcome).is_ok(), moved || state == Committing, "{state:?} behind the shift");
        outcome.result.release = None;
        assert!(told(&outcome).is_err(), "{state:?} without a release");
    }
}

#[test]
fn an_outcome_that_is_not_known_says_what_to_type() {
    let text = rendered(&outcome(RolloutKind::Deploy, RolloutState::Building, &[]));
    assert!(text.contains("not known yet: its state is building"), "{text}");
    assert!(text.contains("`tandem rollout watch ro3 --app shop`"), "{text}");
}

#[test]
fn lines_that_were_shown_are_not_repeated_in_the_error() {
    let mut failed = outcome(RolloutKind::Deploy, RolloutState::Failed, &[]);
    failed.result.problem = Some(Problem::new(422, "broken", "it broke").detail("  one\n\ntwo\n"));
    assert!(rendered(&failed).contains("two"));
    failed.streamed = ["one".into(), "two".into()].into();
    assert!(!rendered(&failed).contains("two"));
    failed.streamed = ["one".into()].into();
    assert!(rendered(&failed).contains("one"), "a part of it makes no sense alone");
}
