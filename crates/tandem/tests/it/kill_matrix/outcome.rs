//! How a rollout may end in which somebody was killed.
//!
//! Nearly always as if nobody had been: a rollout is carried to its end by whoever is there next. Only who dies with an app
//! or a job of its own, or before anything was written down, may change what comes of it.

use super::operation::Operation;
use super::victim::Victim;

/// What it is called where the newest rollout is that of before.
pub(super) const NOT_BEGUN: &str = "not begun";

impl Operation {
    /// How it ends where nobody is killed.
    fn end(self) -> &'static str {
        match self {
            Self::FailingDeploy => "failed",
            Self::Abort => "aborted",
            Self::Revert => "reverted",
            _ => "completed",
        }
    }
}

/// The ends that an operation may have: whether somebody was killed in it, and whether its rollout was in the store by then.
pub(super) fn may_be(operation: Operation, killed: Option<Victim>, had_begun: bool) -> Vec<&'static str> {
    let mut ends = match killed {
        Some(Victim::Builder | Victim::BuildSandbox) => vec!["failed"],
        // Nobody knows how a release phase ended whose shim is gone.
        Some(Victim::JobShim) => vec![operation.end(), "failed"],
        Some(Victim::ServingShim | Victim::IncomingShim | Victim::Everything) => {
            with_apps(operation, killed == Some(Victim::ServingShim))
        }
        Some(Victim::Server | Victim::Runner | Victim::Balancer | Victim::Client) | None => {
            vec![operation.end()]
        }
    };
    // Whoever would have begun it is gone, or who asked for it.
    let asked = matches!(killed, Some(Victim::Server | Victim::Client | Victim::Everything));
    if asked && !had_begun {
        ends.push(NOT_BEGUN);
    }
    ends
}

/// Where instances die, those of before alone or others too: a rollout that needs them may fail or go back.
fn with_apps(operation: Operation, of_before: bool) -> Vec<&'static str> {
    match operation {
        // Its release phase fails, whoever dies. What never answers is not let in.
        Operation::FailingDeploy => vec!["failed"],
        Operation::Abort if of_before => vec!["aborted"],
        Operation::Abort => vec!["aborted", "failed"],
        // Back to what is dead as well leads nowhere.
        Operation::Revert => vec!["reverted", "completed", "failed"],
        // They stay, and count.
        Operation::Scale | Operation::ScaleDown => vec!["completed", "failed", "reverted"],
        // They go anyway.
        Operation::Deploy | Operation::Rollback | Operation::Config | Operation::Restart if of_before => {
            vec!["completed"]
        }
        Operation::Deploy | Operation::Rollback | Operation::Config | Operation::Restart => {
            vec!["completed", "failed", "reverted"]
        }
    }
}

#[test]
fn a_kill_turns_no_sound_rollout_into_a_failed_one_and_no_flawed_one_into_a_completed_one() {
    for operation in Operation::ALL {
        for victim in [Victim::Server, Victim::Runner, Victim::Balancer, Victim::Client] {
            assert_eq!(may_be(operation, Some(victim), true), [operation.end()], "{operation:?} {victim:?}");
        }
        assert_eq!(may_be(operation, None, false), [operation.end()], "{operation:?} and nobody");
        for victim in Victim::ALL {
            let ends = may_be(operation, Some(victim), true);
            let is_flawed = matches!(operation, Operation::FailingDeploy | Operation::Abort);
            assert!(!is_flawed || !ends.contains(&"completed"), "{operation:?} {victim:?}: {ends:?}");
            assert!(!ends.contains(&NOT_BEGUN), "{operation:?} {victim:?} had begun");
            let alive = may_be(operation, Some(victim), false).contains(&NOT_BEGUN);
            let who = [Victim::Server, Victim::Client, Victim::Everything].contains(&victim);
            assert_eq!(alive, who, "{operation:?} {victim:?} before it had begun");
        }
    }
    assert_eq!(may_be(Operation::Deploy, Some(Victim::ServingShim), true), ["completed"]);
    assert_eq!(may_be(Operation::Deploy, Some(Victim::Builder), true), ["failed"]);
}
