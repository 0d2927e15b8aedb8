//! Sums since the process began, for whoever looks now and then and finds out by himself what was added.
//!
//! They are kept only where somebody wants them. A thread leaves what it saw in a second beside what goes to the server, so
//! neither takes anything from the other; what that comes to is added up elsewhere, when it is asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_kit::clock::Moment;
use tandem_types::traffic::Served;

use super::outbox::lock;
use super::{Interval, trace};

/// Ends of the buckets in microseconds. What is sought about pages lies between some milliseconds and some seconds.
const BOUNDS_US: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];
/// Seconds of a thread that wait at most to be added up. Who adds does so each second.
const MOST_WAITING: usize = 120;

/// Whose requests; none: of no app.
type Whose = Option<Arc<Served>>;

/// How long the requests of a class of status took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassTotal {
    /// By bucket, the last one for what is longer than any.
    counts: [u64; BOUNDS_US.len() + 1],
    /// Microseconds of all together.
    pub sum_us: u64,
}

/// What was seen of a release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Total {
    /// By the first digit of the status; 0: there was none.
    pub classes: [Option<Box<ClassTotal>>; 6],
    /// Answers that did not get to their end.
    pub cut: u64,
    /// Bytes of requests' bodies.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
    /// Requests under way.
    pub in_flight: u64,
}

/// The sums of all threads.
#[derive(Debug)]
pub struct Totals {
    /// By thread: seconds that were not added up yet.
    waiting: Box<[Mutex<Vec<Second>>]>,
    sums: Mutex<Sums>,
}

/// What a thread saw in a second.
type Second = Vec<(Whose, Total)>;

#[derive(Debug, Default)]
struct Sums {
    by_release: HashMap<Whose, (Total, Moment)>,
    /// By thread: what was under way when it told last.
    under_way: Box<[Vec<(Whose, u64)>]>,
}

impl ClassTotal {
    /// The ends of buckets in microseconds, each with the number of requests that were quicker for certain. The histogram of
    /// which this is made is coarser by a sixteenth, so some that took almost as long count as longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below = 0;
        BOUNDS_US.iter().zip(&self.counts).map(move |(bound, count)| {
            below += count;
            (*bound, below)
        })
    }

    /// All that were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }
}

impl Total {
    /// What was added, and what is under way.
    fn of(interval: &Interval, in_flight: u64) -> Self {
        let classes = interval.classes().each_ref().map(|class| {
            let histogram = class.as_deref()?;
            let mut total = ClassTotal { sum_us: histogram.sum_us(), ..ClassTotal::default() };
            let mut before = 0;
            for (end, up_to) in histogram.cumulative() {
                total.counts[BOUNDS_US.partition_point(|bound| *bound < end)] += up_to - before;
                before = up_to;
            }
            Some(Box::new(total))
        });
        let (cut, [bytes_in, bytes_out]) = (interval.cut(), interval.bytes());
        Self { classes, cut, bytes_in, bytes_out, in_flight }
    }

