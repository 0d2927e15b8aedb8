//! What is going on while something is killed.

use tandem_testkit::program::Running;

use super::world::{Flaw, World};

/// Web instances between which operations change the scale.
const FEW: usize = 2;
const MORE: usize = 3;

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
    /// One instance more.
    Scale,
    /// One instance less.
    ScaleDown,
    /// The same release in new instances.
    Restart,
}

impl Operation {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::Deploy,
        Self::FailingDeploy,
        Self::Abort,
        Self::Revert,
        Self::Rollback,
        Self::Config,
        Self::Scale,
        Self::ScaleDown,
        Self::Restart,
    ];

    /// Whether it makes a build.
    pub(super) fn builds(self) -> bool {
        matches!(self, Self::Deploy | Self::FailingDeploy | Self::Abort | Self::Revert)
    }

    /// Makes the change of scale possible that it is to make: what each passes differs, so a case cannot take either.
    pub(super) fn prepare(self, world: &mut World) {
        let before = match self {
            Self::Scale => FEW,
            Self::ScaleDown => MORE,
            _ => return,
        };
        if world.serving().len() != before {
            world.scale_to(before);
        }
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
            Self::Scale | Self::ScaleDown => {
                let _ = world.turn();
                let wanted = if self == Self::Scale { MORE } else { FEW };
                world.client(&["scale", &format!("web={wanted}")])
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
