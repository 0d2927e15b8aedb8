//! What a shim leaves in its folder.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_kit::files::{self, LockGuard};
use tandem_types::Timestamp;
use tandem_types::instance::Exit;

use crate::process::Identity;

/// How it ended, durable before anybody is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// When the process started.
    pub started: Timestamp,
    /// How it ended.
    pub exit: Exit,
    /// Whether it was killed because the time of [`super::ShimSpec::timeout`] was up.
    #[serde(default)]
    pub timed_out: bool,
    /// Lines of output that could not be kept.
    #[serde(default)]
    pub dropped_lines: u64,
    /// How long it ran, by a clock that nobody sets. None: a shim of before this was told, or of which nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_ms: Option<u64>,
}

impl ExitRecord {
    /// The record in a shim's folder, where there is one.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, files::Error> {
        files::read_json(&exit_file(dir))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), files::Error> {
        files::write_json(&exit_file(dir), self, 0o600)
    }
}

/// Which process the shim is. Written right before the command is executed, and again with the child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShimRecord {
    #[serde(flatten)]
    pub shim: Identity,
    /// Process id and start time of its child.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub child: Option<(i32, u64)>,
}

impl ShimRecord {
    /// None where there is no shim yet, or a crash of the machine damaged the file: it meant nothing any more then.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        files::read_json(&shim_file(dir)).ok().flatten()
    }

    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let content = serde_json::to_vec(self)?;
        Ok(files::write_atomic_unsynced(&shim_file(dir), &content, 0o600)?)
    }
}

/// Locks the folder for a shim that is about to be launched; none where one lives, or has yet to begin.
///
/// The runner takes the lock and hands it on: so there is no moment, from before the shim's first instruction to its end, at
/// which a later runner could take it for one that never was. A shim of a version without it is known by its record alone.
pub(super) fn lock(dir: &Path) -> Result<Option<LockGuard>, files::Error> {
    files::lock_exclusive(&lock_file(dir))
}

/// Whether somebody has that lock.
pub(super) fn is_locked(dir: &Path) -> Result<bool, files::Error> {
    Ok(lock_file(dir).exists() && lock(dir)?.is_none())
}

/// Says how the beginning went, as one line on the shim's standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tandem_shim", rename_all = "snake_case")]
pub(super) enum Hello {
    /// The command was executed, the socket answers.
    Ready,
    /// The command was not executed.
    NotStarted {
        /// Why, as a whole chain.
        reason: String,
    },
}

pub(super) fn spec_file(dir: &Path) -> PathBuf {
    dir.join("spec.json")
}

fn lock_file(dir: &Path) -> PathBuf {
    dir.join("shim.lock")
}

pub(super) fn shim_file(dir: &Path) -> PathBuf {
    dir.join("shim.json")
}

pub(super) fn exit_file(dir: &Path) -> PathBuf {
    dir.join("exit.json")
}
