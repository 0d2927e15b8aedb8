//! What the requests of one environment take of this balancer: counted over all threads, kept from table to table.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tandem_kit::clock::Moment;
use tandem_rules::retries::Budget;
use tandem_types::defaults;

/// The account of one environment.
#[derive(Debug)]
pub(crate) struct Account {
    asked: AtomicU64,
    budget: Mutex<Budget>,
    judging: Mutex<()>,
    /// From when on times count.
    made: Moment,
    under_way: AtomicU32,
    connections: AtomicU32,
    held: AtomicUsize,
    held_bytes: AtomicUsize,
    is_lost: AtomicBool,
    /// Since when nobody could be reached.
    lost: Mutex<Option<Moment>>,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            asked: AtomicU64::new(0),
            budget: Mutex::default(),
            judging: Mutex::default(),
            made: tandem_record::now(),
            under_way: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            held: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            is_lost: AtomicBool::new(false),
            lost: Mutex::default(),
        }
    }
}

impl Account {
    /// Counts a request.
    pub(crate) fn asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// A place among so many that there may be. None: there are as many.
    pub(crate) fn enter(self: &Arc<Self>, what: Counted, most: u32) -> Option<Permit> {
        let before = self.counter(what).fetch_add(1, Ordering::Relaxed);
        let permit = Permit { account: Arc::clone(self), what };
        (before < most).then_some(permit)
    }

    fn counter(&self, what: Counted) -> &AtomicU32 {
        match what {
            Counted::Requests => &self.under_way,
            Counted::Connections => &self.connections,
        }
    }

    /// Whether one more request may be sent a second time, which is then taken as done.
    pub(crate) fn may_repeat(&self) -> bool {
        let (asked, age) =
            (self.asked.load(Ordering::Relaxed), tandem_record::now().elapsed_since(self.made));
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(asked, age)
    }

    /// Whoever holds this alone says which of its instances are left out.
    pub(crate) fn judging(&self) -> MutexGuard<'_, ()> {
        self.judging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a request of so many bytes that waits for an instance. None: there are enough, or nobody could be reached for so long
    /// that nobody waits any more.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize, now: Moment) -> Option<Seat> {
        if self.lost_for(now) >= defaults::HOLD_GIVEN_UP.as_duration() {
            return None;
        }
        let before = self.held.fetch_add(1, Ordering::Relaxed);
        let bytes_before = self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        let seat = Seat { account: Arc::clone(self), bytes };
        let fits = before < defaults::MOST_HELD && bytes_before + bytes <= defaults::MOST_HELD_BYTES;
        fits.then_some(seat)
    }

    /// An instance could be reached.
    pub(crate) fn reached(&self) {
        // Read only, for as long as all is well: every request comes by here.
        if self.is_lost.load(Ordering::Relaxed) {
            *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.is_lost.store(false, Ordering::Relaxed);
        }
    }

    /// How long nobody could be reached, from the first time that somebody finds so.
    fn lost_for(&self, now: Moment) -> Duration {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_lost.store(true, Ordering::Relaxed);
        now.elapsed_since(*lost.get_or_insert(now))
    }

    /// Requests that wait for an instance.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

/// What there may be only so many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Requests under way.
    Requests,
    /// Connections of clients; each counts for the environment that it asked last.
    Connections,
}

/// A place among those that are counted; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    account: Arc<Account>,
    what: Counted,
}

impl Permit {
    /// Whether it is a place of this environment.
    pub(crate) fn is_of(&self, account: &Arc<Account>) -> bool {
        Arc::ptr_eq(&self.account, account)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.account.counter(self.what).fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's place among those that wait for an instance; given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    account: Arc<Account>,
    bytes: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.account.held.fetch_sub(1, Ordering::Relaxed);
        self.account.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tandem_kit::clock::Clock;
    use tandem_types::Timestamp;

    use super::*;

    #[test]
    fn only_so_many_wait_and_only_so_many_bytes() {
        let (account, now) = (Arc::new(Account::default()), Clock::system().monotonic());
        let seats: Vec<_> = (0..defaults::MOST_HELD).map(|_| account.hold(1, now).unwrap()).collect();
        assert!(account.hold(1, now).is_none());
        drop(seats);
        let large = account.hold(defaults::MOST_HELD_BYTES - 1, now).unwrap();
        assert!(account.hold(2, now).is_none());
        assert!(account.hold(1, now).is_some());
        drop(large);
        assert_eq!((account.held(), account.held_bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn nobody_waits_for_what_has_been_down_for_long_until_it_was_reached_again() {
        let (clock, hands) = Clock::manual(Timestamp::UNIX_EPOCH);
        let account = Arc::new(Account::default());
        assert!(account.hold(1, clock.monotonic()).is_some());
        hands.advance(defaults::HOLD_GIVEN_UP.as_duration() - Duration::from_secs(1));
        assert!(account.hold(1, clock.monotonic()).is_some());
        hands.advance(Duration::from_secs(1));
        assert!(account.hold(1, clock.monotonic()).is_none());
        account.reached();
        assert!(account.hold(1, clock.monotonic()).is_some());
    }
}
