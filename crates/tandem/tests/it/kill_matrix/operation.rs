//! What is going on while something is killed.

use tandem_testkit::program::Running;

use super::world::{Flaw, World};

/// An operation, as a person types it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// A deploy that completes.
    Deploy,
    /// A deploy whose release phase fails.
    FailingDeploy,
    /// A deploy that never gets ready and is aborted.
    Abort,
    /// A deploy that fails after the traffic has moved, and goes back.
    Revert,
    /// Back to an earlier release.
    Rollback,
    /// Another config value.
    Config,
    /// One instance more, or less.
    Scale,
    /// The same release in new instances.
    Restart,
}

impl Operation {
    /// All of them.
    pub(super) const ALL: [Self; 8] = [
        Self::Deploy,
        Self::FailingDeploy,
        Self::Abort,
        Self::Revert,
        Self::Rollback,
        Self::Config,
        Self::Scale,
        Self::Restart,
    ];

    /// Whether it makes a build.
    pub(super) fn builds(self) -> bool {
        matches!(self, Self::Deploy | Self::FailingDeploy | Self::Abort | Self::Revert)
    }

    /// Begins it.
    pub(super) fn begin(self, world: &mut World) -> Running {
        let flaw = match self {
            Self::FailingDeploy => Flaw::ReleasePhase,
            Self::Abort => Flaw::Silent,
            Self::Revert => Flaw::Clock,
            _ => Flaw::None,
        };
        match self {
            Self::Deploy | Self::FailingDeploy | Self::Abort | Self::Revert => {
                world.write(flaw);
                world.deploy(flaw)
            }
            Self::Rollback => {
                let release = world.earlier_release();
                let _ = world.turn();
                world.client(&["rollback", &release])
            }
            Self::Config => {
                let value = format!("TURN={}", world.turn());
                world.client(&["config", "set", &value])
            }
            Self::Scale => {
                let wanted = if world.serving().len() == 2 { "web=3" } else { "web=2" };
                let _ = world.turn();
                world.client(&["scale", wanted])
            }
            Self::Restart => {
                let _ = world.turn();
                world.client(&["restart"])
            }
        }
    }
}

/// Asks for the abort that belongs to [`Operation::Abort`], as often as it takes: whoever asks may ask a server that dies.
pub(super) struct Abort {
    wanted: bool,
    asking: Option<Running>,
}

impl Abort {
    /// Nothing is asked yet.
    pub(super) fn new(operation: Operation) -> Self {
        Self { wanted: operation == Operation::Abort, asking: None }
    }

    /// Asks once the rollout waits for instances that never answer.
    pub(super) fn nudge(&mut self, world: &World, starting: bool) {
        if !self.wanted || !starting {
            return;
        }
        let over = self.asking.as_mut().is_none_or(|asking| asking.ended().is_some());
        if over {
            let words = ["rollout", "abort", "-m", "wrong branch", "--app", "plain"];
            self.asking = Some(world.installation().program(words).silent().start());
        }
    }
}
