//! What is written beside an instance, so that the next process of the runner knows what it finds.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tandem_kit::files;
use tandem_types::instance::Exit;

use crate::intent::Intent;

const NAME: &str = "instance.json";

/// `instance.json`. Not synced: after a crash of the machine the instance is gone too, and a record that
/// cannot be read is swept and started anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What it should be.
    pub(crate) intent: Intent,
    /// Whether its present process passed the gate: it is taken over as ready.
    pub(crate) passed: bool,
    /// Starts after ends that nobody asked for.
    pub(crate) restarts: u32,
    /// How its last process ended.
    pub(crate) last_exit: Option<Exit>,
}

impl Record {
    /// Of an instance that was never started.
    pub(crate) fn new(intent: Intent) -> Self {
        Self { intent, passed: false, restarts: 0, last_exit: None }
    }

    /// Reads the record in an instance's folder; none where it was never started.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, files::Error> {
        files::read_json(&folder.join(NAME))
    }

    /// Writes it into an instance's folder, which is made where it is missing.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), files::Error> {
        files::ensure_dir(folder, 0o700)?;
        let text = serde_json::to_vec(self).expect("a record is plain JSON");
        files::write_atomic_unsynced(&folder.join(NAME), &text, 0o600)
    }
}
