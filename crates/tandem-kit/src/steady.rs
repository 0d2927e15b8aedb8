//! The time by which a server decides and its journal is written: it runs on whatever the wall clock does.
//!
//! Every limit of a rollout is counted between two times, one of which is often in a document. By the wall clock a jump
//! of an hour would end every budget at once, or none for an hour, and make every report look old. So time runs
//! by the monotonic clock, and leans towards the wall clock by a tenth at most: a budget is never shorter by more than that, and
//! a jump of an hour is made up for after ten. Times in documents are this time; for people it is the wall clock's, but for
//! the hours after a jump.
//!
//! It never goes back, over restarts neither: which release serves since when decides what is kept and what a rollback goes
//! back to, a limit that began in what is suddenly the future would never end, and who reads a journal takes later
//! entries for later. Forward there is one limit, a
//! day: a wall clock further ahead is followed at once, and whatever has its end in between ends.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::clock::{Clock, Moment};

/// The part of the elapsed time by which it is corrected at most.
const LEAN: i32 = 10;
/// A wall clock that is further ahead than this was plainly wrong before: a machine that starts in 1970 until it
/// hears of the time. It is followed at once: to make up for years by a tenth takes longer than anybody lives.
const FOLLOWED: SignedDuration = SignedDuration::from_hours(24);

/// See the module. Cheap to clone; clones agree.
#[derive(Debug, Clone)]
pub struct Steady {
    clock: Clock,
    last: Arc<Mutex<Last>>,
}

/// The last time that was told.
#[derive(Debug, Clone, Copy)]
struct Last {
    moment: Moment,
    time: Timestamp,
}

impl Steady {
    /// Begins at the wall clock's time.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let last = Last { moment: clock.monotonic(), time: clock.now() };
        Self { clock, last: Arc::new(Mutex::new(last)) }
    }

    /// Goes on from a time that an earlier process told, however far ahead that was. Says how far, where it was.
    pub fn not_before(&self, time: Timestamp) -> Option<SignedDuration> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = time.duration_since(last.time);
        last.time = last.time.max(time);
        ahead.is_positive().then_some(ahead)
    }

    /// The time now; never earlier than the last that was told.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = self.clock.monotonic();
        let elapsed = moment.elapsed_since(last.moment);
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::ZERO);
        last.moment = last.moment.max(moment);
        last.time = after(last.time, elapsed, self.clock.now());
        last.time
    }
}

/// The time after some has elapsed, drawn towards the wall clock.
fn after(time: Timestamp, elapsed: SignedDuration, wall: Timestamp) -> Timestamp {
    let expected = time.checked_add(elapsed).unwrap_or(Timestamp::MAX);
    let gap = wall.duration_since(expected);
    if gap > FOLLOWED {
        return wall;
    }
    let most = elapsed / LEAN;
    expected.checked_add(gap.clamp(-most, most)).unwrap_or(expected)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: i64 = 3_600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn a_jump_of_an_hour_shortens_no_budget_by_more_than_a_tenth() {
        for (wall, expected) in [(HOUR, 66), (-HOUR, 54), (60, 60), (61, 61), (59, 59)] {
            let (clock, hands) = Clock::manual(at(0));
            let steady = Steady::new(clock);
            hands.advance(Duration::from_secs(60));
            hands.set_wall(at(wall));
            assert_eq!(steady.now(), at(expected), "the wall clock says {wall} s after 60");
        }
    }

    #[test]
    fn a_jump_is_made_up_for_in_ten_times_its_length() {
        for wall in [HOUR, -HOUR] {
            let (clock, hands) = Clock::manual(at(0));
            let steady = Steady::new(clock.clone());
            hands.set_wall(at(wall));
            for _ in 0..10 {
                assert_ne!(steady.now(), clock.now());
                hands.advance(Duration::from_secs(3_600));
            }
            assert_eq!(steady.now(), clock.now());
        }
    }

    #[test]
    fn a_clock_that_was_plainly_wrong_is_followed_at_once() {
        let (clock, hands) = Clock::manual(Timestamp::UNIX_EPOCH);
        let steady = Steady::new(clock);
        hands.set_wall(at(0));
        assert_eq!(steady.now(), at(0));
    }

    #[test]
    fn an_earlier_process_was_there_already_and_time_goes_on_from_there() {
        let (clock, hands) = Clock::manual(at(0));
        let steady = Steady::new(clock.clone());
        assert_eq!(steady.not_before(at(-HOUR)), None);
        assert_eq!(steady.now(), at(0));
        for told in [HOUR, 48 * HOUR, 9_000 * HOUR] {
            assert!(steady.not_before(at(told)).is_some());
            assert_eq!(steady.now(), at(told));
        }
        hands.advance(Duration::from_secs(100));
        assert_eq!(
            steady.now(),
            at(9_000 * HOUR + 90),
            "it leans towards the wall clock, which is far behind"
        );
    }

    #[test]
    fn it_never_goes_back_whatever_the_wall_clock_does() {
        let (clock, hands) = Clock::manual(at(0));
        let steady = Steady::new(clock.clone());
        let mut last = steady.now();
        assert_eq!(last, clock.now());
        // Any numbers without an order will do; these are of a linear congruence.
        let mut number = 12_345_u64;
        let mut next = |most: u64| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) % most
        };
        for _ in 0..2_000 {
            hands.advance(Duration::from_millis(next(10_000)));
            hands.set_wall(at(i64::try_from(next(400_000)).unwrap() - 200_000));
            let now = steady.now();
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    }
}
