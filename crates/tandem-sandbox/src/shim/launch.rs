//! Starting a shim.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_types::Span;

use super::ShimHandle;
use crate::{Spec, logs};

/// What a shim is given, in `spec.json` of its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShimSpec {
    /// What is to run.
    pub sandbox: Spec,
    /// Where its output goes.
    pub log: logs::Settings,
    /// Its control socket: at most 107 bytes, so in the runtime folder.
    pub socket: PathBuf,
    /// Created and synced before the command is executed; where it exists already, the command is not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<PathBuf>,
    /// Everything is killed after this time, also when no runner is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// Why a shim does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The command never ran.
    #[error("start the process: {reason}")]
    NotStarted {
        /// Why.
        reason: String,
    },
    /// Nobody can know whether the command ran.
    #[error("learn whether the shim started: {reason}")]
    Unknown {
        /// What is known.
        reason: String,
    },
}

/// Writes `spec.json` into the folder (made, 0700, where it is missing; records of an earlier run in it are deleted), starts
/// `<binary> shim DIR` and waits until it answers, 10 s at most.
///
/// # Errors
/// [`LaunchError::NotStarted`] where the command certainly never ran, else [`LaunchError::Unknown`].
pub async fn launch(binary: &Path, dir: &Path, spec: &ShimSpec) -> Result<ShimHandle, LaunchError> {
    let _ = (binary, dir, spec);
    todo!()
}
