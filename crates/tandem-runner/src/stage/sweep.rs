//! Trees and blobs that nobody needs any more. They stay for a while: what was dropped a moment ago is what a
//! rollback asks for.
//!
//! Trees for a minute, since their folders are all they cost and nearly all that a deploy writes: 92 of 208 kB for one
//! line of the guestbook. Checking one out again takes some milliseconds, 0.7 s for 7,000 libraries, and the apps
//! that a cold rollback boots take longer than that. Blobs for a day: what is not here must be fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use tandem_blobs::cache::Spare;
use tandem_blobs::{LinkCache, checkout};
use tandem_kit::{disk, tasks};
use tandem_types::{Digest, Timestamp};
use tokio::time::Instant;

use crate::folders::{Folders, Unit};
use crate::traces;

/// Time for which a tree that nobody needs stays.
pub(crate) const KEEP_TREE: Duration = Duration::from_secs(60);
/// Time between two looks at the blobs, of which there are thousands, where no tree was removed.
const BLOBS_INTERVAL: Duration = Duration::from_secs(600);
/// The same after trees were removed.
const BLOBS_AFTER: Duration = Duration::from_secs(60);
/// Time for which a blob of a build that was here lately stays although no tree links to it.
const KEEP_BLOB: Duration = Duration::from_secs(24 * 3600);
/// The same for any other: what was fetched a moment ago is linked in a moment.
const KEEP_ANY: Duration = Duration::from_secs(60);

/// Trees that are here and not needed, and since when.
pub(super) struct Unneeded {
    keep: Duration,
    since: BTreeMap<Digest, Instant>,
    next_look: Instant,
    next_blobs: Instant,
}

impl Unneeded {
    /// Nothing is known of yet; trees stay for `keep`.
    pub(super) fn new(keep: Duration) -> Self {
        let now = Instant::now();
        Self { keep, since: BTreeMap::new(), next_look: now + keep, next_blobs: now + BLOBS_INTERVAL }
    }

    /// When to look again.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Whether it is time.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next_look
    }

    /// Not now.
    pub(super) fn postpone(&mut self) {
        self.next_look = Instant::now() + self.keep;
    }

    /// Whether it is time for the blobs, too; if so, not again for a while.
    pub(super) fn take_blobs_turn(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.next_blobs;
        if is_due {
            self.next_blobs = now + BLOBS_INTERVAL;
        }
        is_due
    }

    /// A tree goes, so that there will be blobs that nothing links to.
    pub(super) fn note_removal(&mut self) {
        self.next_blobs = self.next_blobs.min(Instant::now() + BLOBS_AFTER);
    }

    /// Looks, and returns what has not been needed for long enough.
    pub(super) fn look(
        &mut self,
        folders: &Folders,
        needed: &BTreeSet<Digest>,
        busy: &BTreeSet<Digest>,
    ) -> Vec<Digest> {
        let now = Instant::now();
        self.next_look = now + self.keep;
        let here: BTreeSet<Digest> =
            list(folders).into_iter().filter(|tree| !needed.contains(tree) && !busy.contains(tree)).collect();
        self.since.retain(|tree, _| here.contains(tree));
        for tree in here {
            self.since.entry(tree).or_insert(now);
        }
        let old = self.since.iter().filter(|(_, since)| now.duration_since(**since) >= self.keep);
        old.map(|(tree, _)| *tree).collect()
    }
}

fn list(folders: &Folders) -> Vec<Digest> {
    let Ok(entries) = std::fs::read_dir(folders.trees()) else {
        return Vec::new();
    };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Whether trees may go at all: not while something may live that has no actor (its record is damaged, or its actor
/// ended by a bug of ours). It gets its time to end, and nobody can tell which tree it runs on.
pub(super) async fn may_remove(folders: Folders, have_actors: BTreeSet<Unit>) -> bool {
    match tasks::blocking("tree-look", move || traces::alive(&folders)).await {
        Ok(alive) => {
            let stray = alive.difference(&have_actors).next();
            if let Some(unit) = stray {
                tracing::info!(
                    "trees that nobody needs stay until {unit} has ended, which no actor stands for"
                );
            }
            stray.is_none()
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "trees stay: cannot tell what runs");
            false
        }
    }
}

/// Removes a tree; it loses its name first.
pub(super) async fn remove(tree: PathBuf) {
    let removed = tasks::blocking("tree-remove", move || checkout::remove(&tree)).await;
    if let Err(error) = removed {
        tracing::warn!(error = &error as &dyn std::error::Error, "could not remove a tree that nobody needs");
    }
}

/// Removes blobs that no tree links to and nobody asked for lately; longer ago for those of `recent` trees, unless room is
/// short. Returns what it found that is not of our making.
pub(super) async fn trim_cache(cache: LinkCache, (recent, now): (Vec<Digest>, Timestamp)) -> Vec<PathBuf> {
    let trim = move || {
        let is_low = disk::space(cache.directory()).is_ok_and(|space| space.is_low());
        let roots_since = now - if is_low { KEEP_ANY } else { KEEP_BLOB };
        cache.sweep(&Spare { roots: &recent, roots_since, since: now - KEEP_ANY })
    };
    match tasks::blocking("cache-sweep", trim).await {
        Ok(swept) => {
            tracing::debug!("removed {} blobs that no tree links to", swept.files);
            swept.strangers
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not trim the blob cache");
            Vec::new()
        }
    }
}
