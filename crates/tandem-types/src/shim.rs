//! What a runner and a shim say to each other over the shim's control socket.
//!
//! One JSON value a line, one answer a request. The version is the first thing said, so that old shims meet new
//! runners: a message is only ever added.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::instance::Exit;

/// Version of the protocol that this code speaks.
///
/// 2: `Attach`. A shim of version 1 refuses it, as it does every request that it does not know.
pub const VERSION: u32 = 2;

/// What a runner asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// How are you?
    Status,
    /// Send the signal to every process of the app.
    Signal {
        /// Signal number.
        signal: i32,
    },
    /// Signal, wait, kill everything. Answered at once; the end shows in `Status` and the exit file.
    Stop {
        /// First signal.
        signal: i32,
        /// Time until everything is killed.
        timeout_ms: u64,
    },
    /// Answered as `Status`, but only once the child has ended and its exit is recorded.
    Wait,
    /// The process has ended and its exit is known: end yourself, the runner cleans up.
    Dismiss,
    /// Answered by `Ok`; from then on the connection is one of frames ([`crate::frame`]). Refused where no one-off command
    /// runs.
    Attach,
}

/// What a shim answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To `Status` and `Wait`.
    Status {
        /// Protocol version of the shim.
        version: u32,
        /// Process id of the shim.
        shim_pid: i32,
        /// Process id of the child on the host, while it runs.
        child_pid: Option<i32>,
        /// When the child started.
        started: Timestamp,
        /// How it ended.
        exit: Option<Exit>,
        /// Whether it was killed because the time of its specification was up.
        #[serde(default)]
        timed_out: bool,
        /// Lines of output dropped so far.
        dropped_lines: u64,
        /// How long it has run, or ran, by a clock that nobody sets. None: a shim of before this was told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ran_ms: Option<u64>,
    },
    /// Done, or begun.
    Ok,
    /// Not understood or not possible.
    Refused {
        /// Why.
        reason: String,
    },
}
