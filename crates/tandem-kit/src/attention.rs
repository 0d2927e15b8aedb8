//! Notices that this process did nothing for a while and did not know of it: it was stopped by a signal, the machine slept, or
//! something else had all of its CPU.
//!
//! To itself no time has passed. What it has heard last looks like the present and is an hour old; a limit that began before
//! looks over, though nobody was there to see it met; what lies in its sockets was said to the one that it was. So whoever decides
//! by what was heard asks here first, and hears anew (decision 016).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};

/// How often [`Attention::note`] must be called by who is at work.
pub const NOTE_EVERY: Duration = Duration::from_secs(2);
/// Longer than this between two notes is an absence. Above what a busy machine takes between two turns of a task, and so short that
/// with it reports which come every five seconds are less than fifteen seconds old.
const ABSENT: Duration = Duration::from_secs(7);

/// See the module. Cheap to clone; a note of one clone counts for all.
#[derive(Debug, Clone)]
pub struct Attention {
    clock: Clock,
    last: Arc<Mutex<Moment>>,
}

impl Attention {
    /// At work from now on. The clock's monotonic time counts: that of the machine, with its sleep.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let last = Arc::new(Mutex::new(clock.monotonic()));
        Self { clock, last }
    }

    /// Says that this process is at work. Some: how long it was not.
    pub fn note(&self) -> Option<Duration> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        let passed = now.elapsed_since(*last);
        *last = (*last).max(now);
        (passed > ABSENT).then_some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pause_that_is_longer_than_any_turn_is_an_absence_and_it_is_told_once() {
        let (clock, hands) = Clock::manual("2026-11-21T12:00:00Z".parse().unwrap());
        let attention = Attention::new(clock);
        for _ in 0..10 {
            hands.advance(NOTE_EVERY);
            assert_eq!(attention.note(), None);
        }
        hands.set_wall("2026-11-21T13:00:00Z".parse().unwrap());
        assert_eq!(attention.note(), None, "the wall clock may be set");
        hands.advance(Duration::from_secs(3_600));
        assert_eq!(attention.clone().note(), Some(Duration::from_secs(3_600)));
        assert_eq!(attention.note(), None);
    }
}
