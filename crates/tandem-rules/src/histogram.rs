//! A histogram of microseconds in fixed memory, whose parts can be added up in any order.
//!
//! Log-linear: sixteen buckets for each doubling. So a quantile is at most a sixteenth too high and never too low, whether a
//! request takes 300 µs or half an hour. Chosen over sketches since buckets are added by plain sums, are the same
//! everywhere, and are what Prometheus wants.

use tandem_types::traffic::ClassTraffic;

/// Buckets for each doubling, as a power of two.
const PRECISION: u32 = 4;
/// Longest that is told apart: 2³² µs, a little more than an hour. What is longer counts as this.
const LONGEST: u64 = u32::MAX as u64;
/// Number of buckets.
const BUCKETS: usize = (32 - PRECISION as usize + 1) << PRECISION;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    sum_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum_us: 0 }
    }
}

/// The bucket of a length of time.
fn bucket_of(micros: u64) -> usize {
    let micros = micros.min(LONGEST);
    let doublings = (u64::BITS - micros.leading_zeros()).saturating_sub(PRECISION + 1);
    let part = usize::try_from(micros >> doublings).expect("at most five bits are left");
    ((doublings as usize) << PRECISION) + part
}

/// The longest time that belongs into a bucket.
fn upper_end(bucket: usize) -> u64 {
    let doublings = (bucket >> PRECISION).saturating_sub(1);
    let part = (bucket - (doublings << PRECISION)) as u64;
    ((part + 1) << doublings) - 1
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, micros: u64) {
        let count = &mut self.counts[bucket_of(micros)];
        *count = count.saturating_add(1);
        self.sum_us = self.sum_us.saturating_add(micros);
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Adds what came over the wire. Buckets that there are not count as the last one.
    pub fn add(&mut self, traffic: &ClassTraffic) {
        for (bucket, more) in &traffic.buckets {
            let count = &mut self.counts[usize::from(*bucket).min(BUCKETS - 1)];
            *count = count.saturating_add(*more);
        }
        self.sum_us = self.sum_us.saturating_add(traffic.sum_us);
    }

    /// What it counted, for the wire, as that of a class of status.
    #[must_use]
    pub fn to_traffic(&self, class: u8) -> ClassTraffic {
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let buckets = counted.map(|(bucket, count)| (bucket as u16, *count)).collect();
        ClassTraffic { class, sum_us: self.sum_us, buckets }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// Microseconds of all together.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// So many of a thousand took at most this many microseconds, a sixteenth too high at most. None: none was counted.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> Option<u64> {
        let wanted = (self.count() * per_mille.min(1000)).div_ceil(1000).max(1);
        let mut below = 0;
        self.counts
            .iter()
            .position(|count| {
                below += u64::from(*count);
                below >= wanted
            })
            .map(upper_end)
    }

    /// Buckets that are not empty: the longest time in each, and how many there are up to it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below = 0;
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(bucket, count)| {
            below += u64::from(*count);
            (upper_end(bucket), below)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_join_without_a_gap() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(next), bucket, "{next} µs");
            assert_eq!(bucket_of(upper_end(bucket)), bucket);
            next = upper_end(bucket) + 1;
        }
        assert_eq!(next, LONGEST + 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_none_are_none_and_of_one_are_that_one() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), None);
        histogram.record(7);
        for per_mille in [0, 500, 999, 1000] {
            assert_eq!(histogram.quantile(per_mille), Some(7));
        }
    }

    fn of(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        times.iter().for_each(|time| histogram.record(*time));
        histogram
    }

    proptest! {
        #[test]
        fn a_quantile_is_a_sixteenth_too_high_at_most(
            mut times in prop::collection::vec(0..LONGEST, 1..300),
            per_mille in 1_u64..=1000,
        ) {
            let told = of(&times).quantile(per_mille).unwrap();
            times.sort_unstable();
            let place = (times.len() as u64 * per_mille).div_ceil(1000) as usize - 1;
            prop_assert!(told >= times[place], "{told} for {}", times[place]);
            prop_assert!(told <= times[place] + times[place] / 16, "{told} for {}", times[place]);
        }

        #[test]
        fn parts_add_up_to_the_whole_directly_and_over_the_wire(
            one in prop::collection::vec(any::<u32>(), 0..100),
            other in prop::collection::vec(any::<u32>(), 0..100),
        ) {
            let (one, other): (Vec<u64>, Vec<u64>) =
                (one.into_iter().map(u64::from).collect(), other.into_iter().map(u64::from).collect());
            let whole = of(&[one.clone(), other.clone()].concat());
            let mut merged = of(&one);
            merged.merge(&of(&other));
            prop_assert_eq!(&merged, &whole);
            let mut sent = Histogram::default();
            sent.add(&of(&other).to_traffic(2));
            sent.add(&of(&one).to_traffic(2));
            prop_assert_eq!(&sent, &whole);
            prop_assert_eq!(sent.cumulative().last().map_or(0, |(_, all)| all), whole.count());
        }
    }
}
