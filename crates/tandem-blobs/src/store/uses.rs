//! Who puts blobs in that no root names yet: an upload, a build. However long it takes, a sweep leaves alone what was put
//! or asked for since it began.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_types::Timestamp;

use super::BlobStore;

/// File systems note times in steps, and coarsely.
const SLACK: Duration = Duration::from_secs(5);

/// Uses under way and when each began.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    begun: BTreeMap<u64, Timestamp>,
}

/// Keeps what is put or asked for from now on, until it is dropped.
#[derive(Debug)]
#[must_use = "the use ends when this is dropped"]
pub struct InUse {
    uses: Uses,
    number: u64,
}

impl BlobStore {
    /// Says that blobs will be put in, or relied on, before anything names them.
    pub fn begin_use(&self) -> InUse {
        self.inner.uses.begin(Clock::system().now())
    }

    /// A number that grows with each blob that is put in by this process.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.inner.changes.load(Ordering::Relaxed)
    }

    /// The time since which blobs must stay for those who use them, where that is before `since`.
    pub(super) fn kept_since(&self, since: Timestamp) -> Timestamp {
        self.inner.uses.oldest().map_or(since, |oldest| since.min(oldest - SLACK))
    }
}

impl Uses {
    fn begin(&self, now: Timestamp) -> InUse {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = state.next;
        state.next += 1;
        state.begun.insert(number, now);
        InUse { uses: self.clone(), number }
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).begun.values().min().copied()
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.uses.0.lock().unwrap_or_else(PoisonError::into_inner).begun.remove(&self.number);
    }
}
