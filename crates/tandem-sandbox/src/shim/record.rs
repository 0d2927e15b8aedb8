//! What a shim leaves behind: `exit.json`.

use serde::{Deserialize, Serialize};
use tandem_types::Timestamp;
use tandem_types::instance::Exit;

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
}
