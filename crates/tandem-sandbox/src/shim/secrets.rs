//! Values of an environment that are not written to the disk: a file of their own, in the runtime folder.
//!
//! `spec.json` lies in the data folder and outlives the machine; what is secret would lie there in the clear, and in every
//! backup. The runtime folder is in memory and gone after a reboot. The file stays while the instance does, so that a
//! runner can start it again when no server answers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_kit::files;

/// Variables that a command gets besides those of its [`crate::Spec`], over which they win.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Secrets {
    /// Their file; all that `spec.json` tells of them.
    pub path: PathBuf,
    /// Names and values, as [`crate::Spec::environment`] has them.
    #[serde(skip)]
    pub values: BTreeMap<String, String>,
}

impl fmt::Debug for Secrets {
    /// Leaves out the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.values.keys().collect();
        f.debug_struct("Secrets").field("path", &self.path).field("values", &names).finish()
    }
}

impl Secrets {
    /// What a file has; none where there is no such file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> Result<Option<BTreeMap<String, String>>, files::Error> {
        files::read_json(path)
    }

    /// Writes the file, 0600, and its folder, 0700, where it is missing. Not synced: it need not outlive the machine.
    ///
    /// # Errors
    /// There is no room, or no right to write there.
    pub fn write(&self) -> Result<(), files::Error> {
        if let Some(folder) = self.path.parent() {
            files::ensure_dir(folder, 0o700)?;
        }
        let content = serde_json::to_vec(&self.values).expect("strings by strings are always JSON");
        files::write_atomic_unsynced(&self.path, &content, 0o600)
    }
}
