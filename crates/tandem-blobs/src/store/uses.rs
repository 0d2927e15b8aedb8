//! Who puts blobs in that no root names yet: an upload, a build. However long it takes, a sweep leaves alone what was put
//! or asked for since it began. An upload that breaks off is tried again by a person, who needs a while: what came of it
//! stays so long, too. What is put in bears the wall clock's time, which may be set back meanwhile: so a use knows how long
//! it has taken by the other clock, and the earliest time that a file of it can bear.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_kit::clock::{Clock, Moment};
use tandem_types::Timestamp;

use super::BlobStore;

/// File systems note times in steps, and coarsely.
const SLACK: Duration = Duration::from_secs(5);
/// What an upload brought that broke off stays this long: a flaky link, a laptop that sleeps, a short walk.
const LINGERS: Duration = Duration::from_secs(30 * 60);

/// Uses under way and when each began.
#[derive(Debug, Clone)]
pub(super) struct Uses {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    begun: BTreeMap<u64, Begun>,
    /// Uploads that broke off, and until when each counts.
    broken_off: Vec<(Begun, Moment)>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    at: Moment,
    /// Earliest time that a file which was put since then can bear.
    earliest: Timestamp,
}

impl Begun {
    /// Takes in what the wall clock says by now.
    fn look(&mut self, clock: &Clock) {
        let elapsed = clock.monotonic().elapsed_since(self.at);
        self.earliest = self.earliest.min(clock.now() - elapsed);
    }
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
        self.inner.uses.begin()
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
        self.inner.uses.earliest().map_or(since, |earliest| since.min(earliest - SLACK))
    }
}

impl Uses {
    fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default() }
    }

    fn begin(&self) -> InUse {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let begun = Begun { at: self.clock.monotonic(), earliest: self.clock.now() };
        state.begun.insert(number, begun);
        InUse { uses: self.clone(), number, is_upload: false }
    }

    fn earliest(&self) -> Option<Timestamp> {
        let (mut state, now) = (self.lock(), self.clock.monotonic());
        state.broken_off.retain(|(_, until)| *until > now);
        let State { begun, broken_off, .. } = &mut *state;
        let all = begun.values_mut().chain(broken_off.iter_mut().map(|(begun, _)| begun));
        all.map(|begun| {
            begun.look(&self.clock);
            begun.earliest
        })
        .min()
    }

    fn end(&self, number: u64, lingers: bool) {
        let mut state = self.lock();
        let Some(mut begun) = state.begun.remove(&number).filter(|_| lingers) else { return };
        begun.look(&self.clock);
        state.broken_off.push((begun, self.clock.monotonic() + LINGERS));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Uses {
    fn default() -> Self {
        Self::new(Clock::system())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.uses.end(self.number, self.is_upload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(60 * minute).unwrap()
    }

    #[test]
    fn an_upload_that_broke_off_counts_for_half_an_hour() {
        let (clock, hands) = Clock::manual(at(0));
        let uses = Uses::new(clock);
        let mut upload = uses.begin();
        upload.is_upload = true;
        hands.advance(10 * MINUTE);
        drop(upload);
        let after = |minutes: u32| {
            hands.advance(minutes * MINUTE);
            uses.earliest()
        };
        assert_eq!([after(29), after(1)], [Some(at(0)), None]);
    }

    #[test]
    fn what_is_put_after_the_clock_was_set_back_counts_as_put_since_the_beginning() {
        let (clock, hands) = Clock::manual(at(600));
        let uses = Uses::new(clock.clone());
        let in_use = uses.begin();
        hands.advance(5 * MINUTE);
        hands.set_wall(at(545));
        let put = clock.now();
        hands.advance(5 * MINUTE);
        assert_eq!(uses.earliest(), Some(at(540)));
        // Set right again: what was put meanwhile still bears the earlier time.
        hands.set_wall(at(610));
        assert!(uses.earliest().unwrap() <= put);
        drop(in_use);
        assert_eq!(uses.earliest(), None);
    }
}
