//! What people see of a rollout while it runs, as a stream of lines of JSON.

use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::rollout::{RolloutState, Verdict};
use crate::{BuildNumber, InstanceId, ProcessType, ReleaseNumber, RolloutNumber, Timestamp};

/// One event of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutEvent {
    /// Counted per rollout from 1; `after=N` goes on behind it.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It waits for another rollout of the same environment.
    Waiting {
        /// Which.
        rollout: RolloutNumber,
        /// Who started that one.
        actor: String,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: RolloutState,
    },
    /// A step ended.
    StepFinished {
        /// Which.
        step: RolloutState,
        /// How long it took.
        duration_ms: u64,
        /// For people.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// A part of the build began or ended (`dependencies`, `static files`, …).
    Part {
        /// Its name.
        name: String,
        /// How long it took; absent at its beginning.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        /// `cached`, `27 packages`, …
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// A line of output of a build command or a job.
    Line {
        /// `build`, `smoke`, `release`.
        source: String,
        /// The line without its end.
        text: String,
    },
    /// Something that people should know.
    Warning {
        /// For people.
        text: String,
    },
    /// What a build took for granted, with the key that says otherwise.
    Note {
        /// For people.
        text: String,
    },
    /// The build is finished.
    Built {
        /// Its number.
        build: BuildNumber,
        /// The release made of it.
        release: ReleaseNumber,
    },
    /// It ended, or its traffic moved and the soak goes on (`state` tells).
    Shifted {
        /// The release that serves now.
        release: ReleaseNumber,
    },
    /// It ended. The last event.
    Finished {
        /// How.
        state: RolloutState,
        /// The one verdict.
        verdict: Verdict,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<Problem>,
    },
}

/// One line of output of an instance or a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the shim read its end.
    pub time: Timestamp,
    /// The instance; absent for a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// The release.
    pub release: ReleaseNumber,
    /// Its process type; `release` and `smoke` for jobs.
    pub process: ProcessType,
    /// Its place among its siblings.
    pub index: u32,
    /// Standard output, standard error, or a remark of Tandem's own.
    pub stream: Stream,
    /// The line without its end; not UTF-8 is replaced.
    pub text: String,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Tandem's own remark: started, ended, lines dropped.
    Tandem,
}
