//! One-off commands (`tandem run`): what was asked for, and what is kept of each.
//!
//! People call them sessions. What runs is a job of kind `run`, under the session's own id; decision 021 has the states
//! and what may fail at each of them.

use serde::{Deserialize, Serialize};

use crate::document::{Cause, Kind};
use crate::instance::JobState;
use crate::{AppName, BuildNumber, EnvironmentName, HostName, JobId, ReleaseNumber, Span, Timestamp};

/// A one-off command as the store keeps it (`apps/<app>/envs/<env>/sessions/<j>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id, which is also that of its job.
    pub id: JobId,
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release that was current when it was asked for: its config.
    pub release: ReleaseNumber,
    /// The build it runs in.
    pub build: BuildNumber,
    /// Shell command.
    pub command: String,
    /// Who asked, and why.
    pub cause: Cause,
    /// How it runs.
    pub spec: SessionSpec,
    /// Everything is killed after this time; none: it may take as long as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Its host, once it was assigned. Never assigned twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// Somebody asked that it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled: Option<Cause>,
    /// What it does, as far as its runner told.
    #[serde(flatten)]
    pub state: JobState,
    /// When it was asked for.
    pub created: Timestamp,
    /// When its process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When its end was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
}

impl Kind for Session {
    const KIND: &'static str = "session/1";
}

/// How a one-off command runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SessionSpec {
    /// Its terminal; none: three pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Terminal>,
    /// Whether nobody comes for its output, so that nothing of it waits for a reader.
    #[serde(default)]
    pub detached: bool,
    /// CPU limit in cores, that of the app's web process; none: shares the machine evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Limit of processes and threads.
    pub pids: u32,
}

/// A terminal as it is at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// How large.
    #[serde(flatten)]
    pub size: Size,
    /// What it understands: `TERM` of the one who asks.
    pub term: String,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// Asks for a one-off command in the current release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunCommand {
    /// Shell command.
    pub command: String,
    /// For the journal.
    #[serde(default)]
    pub message: String,
    /// The terminal it gets; none: three pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Terminal>,
    /// Whether nobody is going to attach at once.
    #[serde(default)]
    pub detach: bool,
    /// Everything is killed after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// Longest name of a kind of terminal, in bytes.
const LONGEST_TERM: usize = 64;
/// Longest command, in bytes: what a kernel takes as one argument, with room for what goes before it.
pub const LONGEST_COMMAND: usize = 96 * 1024;

impl Terminal {
    /// Whether its name is one that a terminal's description may have: it becomes part of a path in many programs.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        (1..=LONGEST_TERM).contains(&self.term.len()) && self.term.bytes().all(letter)
    }
}

impl Session {
    /// Whether it has come to its end, in whatever way.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self.state, JobState::Waiting | JobState::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_named_by_what_is_no_path() {
        let named = |term: &str| Terminal { size: Size { rows: 24, columns: 80 }, term: term.to_owned() };
        for term in ["xterm-256color", "screen.xterm+x", "vt100", "dumb"] {
            assert!(named(term).is_sound(), "{term}");
        }
        for term in ["", "../../etc/passwd", "a b", "x\n", &"x".repeat(65)] {
            assert!(!named(term).is_sound(), "{term}");
        }
    }
}
