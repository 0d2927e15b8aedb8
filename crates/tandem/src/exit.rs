//! Exit codes, the contract with scripts. They are documented in `tandem --help`; what a verb prints never decides
//! about them.

use std::process::ExitCode;

/// How the command ended, for whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Refused or failed; the reason is on standard error.
    Failed,
    /// The command line was not understood. clap ends with the same code by itself.
    Usage,
    /// A bug of ours.
    Bug,
    /// What a one-off command ended with.
    Command(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::Bug => Self::from(70),
            Exit::Command(code) => Self::from(code),
        }
    }
}
