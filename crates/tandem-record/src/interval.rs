//! What was added of one release since somebody asked last.

use std::sync::Arc;

use tandem_rules::histogram::Histogram;
use tandem_types::traffic::{ReleaseTraffic, RequestRecord, Served};

use super::kept::Slowest;
use super::{Facts, Seen};

/// See the module. A histogram takes 2 kB, and only where there was such a status.
#[derive(Debug, Default)]
pub struct Interval {
    classes: [Option<Box<Histogram>>; 6],
    cut: u64,
    bytes_in: u64,
    bytes_out: u64,
    slowest: Slowest,
}

impl Interval {
    /// Counts a request.
    pub(super) fn add(&mut self, facts: Facts, seen: &Seen<'_>) {
        self.classes[facts.class()].get_or_insert_default().record(facts.total_us);
        self.cut += u64::from(facts.cut);
        self.bytes_in += facts.bytes_in;
        self.bytes_out += facts.bytes_out;
        // A tunnel is not slow: it lasts as long as people look.
        if facts.class() != 1 {
            self.slowest.offer(facts, seen);
        }
    }

    /// Whether there was none.
    pub(super) fn is_empty(&self) -> bool {
        self.classes.iter().all(Option::is_none)
    }

    /// Adds what another thread counted.
    pub(super) fn merge(&mut self, other: Self) {
        for (class, more) in self.classes.iter_mut().zip(other.classes) {
            match (class, more) {
                (Some(class), Some(more)) => class.merge(&more),
                (class @ None, more) => *class = more,
                (Some(_), None) => {}
            }
        }
        self.cut += other.cut;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.slowest.merge(other.slowest);
    }

    /// How long requests took, by class of status.
    pub(super) fn classes(&self) -> &[Option<Box<Histogram>>; 6] {
        &self.classes
    }

    /// Answers that did not get to their end.
    pub(super) fn cut(&self) -> u64 {
        self.cut
    }

    /// Bytes of bodies that came in and went out.
    pub(super) fn bytes(&self) -> [u64; 2] {
        [self.bytes_in, self.bytes_out]
    }

    /// For the wire: the sums.
    pub(super) fn to_traffic(&self, served: Option<&Arc<Served>>, in_flight: u64) -> ReleaseTraffic {
        let classes = self.classes.iter().zip(0..);
        let classes = classes.filter_map(|(class, number)| Some(class.as_ref()?.to_traffic(number)));
        ReleaseTraffic {
            served: served.map(|served| Served::clone(served)),
            in_flight,
            cut: self.cut,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            classes: classes.collect(),
        }
    }

    /// For the wire: the slowest.
    pub(super) fn slowest(&self, served: Option<&Arc<Served>>) -> impl Iterator<Item = RequestRecord> {
        self.slowest.iter().filter_map(move |kept| kept.to_record(served))
    }
}
