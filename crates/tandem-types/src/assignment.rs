//! Assignments: what should run on a host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::ProcessSpec;
use crate::build::Subtree;
use crate::document::Kind;
use crate::session::SessionSpec;
use crate::{
    AppName, BuildNumber, EnvironmentName, Fence, InstanceId, JobId, ProcessType, ReleaseNumber, Span,
};

/// What should be on one host for one environment (`hosts/<host>/assignments/<app>.<env>`).
///
/// The runner makes it so: trees checked out, instances running, warm or stopped, jobs run at most once.
/// What no assignment names is stopped. Config values are not in here: the runner asks for those of a release
/// when it starts an instance (`GET /v1/hosts/<host>/config/<app>/<env>/<release>`), so secrets travel only to the host
/// that needs them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Fencing number of the writer; a runner that obeyed a greater one ignores this document.
    pub fence: Fence,
    /// User and group id of the instances.
    pub uid: u32,
    /// Host name for probes and for `Host`: the app's first domain.
    pub host_header: String,
    /// Builds to check out.
    pub builds: BTreeMap<BuildNumber, AssignedBuild>,
    /// Instances that should be.
    pub instances: Vec<AssignedInstance>,
    /// Jobs to run once each.
    pub jobs: Vec<AssignedJob>,
}

impl Kind for Assignment {
    const KIND: &'static str = "assignment/2";
}

/// A build on a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignedBuild {
    /// Folder below `/app` in which commands start; none: `/app` itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Its parts.
    pub subtrees: Vec<Subtree>,
    /// Absolute path of the interpreter that links in the dependencies may target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// Volume name → absolute path in the instance.
    #[serde(default)]
    pub volumes: BTreeMap<String, String>,
    /// Folders in front of `PATH`.
    #[serde(default)]
    pub path: Vec<String>,
    /// Environment that the build sets.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// An instance that should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignedInstance {
    /// Which.
    pub id: InstanceId,
    /// The release whose config it gets.
    pub release: ReleaseNumber,
    /// The build it runs.
    pub build: BuildNumber,
    /// Its process type.
    pub process: ProcessType,
    /// Its place among its siblings, from 1.
    pub index: u32,
    /// How it runs.
    pub spec: ProcessSpec,
    /// What it should be doing.
    pub desired: Desired,
}

/// What an instance should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Run with its full share of CPU.
    Run,
    /// Run, be probed, lowest CPU weight.
    Warm,
    /// Stop: signal, wait for the stop time-out, kill. Reported as `stopped` until it is dropped.
    Stop,
}

/// A command to run to its end, at most once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignedJob {
    /// Which.
    pub id: JobId,
    /// What it is for.
    pub kind: JobKind,
    /// The release whose config it gets.
    pub release: ReleaseNumber,
    /// The build it runs in.
    pub build: BuildNumber,
    /// Shell command.
    pub command: String,
    /// Killed after this time; none: it may take as long as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Memory limit in bytes.
    pub memory_bytes: u64,
    /// Stop it now if it runs; do not start it.
    #[serde(default)]
    pub canceled: bool,
    /// Of a one-off command: how it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionSpec>,
}

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Imports the app; may run again after a crash of the host.
    Smoke,
    /// The release phase: at most once, whatever happens.
    Release,
    /// A one-off command: at most once, whatever happens.
    Run,
}
