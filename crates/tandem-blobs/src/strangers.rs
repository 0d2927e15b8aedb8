//! Files in Tandem's folders that Tandem did not make. They are left alone, and people hear of each once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Those that were told already.
#[derive(Debug, Default)]
pub struct Strangers(Mutex<BTreeSet<PathBuf>>);

impl Strangers {
    /// Tells of those that were not told yet, in the log.
    pub fn tell(&self, found: Vec<PathBuf>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for path in found {
            if told.insert(path.clone()) {
                tracing::warn!(
                    "{} is not of Tandem's making and was left alone; move it elsewhere",
                    path.display()
                );
            }
        }
    }
}
