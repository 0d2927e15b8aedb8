//! Room on the disk: the ballast is laid out again, and what is kept only to be quicker stays within its budget.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tandem_kit::{ballast, disk, tasks};
use tandem_rules::room;
use tandem_types::Timestamp;
use tandem_types::disk::{Budget, Space};

use super::Housekeeping;

impl Housekeeping {
    /// Gives back at once what nobody needs, as much as must be so that deploys are let in. Bytes that are free for it.
    pub(crate) async fn reclaim(&self) -> u64 {
        // Several who are refused at the same time are served by one round.
        let _turn = self.shared.reclaiming.lock().await;
        let before = self.free_bytes().await;
        self.shared.blobs.end_lingering();
        self.keep_within_budget().await;
        self.forget_rollouts(tandem_types::defaults::LISTED_ROLLOUTS).await;
        self.forget_releases(tandem_types::defaults::LISTED_RELEASES).await;
        self.sweep_blobs_since(self.keep_blobs_since()).await;
        self.free_bytes().await.saturating_sub(before)
    }

    /// Removes what builds keep only to be quicker beyond what logs and snapshots, which keep to their shares by
    /// themselves, leave of the budget; and measures all three for `status`.
    pub(crate) async fn keep_within_budget(&self) {
        let mut kept = self.shared.builder.stock().await;
        let space = match self.space().await {
            Ok(space) => space,
            Err(error) => return tracing::warn!("failed to look at the disk of the data folder: {error}"),
        };
        let (root, budget_bytes) = (self.shared.root.clone(), room::budget(&space, disk::budget()));
        let (logs_bytes, snapshots_bytes) = tasks::blocking("measure logs", move || beside(&root)).await;
        let sum =
            |kept: &[room::Kept<_>]| kept.iter().fold(0, |sum: u64, kept| sum.saturating_add(kept.bytes));
        let taken = (sum(&kept), logs_bytes.saturating_add(snapshots_bytes));
        let removals = room::plan_removals(&kept, room::allowance(&space, taken, budget_bytes));
        if !removals.is_empty() {
            for key in removals {
                self.shared.builder.remove_stock(key).await;
            }
            kept = self.shared.builder.stock().await;
        }
        let builds_bytes = sum(&kept);
        self.shared.budget.tell(Budget { budget_bytes, builds_bytes, logs_bytes, snapshots_bytes });
    }

    /// Puts room aside again that a full disk has cost.
    pub(super) async fn lay_out_ballast(&self) {
        let root = self.shared.root.clone();
        if let Err(error) = tasks::blocking("lay out ballast", move || ballast::lay_out(&root)).await {
            tracing::warn!("failed to put room aside for a full disk, trying again later: {error}");
        }
    }

    async fn free_bytes(&self) -> u64 {
        self.space().await.map_or(0, |space| space.free_bytes)
    }

    async fn space(&self) -> io::Result<Space> {
        let root = self.shared.root.clone();
        tasks::blocking("look at the disk", move || disk::space(&root)).await
    }

    /// Since when blobs that nothing names must have been asked for to stay.
    pub(super) fn keep_blobs_since(&self) -> Timestamp {
        // Blobs bear the time of the wall clock, whichever way that has jumped since.
        let now = self.shared.now().min(self.shared.clock.now());
        now.checked_sub(super::BLOBS_KEPT.as_duration()).unwrap_or(Timestamp::MIN)
    }
}

/// Logs of the runner in this data folder and snapshots of its store, in bytes. A runner with a folder of its own has a
/// budget of its own.
fn beside(root: &Path) -> (u64, u64) {
    (disk::bytes_below(&root.join("runner/logs")), disk::bytes_below(&root.join("snapshots")))
}

/// The budget with what logs and snapshots take by now, which is quick to tell and changes by the minute. Blocks on the
/// disk.
pub(crate) fn measured(budget: Budget, root: &Path) -> Budget {
    let (logs_bytes, snapshots_bytes) = beside(root);
    Budget { logs_bytes, snapshots_bytes, ..budget }
}

/// The budget as last measured, for `status`.
#[derive(Debug, Default)]
pub(crate) struct LastBudget(Mutex<Option<Budget>>);

impl LastBudget {
    /// None: not measured yet.
    pub(crate) fn get(&self) -> Option<Budget> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, budget: Budget) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(budget);
    }
}
