//! Who puts blobs in that no root names yet: an upload, a build. However long it takes, a sweep leaves alone what was put
//! or asked for since it began. An upload that breaks off is tried again by a person, who needs a while: what came of it
//! stays so long, too.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_types::Timestamp;

use super::BlobStore;

/// File systems note times in steps, and coarsely.
const SLACK: Duration = Duration::from_secs(5);
/// What an upload brought that broke off stays this long: a flaky link, a laptop that sleeps, a short walk.
const LINGERS: Duration = Duration::from_secs(30 * 60);

/// Uses under way and when each began.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    begun: BTreeMap<u64, Timestamp>,
    /// When uploads that broke off had begun, and until when that counts.
    broken_off: Vec<(Timestamp, Timestamp)>,
}

/// Keeps what is put or asked for from now on, until it is dropped.
#[derive(Debug)]
#[must_use = "the use ends when this is dropped"]
pub struct InUse {
    uses: Uses,
    number: u64,
    /// Whether it breaks off where it is dropped.
    is_upload: bool,
}

impl InUse {
    /// All that was to come has come.
    pub(crate) fn finish(mut self) {
        self.is_upload = false;
    }
}

impl BlobStore {
    /// Says that blobs will be put in, or relied on, before anything names them.
    pub fn begin_use(&self) -> InUse {
        self.inner.uses.begin(Clock::system().now())
    }

    /// As [`BlobStore::begin_use`], for blobs that somebody sends: unless it is finished, what came stays for half an
    /// hour after it was dropped.
    pub(crate) fn begin_upload(&self) -> InUse {
        let mut in_use = self.begin_use();
        in_use.is_upload = true;
        in_use
    }

    /// Keeps nothing any longer for uploads that broke off: the room is needed.
    pub fn end_lingering(&self) {
        self.inner.uses.lock().broken_off.clear();
    }

    /// A number that grows with each blob that is put in by this process.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.inner.changes.load(Ordering::Relaxed)
    }

    /// The time since which blobs must stay for those who use them, where that is before `since`.
    pub(super) fn kept_since(&self, since: Timestamp) -> Timestamp {
        self.inner.uses.oldest(Clock::system().now()).map_or(since, |oldest| since.min(oldest - SLACK))
    }
}

impl Uses {
    fn begin(&self, now: Timestamp) -> InUse {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.begun.insert(number, now);
        InUse { uses: self.clone(), number, is_upload: false }
    }

    fn oldest(&self, now: Timestamp) -> Option<Timestamp> {
        let mut state = self.lock();
        state.broken_off.retain(|(_, until)| *until > now);
        let broken_off = state.broken_off.iter().map(|(begun, _)| begun);
        state.begun.values().chain(broken_off).min().copied()
    }

    fn end(&self, number: u64, lingers_until: Option<Timestamp>) {
        let mut state = self.lock();
        let begun = state.begun.remove(&number);
        state.broken_off.extend(begun.zip(lingers_until));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.uses.end(self.number, self.is_upload.then(|| Clock::system().now() + LINGERS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_that_broke_off_counts_for_half_an_hour() {
        let uses = Uses::default();
        let at = |minute: i64| Timestamp::from_second(60 * minute).unwrap();
        let upload = uses.begin(at(0));
        let number = upload.number;
        uses.end(number, Some(at(10) + LINGERS));
        drop(upload);
        assert_eq!([at(39), at(40)].map(|now| uses.oldest(now)), [Some(at(0)), None]);
    }
}
