//! Instances as a runner sees them.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::document::Kind;
use crate::{
    AppName, BuildNumber, EnvironmentName, Fence, HostName, InstanceId, JobId, ProcessType, ReleaseNumber,
    Timestamp,
};

/// Where an instance, runner or server answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// IP address and port.
    Tcp(SocketAddr),
    /// Path of a unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a runner reports of its host (`hosts/<host>/observed`, volatile). Sent at each change and every 10 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostObservation {
    /// The host.
    pub host: HostName,
    /// Kernel boot id: pids of another boot mean nothing.
    pub boot_id: String,
    /// When this runner started.
    pub started: Timestamp,
    /// Where the runner itself answers (logs).
    pub api: Address,
    /// How instances are kept apart: `sandbox`, or `plain` where root or bubblewrap is missing.
    pub isolation: Isolation,
    /// Where instances are kept apart less than they could be, for people; what to type stands with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub isolation_gaps: Vec<String>,
    /// Builds whose trees are checked out, per app.
    pub staged: Vec<StagedBuild>,
    /// Builds that could not be staged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stage_failures: Vec<StageFailure>,
    /// Every instance that the assignments name or that still runs.
    pub instances: Vec<InstanceObservation>,
    /// Every job that the assignments name.
    pub jobs: Vec<JobObservation>,
    /// Highest fence obeyed; assignments with a smaller one are ignored.
    pub fence: Fence,
}

impl Kind for HostObservation {
    const KIND: &'static str = "host_observation/1";
}

/// How instances are kept apart on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// bubblewrap, own UID, seccomp filter, control group.
    Sandbox,
    /// Plain processes of the user who runs Tandem: for laptops, no protection.
    Plain,
}

/// A build that a host has checked out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedBuild {
    /// The app.
    pub app: AppName,
    /// The build.
    pub build: BuildNumber,
}

/// A build that a host could not check out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageFailure {
    /// The app.
    pub app: AppName,
    /// The build.
    pub build: BuildNumber,
    /// Why, as a whole chain.
    pub reason: String,
}

/// One instance as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceObservation {
    /// Which.
    pub id: InstanceId,
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release it runs.
    pub release: ReleaseNumber,
    /// Its process type.
    pub process: ProcessType,
    /// Its place among its siblings, from 1.
    pub index: u32,
    /// What it does now.
    pub state: InstanceState,
    /// Where it answers; only for `web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Process id of the shim on the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// When its present process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// How often it was started again after an end that nobody asked for.
    pub restarts: u32,
    /// How its last process ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<Exit>,
    /// Why it is not ready, for people: the last probe's failure, or the last start's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The last 20 lines of its output, filled where it failed or is not ready after some seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
    /// What else its runner has found out.
    #[serde(default, skip_serializing_if = "Findings::is_nothing")]
    pub found: Findings,
}

/// What a runner finds out about an instance beyond its state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Findings {
    /// What to change so that it gets ready, where its answers tell; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Whether its answer is one that no waiting changes: nobody needs to wait for the rest of its budget.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lasting: bool,
    /// Where it listens, if that is on all interfaces of its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposed: Option<SocketAddr>,
}

impl Findings {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// In [`InstanceObservation::detail`] between why an instance could not be started and when it is tried again, which is not true any
/// more where a rollout ends.
pub const TRIES_AGAIN: &str = "; tries again";
/// In [`InstanceObservation::detail`] at the end of why an instance could not be started, where the host's disk is nearly full.
pub const DISK_IS_LOW: &str = "; the disk of its host is nearly full";

/// What an instance does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Waits for its build or its start.
    Waiting,
    /// Runs but has not passed the gate yet.
    Starting,
    /// Passed the gate. Types without a port are ready when they ran for one second.
    Ready,
    /// Passed the gate once and fails its probes now.
    Unhealthy,
    /// Ended by itself and waits for its next start.
    Crashed,
    /// Was sent the stop signal.
    Stopping,
    /// Ended because the assignment said so; forgotten when the assignment drops it.
    Stopped,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, where it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Signal number, where one ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether the kernel killed it for its memory limit.
    #[serde(default)]
    pub out_of_memory: bool,
    /// When.
    pub at: Timestamp,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.out_of_memory, self.code, self.signal) {
            (true, _, _) => f.write_str("killed: out of memory"),
            (_, Some(code), _) => write!(f, "exit code {code}"),
            (_, _, Some(signal)) => write!(f, "killed by signal {signal}"),
            _ => f.write_str("ended in an unknown way"),
        }
    }
}

/// One job as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobObservation {
    /// Which.
    pub id: JobId,
    /// What it does now.
    pub state: JobState,
    /// When its process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The last 20 lines of its output, once it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

/// What a job does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its build.
    Waiting,
    /// Runs; the marker was synced before.
    Running,
    /// Ended.
    Ended {
        /// How.
        exit: Exit,
    },
    /// Ran out of its time budget and was killed.
    TimedOut,
    /// Was started, and nobody can know how it ended. Never started again.
    Unknown {
        /// What is known.
        reason: String,
    },
    /// Could not be started at all; its command never ran.
    NotStarted {
        /// Why.
        reason: String,
    },
}
