//! Takes a snapshot of the store every hour in which something changed, and says so where that fails.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_kit::error::chain;
use tandem_kit::{disk, tasks};
use tandem_rules::room;
use tandem_store::sqlite::snapshots::{MOST_BYTES, Reason, Snapshot, Snapshots};
use tandem_types::Revision;

use super::{live_roots, pins};
use crate::shared::Shared;

/// Time between two looks whether one is due. The first one of an installation is taken at the first look.
const EVERY: Duration = Duration::from_secs(60);
/// The longest time between two looks while none can be taken: each may write as much as the store is large.
const SELDOM: Duration = Duration::from_secs(60 * 60);

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

    /// One look a minute, for ever; fewer and fewer while they fail.
    pub(crate) async fn run(self) {
        let mut wait = EVERY;
        loop {
            tokio::time::sleep(wait).await;
            wait = next_wait(wait, self.look().await);
        }
    }

    /// Takes one if it is due, and removes those beyond their share of the budget. What fails is told once, and in `status`
    /// until it works again. Says whether one could be taken, or none was due.
    pub(crate) async fn look(&self) -> bool {
        let Ok(cursor) = self.shared.store.cursor().await else { return true };
        let (snapshots, shared) = (self.snapshots.clone(), Arc::clone(&self.shared));
        let look = move || {
            // First, and whatever comes of the other: where the disk is full, what goes is the room for the next one.
            let kept = keep_within_share(&shared, &snapshots);
            (kept, take_if_due(&shared, &snapshots, cursor.revision))
        };
        let (kept, taken) = tasks::blocking("snapshot of the store", look).await;
        if let Ok(Some(taken)) = &taken {
            tracing::debug!("took the snapshot {}", taken.path.display());
        }
        let is_well = taken.is_ok();
        let failed = [
            taken.err().map(|error| failed("no snapshot of the store can be taken", &error)),
            kept.err().map(|error| failed("old snapshots of the store stay", &error)),
        ];
        let problems: Vec<_> = failed.into_iter().flatten().collect();
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        let before = self.shared.snapshots.tell(problem.clone());
        if let Some(problem) = problem.filter(|problem| before.as_ref() != Some(problem)) {
            tracing::error!("{problem}");
        }
        is_well
    }
}

/// None: not yet, since what is there is as new as the store, or of this hour.
fn take_if_due(
    shared: &Shared,
    snapshots: &Snapshots,
    revision: Revision,
) -> Result<Option<Snapshot>, tandem_store::Error> {
    let now = shared.now();
    if !snapshots.is_due(revision, now)? {
        return Ok(None);
    }
    // Only now: it goes through all apps and their builds.
    let before = shared.look(live_roots);
    let taken = snapshots.take(Reason::Hourly, &shared.version, now)?;
    pins::note_snapshot(shared, before);
    Ok(Some(taken))
}

fn failed(what: &str, error: &tandem_store::Error) -> String {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{what}: failed to {}{hint}", chain(error))
}

/// Removes those beyond their share of the budget.
fn keep_within_share(shared: &Shared, snapshots: &Snapshots) -> Result<(), tandem_store::Error> {
    let Ok(space) = disk::space(&shared.root) else { return Ok(()) };
    let budget = room::budget(&space, disk::budget());
    snapshots.keep_within(room::snapshots_allowed(budget, MOST_BYTES))
}

/// Twice as long after each failure in a row, up to [`SELDOM`].
fn next_wait(last: Duration, is_well: bool) -> Duration {
    if is_well { EVERY } else { (last * 2).min(SELDOM) }
}

/// Why the last snapshot could not be taken, or old ones not be removed, for `status`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_become_seldom_while_none_can_be_taken_and_are_frequent_again_after_one() {
        let waits = (0..9).scan(EVERY, |wait, _| Some(std::mem::replace(wait, next_wait(*wait, false))));
        let minutes: Vec<_> = waits.map(|wait| wait.as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(next_wait(SELDOM, true), EVERY);
    }
}
