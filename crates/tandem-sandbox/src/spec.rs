//! What is to run, and how it is kept apart.
//!
//! One description for everything that Tandem runs for an app: instances, jobs and build commands. It is data only, so
//! that a shim can read it from `spec.json`; how it becomes a process is the matter of the crate's other modules.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tandem_types::instance::Isolation;

/// Where a sandboxed command finds its private, writable home folder.
pub const HOME: &str = "/home/app";

/// A command and its surroundings.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Names the control group: lower-case letters, digits and hyphens. An instance's or job's id.
    pub id: String,
    /// The control group's parent, relative to the root of each hierarchy (`DataDir::cgroup_name()`).
    pub cgroup_parent: String,
    /// How it is kept apart; ask [`crate::isolation()`] once and pass the answer on.
    pub isolation: Isolation,
    /// Shell command, run by `/bin/sh -c`.
    pub command: String,
    /// Working folder as the command sees it; must be a mount's target or lie below one.
    pub cwd: PathBuf,
    /// The whole environment. `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL` and `LANG` get values where they are missing.
    /// Names are shell identifiers. Values never show in a command line, also not in bubblewrap's.
    pub environment: BTreeMap<String, String>,
    /// Whose it runs as. Ignored by plain processes.
    pub user: User,
    /// Host name that the command sees.
    pub hostname: String,
    /// Folder on the host that becomes [`HOME`]; created, and given to the user, where it is missing.
    pub home: PathBuf,
    /// Folders and files of the host that it sees, in this order: a mount below another comes after it, and its mount
    /// point must exist where the other one is read-only.
    pub mounts: Vec<Mount>,
    /// What it may use.
    pub limits: Limits,
    /// What it may reach.
    pub network: Network,
}

impl fmt::Debug for Spec {
    /// Leaves out the values of the environment: they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("id", &self.id)
            .field("command", &self.command)
            .field("environment", &self.environment.keys())
            .field("user", &self.user)
            .field("mounts", &self.mounts)
            .finish_non_exhaustive()
    }
}

/// A user that exists only inside: user and group id are one number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User and group id.
    pub uid: u32,
    /// Name in the sandbox's passwd file: lower-case letters, digits and hyphens.
    pub name: String,
}

/// Something of the host's that a command sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// Absolute path in the sandbox.
    pub target: PathBuf,
    /// Whether it can only be read.
    pub read_only: bool,
}

impl Mount {
    /// A mount that can only be read.
    pub fn read_only(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { source: source.into(), target: target.into(), read_only: true }
    }

    /// A mount that can be written, as far as its owner and mode allow.
    pub fn writable(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { source: source.into(), target: target.into(), read_only: false }
    }
}

/// What a command may use, all its processes together. None: no limit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Memory in bytes; swap is not given on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// CPU in cores, 0.01 at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Processes and threads; bubblewrap's own two are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Its share where CPU is short.
    #[serde(default)]
    pub weight: Weight,
}

/// Share of CPU where it is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// As everybody.
    #[default]
    Normal,
    /// A twentieth of that: warm instances. Still runs and answers probes.
    Lowest,
}

/// What a command may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The network of the host, its loopback included.
    Host,
    /// Nothing but a loopback of its own. Plain processes cannot be held to it.
    None,
}
