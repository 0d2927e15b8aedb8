//! Takes a snapshot of the store every hour in which something changed, and says so where that fails.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_kit::error::chain;
use tandem_kit::tasks;
use tandem_store::sqlite::snapshots::Snapshots;

use super::{live_roots, pins};
use crate::shared::Shared;

/// Time between two looks whether one is due. The first one of an installation is taken at the first look.
const EVERY: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct SnapshotTaker {
    shared: Arc<Shared>,
    snapshots: Snapshots,
}

impl SnapshotTaker {
    /// For the store in this file.
    pub(crate) fn new(shared: Arc<Shared>, database: PathBuf) -> Self {
        Self { shared, snapshots: Snapshots::of(database) }
    }

    /// One look a minute, for ever.
    pub(crate) async fn run(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.look().await;
        }
    }

    /// Takes one if it is due. What fails is told once, and in `status` until it works again.
    pub(crate) async fn look(&self) {
        let Ok(cursor) = self.shared.store.cursor().await else { return };
        let (snapshots, version, now) =
            (self.snapshots.clone(), self.shared.version.clone(), self.shared.now());
        let shared = Arc::clone(&self.shared);
        let take = move || {
            let before = shared.look(live_roots);
            let taken = snapshots.take_hourly(cursor.revision, (&version, now))?;
            if taken.is_some() {
                pins::note_snapshot(&shared, before);
            }
            Ok::<_, tandem_store::Error>(taken)
        };
        let problem = match tasks::blocking("snapshot of the store", take).await {
            // What is there is as new as the store, whoever took it.
            Ok(None) => None,
            Ok(Some(taken)) => {
                tracing::debug!("took the snapshot {}", taken.path.display());
                None
            }
            Err(error) => {
                let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                Some(format!("no snapshot of the store can be taken: failed to {}{hint}", chain(&error)))
            }
        };
        let before = self.shared.snapshots.tell(problem.clone());
        if let Some(problem) = problem.filter(|problem| before.as_ref() != Some(problem)) {
            tracing::error!("{problem}");
        }
    }
}

/// Why the last snapshot could not be taken, for `status`.
#[derive(Debug, Default)]
pub(crate) struct SnapshotProblem(Mutex<Option<String>>);

impl SnapshotProblem {
    /// None: all is well.
    pub(crate) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what was told before.
    fn tell(&self, problem: Option<String>) -> Option<String> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), problem)
    }
}
