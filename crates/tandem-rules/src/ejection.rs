//! When an instance that fails its requests is left out of its pool for a while, whatever its probes say, and when it comes back.
//!
//! Probes ask one question a second, requests ask all the others. What requests see is the judgement of few moments, so it
//! counts for a short time only, which grows while it is confirmed; and never for so many that the rest could not carry on. Who
//! sees requests, and who probes, is left to the balancer. Times are lengths since any one moment.

use std::time::Duration;

/// Connections in a row that could not be made.
pub const UNREACHED: u32 = 3;
/// Failures in a row without one good answer between them: a page of an app that is broken is seldom asked for so often in a
/// row.
pub const FAILED: u32 = 10;
/// The first time out.
pub const FIRST: Duration = Duration::from_secs(5);
/// The longest time out.
pub const LONGEST: Duration = Duration::from_secs(60);
/// Who was in for so long begins anew.
pub const FORGIVEN: Duration = Duration::from_secs(300);

/// What a request saw of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It answered, and not with a status that says that it is broken.
    Well,
    /// It answered with such a status, broke off, or did not answer in time.
    Failed,
    /// It took no connection.
    Unreached,
}

impl Seen {
    /// What a status says. 501 and 505 are about what was asked (RFC 9110, 15.6).
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        if status >= 500 && !matches!(status, 501 | 505) { Self::Failed } else { Self::Well }
    }
}

/// How an instance stands with the requests of one balancer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    unreached: u32,
    failed: u32,
    /// Ejections that were not forgiven.
    times: u32,
    out_until: Option<Duration>,
    back_at: Duration,
}

impl Standing {
    /// Whether nothing speaks against it just now.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unreached == 0 && self.failed == 0
    }

    /// Whether it is left out.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.out_until.is_some()
    }

    /// Takes in what one request saw; says whether that is reason to leave it out.
    pub fn see(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Well => (self.unreached, self.failed) = (0, 0),
            // One that takes connections is there.
            Seen::Failed => (self.unreached, self.failed) = (0, self.failed.saturating_add(1)),
            Seen::Unreached => self.unreached = self.unreached.saturating_add(1),
        }
        !self.is_out() && (self.unreached >= UNREACHED || self.failed >= FAILED)
    }

    /// Leaves it out from now on; says for how long at least.
    pub fn leave_out(&mut self, now: Duration) -> Duration {
        if now.saturating_sub(self.back_at) >= FORGIVEN {
            self.times = 0;
        }
        let length = FIRST.saturating_mul(1 << self.times.min(8)).min(LONGEST);
        self.times = self.times.saturating_add(1);
        self.out_until = Some(now + length);
        length
    }

    /// Takes in a good probe; says whether that brings it back.
    pub fn probed_well(&mut self, now: Duration) -> bool {
        if self.out_until.is_none_or(|until| now < until) {
            return false;
        }
        (self.out_until, self.unreached, self.failed) = (None, 0, 0);
        self.back_at = now;
        true
    }
}

/// Whether one more member of a pool may be left out: at most half of all of them, and never the last one that is well.
/// `others_well` are those that are neither left out nor found unhealthy, without the one that is asked for.
#[must_use]
pub fn may_leave_out(all: usize, left_out: usize, others_well: usize) -> bool {
    left_out < all / 2 && others_well > 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(seen: &[Seen]) -> bool {
        let mut standing = Standing::default();
        seen.iter().fold(false, |_, seen| standing.see(*seen))
    }

    #[test]
    fn some_failures_in_a_row_are_a_reason_and_a_good_answer_between_them_is_none() {
        let failed = [Seen::Failed; FAILED as usize];
        assert!(after(&failed) && !after(&failed[1..]));
        let unreached = [Seen::Unreached; UNREACHED as usize];
        assert!(after(&unreached) && !after(&unreached[1..]));
        let mut with_good = failed.to_vec();
        with_good.insert(FAILED as usize - 1, Seen::Well);
        assert!(!after(&with_good));
    }

    #[test]
    fn a_status_is_a_failure_when_it_is_the_apps() {
        for (status, seen) in [(200, Seen::Well), (404, Seen::Well), (500, Seen::Failed), (503, Seen::Failed)]
        {
            assert_eq!(Seen::of_status(status), seen, "{status}");
        }
        assert_eq!((Seen::of_status(501), Seen::of_status(505)), (Seen::Well, Seen::Well));
    }

    #[test]
    fn the_time_out_doubles_up_to_a_minute_and_is_forgiven() {
        let (mut standing, mut now) = (Standing::default(), Duration::ZERO);
        let mut lengths = Vec::new();
        for _ in 0..6 {
            let length = standing.leave_out(now);
            lengths.push(length.as_secs());
            assert!(!standing.probed_well(now + length - SECOND) && standing.is_out());
            now += length;
            assert!(standing.probed_well(now) && !standing.is_out() && standing.is_clean());
        }
        assert_eq!(lengths, [5, 10, 20, 40, 60, 60]);
        assert_eq!(standing.leave_out(now + FORGIVEN), FIRST);
    }

    proptest! {
        /// Whatever requests see and whatever probes say, half of a pool stays, and whoever is out comes back.
        #[test]
        fn a_pool_is_never_emptied(
            count in 1_usize..7,
            steps in prop::collection::vec((0_usize..7, 0_u8..5, 0_u64..20), 0..400),
        ) {
            let mut pool = vec![Standing::default(); count];
            let mut now = Duration::ZERO;
            for (place, what, seconds) in steps {
                now += SECOND * u32::try_from(seconds).unwrap();
                let place = place % count;
                let seen = [Seen::Well, Seen::Failed, Seen::Failed, Seen::Unreached];
                match seen.get(usize::from(what)) {
                    Some(seen) => {
                        let reason = pool[place].see(*seen);
                        let out = pool.iter().filter(|standing| standing.is_out()).count();
                        let others_well = count - out - usize::from(!pool[place].is_out());
                        if reason && may_leave_out(count, out, others_well) {
                            prop_assert!(pool[place].leave_out(now) <= LONGEST);
                        }
                    }
                    None => drop(pool[place].probed_well(now)),
                }
                let out = pool.iter().filter(|standing| standing.is_out()).count();
                prop_assert!(out * 2 <= count && out < count);
            }
            for standing in &mut pool {
                standing.probed_well(now + LONGEST);
                prop_assert!(!standing.is_out());
            }
        }
    }
}