    /// Adds what was added, and leaves what is under way alone.
    fn add(&mut self, other: &Self) {
        for (class, more) in self.classes.iter_mut().zip(&other.classes) {
            if let Some(more) = more {
                class.get_or_insert_default().add(more);
            }
        }
        self.cut += other.cut;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

impl Totals {
    /// For so many threads.
    pub(super) fn new(threads: usize) -> Self {
        let under_way = (0..threads).map(|_| Vec::new()).collect();
        let sums = Mutex::new(Sums { under_way, ..Sums::default() });
        Self { waiting: (0..threads).map(|_| Mutex::default()).collect(), sums }
    }

    /// A thread's last second. Never waits for who adds up. Where nobody does, the oldest is lost.
    pub(super) fn put(&self, thread: usize, releases: &[(Whose, u64, Interval)]) {
        let of = |(whose, in_flight, interval): &(Whose, u64, Interval)| {
            (whose.clone(), Total::of(interval, *in_flight))
        };
        let second = releases.iter().map(of).collect();
        let mut waiting = lock(&self.waiting[thread]);
        if waiting.len() >= MOST_WAITING {
            waiting.remove(0);
        }
        waiting.push(second);
    }

    /// Adds up what the threads saw meanwhile; to be called each second.
    pub fn collect(&self) {
        let (mut sums, now) = (lock(&self.sums), trace::now());
        let Sums { by_release, under_way } = &mut *sums;
        for (waiting, under_way) in self.waiting.iter().zip(under_way) {
            let seconds = std::mem::take(&mut *lock(waiting));
            let Some(newest) = seconds.last() else { continue };
            // A thread does not speak of releases of which it sees nothing.
            *under_way = newest.iter().map(|(whose, total)| (whose.clone(), total.in_flight)).collect();
            for (whose, added) in seconds.into_iter().flatten() {
                let (total, last) = by_release.entry(whose).or_insert_with(|| (Total::default(), now));
                total.add(&added);
                *last = now;
            }
        }
    }

    /// Everything up to the second before, in the order of names.
    #[must_use]
    pub fn read(&self) -> BTreeMap<Option<Served>, Total> {
        self.collect();
        let sums = lock(&self.sums);
        let owned = |whose: &Whose| whose.as_deref().cloned();
        let mut all: BTreeMap<_, _> =
            sums.by_release.iter().map(|(whose, (total, _))| (owned(whose), total.clone())).collect();
        for (whose, in_flight) in sums.under_way.iter().flatten() {
            all.entry(owned(whose)).or_default().in_flight += in_flight;
        }
        all
    }

    /// Forgets releases of which nothing was seen for so long, but those that are served: what is gone must not pile up.
    pub fn forget(&self, idle: Duration, is_served: impl Fn(&Served) -> bool) {
        let now = trace::now();
        let is_needed = |whose: &Whose| whose.as_deref().is_none_or(&is_served);
        let mut sums = lock(&self.sums);
        sums.by_release.retain(|whose, (_, last)| now.elapsed_since(*last) < idle || is_needed(whose));
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tandem_types::traffic::AnsweredBy;

    use super::super::{Facts, Outbox, Recorder, Seen, Trace};
    use super::*;

    fn facts(status: u16, total_us: u64) -> Facts {
        Facts {
            at_us: 0,
            instance: None,
            status: StatusCode::from_u16(status).ok(),
            by: AnsweredBy::Instance,
            retried: false,
            cut: status == 500,
            bytes_in: 3,
            bytes_out: 5,
            queue_us: 0,
            connect_us: 0,
            first_byte_us: 0,
            total_us,
        }
    }

    fn served(release: &str) -> Whose {
        Some(Arc::new(Served {
            app: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            release: release.parse().unwrap(),
        }))
    }

    fn seen(requests: &[(u16, u64)]) -> Interval {
        let mut interval = Interval::default();
        requests.iter().for_each(|(status, micros)| interval.add(facts(*status, *micros), &Seen::default()));
        interval
    }

    #[test]
    fn no_request_counts_as_quicker_than_it_was_and_the_sum_is_exact() {
        let times = [0, 400, 499, 500, 501, 990, 1_100, 70_000, 55_000_000, 61_000_000, u64::from(u32::MAX)];
        let interval = seen(&times.map(|micros| (200, micros)));
        let Total { classes: [None, None, Some(class), None, None, None], .. } = Total::of(&interval, 0)
        else {
            panic!("only one class")
        };
        for (bound, below) in class.cumulative() {
            let (surely, at_most) = (bound - bound / 16, bound);
            let (least, most) =
                [surely, at_most].map(|end| times.iter().filter(|t| **t <= end).count()).into();
            assert!((least as u64..=most as u64).contains(&below), "{below} up to {bound}");
        }
        assert_eq!(class.cumulative().last(), Some((60_000_000, 9)));
        assert_eq!((class.count(), class.sum_us), (11, times.iter().sum()));
    }

    #[test]
    fn seconds_and_threads_add_up_and_what_is_under_way_is_the_newest() {
        let totals = Totals::new(2);
        let put = |thread, requests: &[(u16, u64)], open| {
            totals.put(thread, &[(served("r1"), open, seen(requests))]);
        };
        put(0, &[(200, 10), (500, 10)], 7);
        put(0, &[(204, 10)], 2);
        put(1, &[(200, 10)], 1);
        let read = || totals.read().remove(&served("r1").map(|served| Served::clone(&served))).unwrap();
        let count = |total: &Total, class: usize| total.classes[class].as_ref().map(|class| class.count());
        let total = read();
        assert_eq!((count(&total, 2), count(&total, 5), count(&total, 4)), (Some(3), Some(1), None));
        assert_eq!((total.cut, total.bytes_in, total.bytes_out, total.in_flight), (1, 12, 20, 3));
        assert_eq!(read(), total, "reading takes nothing away");
        totals.put(0, &[]);
        put(1, &[(200, 10)], 0);
        let total = read();
        assert_eq!((count(&total, 2), total.in_flight), (Some(4), 0));
    }

    #[test]
    fn releases_that_are_gone_are_forgotten_and_those_that_are_served_are_not() {
        let totals = Totals::new(1);
        let releases = [served("r1"), served("r2"), None];
        totals.put(0, &releases.map(|whose| (whose, 0, seen(&[(200, 1)]))));
        totals.collect();
        let is_served = |served: &Served| served.release.0 == 2;
        totals.forget(Duration::from_secs(3600), is_served);
        assert_eq!(totals.read().len(), 3, "it is not long ago");
        totals.put(0, &[]);
        totals.collect();
        totals.forget(Duration::ZERO, is_served);
        let left: Vec<_> = totals.read().into_keys().map(|served| served.map(|s| s.release.0)).collect();
        assert_eq!(left, [None, Some(2)]);
    }

    #[test]
    fn what_waits_is_bounded_where_nobody_adds_up() {
        let totals = Totals::new(1);
        (0..1000).for_each(|_| totals.put(0, &[(None, 0, seen(&[(404, 1)]))]));
        let total = totals.read().remove(&None).unwrap();
        assert_eq!(total.classes[4].as_ref().unwrap().count(), MOST_WAITING as u64);
    }

    #[test]
    fn neither_the_server_nor_who_reads_the_sums_takes_anything_from_the_other() {
        let outbox = Arc::new(Outbox::new(1));
        let totals = outbox.keep_totals();
        let recorder = Recorder::new(Arc::clone(&outbox), 0);
        let counts = || {
            let identity = ("edge".parse().unwrap(), tandem_types::Timestamp::UNIX_EPOCH);
            let reported = outbox.report(identity).map_or(0, |report| {
                let classes = report.releases.iter().flat_map(|release| &release.classes);
                classes.flat_map(|class| &class.buckets).map(|(_, count)| *count).sum()
            });
            let kept = totals.read().remove(&None).unwrap_or_default();
            (reported, kept.classes.iter().flatten().map(|class| class.count()).sum::<u64>())
        };
        recorder.finish(&Trace::begin(), &Seen::default());
        recorder.drain();
        assert_eq!(counts(), (1, 1));
        assert_eq!(counts(), (0, 1));
        recorder.finish(&Trace::begin(), &Seen::default());
        recorder.drain();
        totals.collect();
        assert_eq!(counts(), (1, 2));
    }
}
