//! Room on the disk: the ballast is laid out again, and what is kept only to be quicker stays within its budget.

use std::io;

use tandem_kit::{ballast, disk, env, tasks};
use tandem_rules::room;
use tandem_types::Timestamp;
use tandem_types::disk::Space;

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

    /// Removes what is kept only to be quicker beyond its budget.
    pub(crate) async fn keep_within_budget(&self) {
        let kept = self.shared.builder.stock().await;
        let sum = kept.iter().map(|kept| kept.bytes).sum();
        let space = match self.space().await {
            Ok(space) => space,
            Err(error) => return tracing::warn!("failed to look at the disk of the data folder: {error}"),
        };
        let allowed = room::allowance(&space, sum, budget());
        for key in room::plan_removals(&kept, allowed) {
            self.shared.builder.remove_stock(key).await;
        }
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

/// What a person set; a value that is none is told once and not heeded.
fn budget() -> Option<u64> {
    static TOLD: std::sync::Once = std::sync::Once::new();
    let text = std::env::var(env::TANDEM_DISK_BUDGET).ok()?;
    let budget = tandem_build::app_file::parse_bytes(&text);
    if budget.is_none() {
        TOLD.call_once(|| {
            tracing::warn!(
                "{}={text} is no size such as 20GiB: a tenth of the disk it is",
                env::TANDEM_DISK_BUDGET
            );
        });
    }
    budget
}
