//! How many requests of an app may be sent a second time: a share of what is asked, and a few in any case.
//!
//! An app that breaks off half of its answers would get half as many requests again, just when it can bear them least.
//! Which requests may be sent twice at all is the balancer's to know.

use std::time::Duration;

/// Requests sent again for each that is asked.
const SHARE: f64 = 0.2;
/// The time over which the share is meant.
const WINDOW: Duration = Duration::from_secs(10);
/// Requests that may be sent again in that time however little is asked.
const FLOOR: f64 = 10.0;

/// What is left of it, for one app at one balancer.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// Requests that may be sent again for the share.
    earned: f64,
    /// Those that may in any case.
    given: f64,
    asked: u64,
    at: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { earned: 0.0, given: FLOOR, asked: 0, at: Duration::ZERO }
    }
}

impl Budget {
    /// Whether one more request may be sent again, which is then taken as done. `asked` is the number of all requests so far,
    /// `now` the time since any one moment.
    pub fn take(&mut self, asked: u64, now: Duration) -> bool {
        self.pass(asked, now);
        let from = if self.earned >= 1.0 { &mut self.earned } else { &mut self.given };
        let may = *from >= 1.0;
        if may {
            *from -= 1.0;
        }
        may
    }

    /// Old earnings are gone, and what was asked meanwhile earns as much of it as fell into the window.
    fn pass(&mut self, asked: u64, now: Duration) {
        let windows = now.saturating_sub(self.at).as_secs_f64() / WINDOW.as_secs_f64();
        let lately = asked.saturating_sub(self.asked) as f64 / windows.max(1.0);
        self.earned = self.earned * (1.0 - windows).max(0.0) + SHARE * lately;
        self.given = (self.given + FLOOR * windows).min(FLOOR);
        (self.asked, self.at) = (asked, now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_are_sent_again_however_little_is_asked_and_then_no_more() {
        let mut budget = Budget::default();
        let taken = (1..100).filter(|asked| budget.take(*asked, Duration::ZERO)).count();
        assert_eq!(taken, 10 + 99 / 5, "the floor, and a fifth of what was asked");
        assert!(!budget.take(99, Duration::ZERO));
        assert!(budget.take(99, WINDOW), "the floor is there again");
    }

    #[test]
    fn what_was_asked_long_ago_earns_nothing() {
        let mut budget = Budget::default();
        let hour = Duration::from_secs(3600);
        let taken = (0..100_000).filter(|_| budget.take(1_000, hour)).count();
        assert!(taken < 12, "{taken}");
    }

    proptest! {
        #[test]
        fn it_is_a_fifth_of_what_is_asked_and_a_few_more(
            steps in prop::collection::vec((0_u64..50, 0_u64..2_000), 1..300),
        ) {
            let (mut budget, mut asked, mut now, mut taken) = (Budget::default(), 0, Duration::ZERO, 0_u64);
            for (requests, millis) in steps {
                asked += requests;
                now += Duration::from_millis(millis);
                taken += (0..requests).filter(|_| budget.take(asked, now)).count() as u64;
            }
            let floors = now.as_secs_f64() / WINDOW.as_secs_f64() + 1.0;
            prop_assert!(taken as f64 <= SHARE * asked as f64 + FLOOR * floors + 1.0);
        }
    }
}
