//! What is written beside a job: what it is (`job.json`) and, where its shim left no exit record, how it came out
//! (`outcome.json`).
//!
//! The outcome is on the disk before it is told, so that a job that was told to have never run does not run after all
//! when the runner comes back. What the job is need not be: the marker and the assignment say enough.

use std::path::Path;

use tandem_kit::files;
use tandem_types::instance::JobState;

use crate::intent::JobIntent;

const INTENT: &str = "job.json";
const OUTCOME: &str = "outcome.json";
/// Exists from the moment at which the command may have run.
pub(super) const MARKER: &str = "started";

/// Reads what the job in a folder is; none where nothing was written.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read_intent(folder: &Path) -> Result<Option<JobIntent>, files::Error> {
    files::read_json(&folder.join(INTENT))
}

/// Writes what the job is, into its folder, which is made where it is missing.
///
/// # Errors
/// The disk refuses.
pub(super) fn write_intent(folder: &Path, intent: &JobIntent) -> Result<(), files::Error> {
    files::ensure_dir(folder, 0o700)?;
    let text = serde_json::to_vec(intent).expect("an intent is plain JSON");
    files::write_atomic_unsynced(&folder.join(INTENT), &text, 0o600)
}

/// Reads how the job came out; none where that is not known yet.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(folder: &Path) -> Result<Option<JobState>, files::Error> {
    files::read_json(&folder.join(OUTCOME))
}

/// Writes how the job came out.
///
/// # Errors
/// The disk refuses.
pub(super) fn write(folder: &Path, outcome: &JobState) -> Result<(), files::Error> {
    files::ensure_dir(folder, 0o700)?;
    files::write_json(&folder.join(OUTCOME), outcome, 0o600)
}
