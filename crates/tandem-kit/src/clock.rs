//! The one place that reads a clock, so that tests can lie about it.
//!
//! Wall time ([`Clock::now`]) is for people and for deadlines that others read; it may jump. Monotonic time
//! ([`Clock::monotonic`]) is for measuring and for the holder of a lease; it never goes back and counts the time a
//! machine slept. Waiting stays with `tokio::time`, which tests pause by its own means.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// A source of wall and monotonic time, cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<Mutex<Hands>>),
}

#[derive(Debug, Clone, Copy)]
struct Hands {
    wall: Timestamp,
    monotonic: Duration,
}

/// A point of monotonic time; only differences mean something, and only within one boot of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// Time since an earlier moment; nothing where `earlier` is in fact later.
    #[must_use]
    pub fn elapsed_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(length))
    }
}

impl Clock {
    /// The machine's own clocks.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until its hands are moved, for tests.
    #[must_use]
    pub fn manual(now: Timestamp) -> (Self, ManualClock) {
        let hands = Arc::new(Mutex::new(Hands { wall: now, monotonic: Duration::from_secs(1) }));
        (Self(Source::Manual(Arc::clone(&hands))), ManualClock(hands))
    }

    /// Wall time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the wall clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Manual(hands) => read(hands).wall,
        }
    }

    /// Monotonic time. Uses the boot clock: a lease must not look fresh after the machine slept through its end.
    #[must_use]
    pub fn monotonic(&self) -> Moment {
        match &self.0 {
            Source::System => {
                let time =
                    clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux kernel has a boot clock");
                Moment(Duration::from(time))
            }
            Source::Manual(hands) => Moment(read(hands).monotonic),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

fn read(hands: &Mutex<Hands>) -> Hands {
    *hands.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves the hands of a manual [`Clock`].
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Hands>>);

impl ManualClock {
    /// Lets time pass on both clocks.
    pub fn advance(&self, length: Duration) {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hands.monotonic += length;
        hands.wall = hands.wall.checked_add(length).unwrap_or(Timestamp::MAX);
    }

    /// Lets the wall clock jump, back as well as forth, as an administrator or a time service does.
    pub fn set_wall(&self, now: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wall = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_wall_clock_leaves_monotonic_time_alone() {
        let (clock, hands) = Clock::manual("2026-11-21T12:00:00Z".parse().unwrap());
        let before = clock.monotonic();
        hands.set_wall("2026-11-21T11:00:00Z".parse().unwrap());
        assert_eq!(clock.now(), "2026-11-21T11:00:00Z".parse().unwrap());
        hands.advance(Duration::from_secs(5));
        assert_eq!(clock.monotonic().elapsed_since(before), Duration::from_secs(5));
        assert_eq!(before.elapsed_since(clock.monotonic()), Duration::ZERO);
        assert_eq!(before + Duration::from_secs(5), clock.monotonic());
    }

    #[test]
    fn the_system_clock_never_runs_backwards() {
        let clock = Clock::system();
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(clock.now() > "2020-01-01T00:00:00Z".parse().unwrap());
    }
}
