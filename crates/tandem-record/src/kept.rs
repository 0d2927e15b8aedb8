//! Records that are kept for a while: in memory that is used again and again.

use std::rc::Rc;
use std::sync::Arc;

use tandem_types::Timestamp;
use tandem_types::traffic::{RequestRecord, Served};

use super::{Facts, Seen, Slot};

/// Longest text kept of anything that a client sent, in bytes.
const LONGEST: usize = 512;
/// Latest requests that a thread keeps. With the limit above at most 160 KiB, a tenth of that as clients are.
const LATEST: usize = 64;
/// Of these, how many are told each second.
const LATEST_TOLD: usize = 16;

/// A record in memory of its own. Without facts it has not come to its end yet.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    facts: Option<Facts>,
    /// Method, host, path, id, client, one behind the other.
    text: String,
    ends: [usize; 5],
}

impl Kept {
    /// What was asked for.
    pub(super) fn of(seen: &Seen<'_>) -> Self {
        let mut kept = Self::default();
        kept.copy(seen);
        kept
    }

    /// Takes the place of what was here.
    fn set(&mut self, facts: Facts, seen: &Seen<'_>) {
        self.facts = Some(facts);
        self.text.clear();
        self.copy(seen);
    }

    fn copy(&mut self, seen: &Seen<'_>) {
        let parts = [seen.method, seen.host, seen.path(), seen.id, seen.client];
        for (part, end) in parts.into_iter().zip(&mut self.ends) {
            self.text.push_str(&part[..part.floor_char_boundary(LONGEST)]);
            *end = self.text.len();
        }
    }

    /// What was asked for.
    pub(super) fn seen(&self) -> Seen<'_> {
        let [method, host, target, id, client] = self.parts();
        Seen { method, host, target, id, client, head: None }
    }

    fn parts(&self) -> [&str; 5] {
        let mut start = 0;
        self.ends.map(|end| &self.text[std::mem::replace(&mut start, end)..end])
    }

    /// How long it took.
    pub(super) fn total_us(&self) -> u64 {
        self.facts.map_or(0, |facts| facts.total_us)
    }

    /// When it began, in microseconds since 1970.
    pub(super) fn at_us(&self) -> i64 {
        self.facts.map_or(0, |facts| facts.at_us)
    }

    /// For the wire. None where it has not come to its end.
    pub(super) fn to_record(&self, served: Option<&Arc<Served>>) -> Option<RequestRecord> {
        let facts = self.facts?;
        let [method, host, path, request_id, client] = self.parts().map(str::to_owned);
        Some(RequestRecord {
            time: Timestamp::from_microsecond(facts.at_us).unwrap_or_default(),
            served: served.map(|served| Served::clone(served)),
            instance: facts.instance,
            method,
            host,
            path,
            status: facts.status.map(|status| status.as_u16()),
            answered_by: facts.by,
            retried: facts.retried,
            cut: facts.cut,
            bytes_in: facts.bytes_in,
            bytes_out: facts.bytes_out,
            queue_us: facts.queue_us,
            connect_us: facts.connect_us,
            first_byte_us: facts.first_byte_us,
            total_us: facts.total_us,
            request_id,
            client,
        })
    }
}

/// A few of the slowest requests.
#[derive(Debug, Default)]
pub struct Slowest(Vec<Kept>);

impl Slowest {
    /// How many are kept: as many as the server keeps of a minute, so that none of those is missed.
    const MOST: usize = 10;

    /// Keeps a request if it is one of them.
    pub(super) fn offer(&mut self, facts: Facts, seen: &Seen<'_>) {
        if self.0.len() < Self::MOST {
            let mut kept = Kept::default();
            kept.set(facts, seen);
            return self.0.push(kept);
        }
        let quickest = self.0.iter_mut().min_by_key(|kept| kept.total_us());
        if let Some(quickest) = quickest.filter(|kept| kept.total_us() < facts.total_us) {
            quickest.set(facts, seen);
        }
    }

    /// Takes in those of another thread.
    pub(super) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort_by_key(|kept| std::cmp::Reverse(kept.total_us()));
        self.0.truncate(Self::MOST);
    }

    /// The slowest.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.0.iter()
    }
}

/// The latest requests of a thread, in a ring.
#[derive(Debug, Default)]
pub struct Latest {
    ring: Vec<(Option<Rc<Slot>>, Kept)>,
    next: usize,
    /// How many of them nobody was told of.
    fresh: usize,
}

impl Latest {
    /// Keeps a request in the place of the one that was kept longest.
    pub(super) fn keep(&mut self, slot: Option<&Rc<Slot>>, facts: Facts, seen: &Seen<'_>) {
        if self.ring.len() <= self.next {
            self.ring.push(<_>::default());
        }
        let (whose, kept) = &mut self.ring[self.next];
        *whose = slot.map(Rc::clone);
        kept.set(facts, seen);
        self.next = (self.next + 1) % LATEST;
        self.fresh = (self.fresh + 1).min(LATEST_TOLD);
    }

    /// Some that nobody was told of, the latest last.
    pub(super) fn tell(&mut self) -> Vec<(Option<Arc<Served>>, Kept)> {
        let fresh = std::mem::take(&mut self.fresh);
        let places = (1..=fresh).rev().map(|back| (self.next + LATEST - back) % LATEST);
        places
            .map(|place| {
                let (slot, kept) = &self.ring[place];
                (slot.as_ref().and_then(|slot| slot.served().cloned()), kept.clone())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use tandem_types::traffic::AnsweredBy;

    use super::*;

    fn facts(total_us: u64) -> Facts {
        Facts {
            at_us: 1_800_000_000_000_000,
            instance: None,
            status: http::StatusCode::from_u16(200).ok(),
            by: AnsweredBy::Instance,
            retried: false,
            cut: false,
            bytes_in: 0,
            bytes_out: 0,
            queue_us: 0,
            connect_us: 0,
            first_byte_us: 0,
            total_us,
        }
    }

    fn seen(target: &str) -> Seen<'_> {
        Seen { method: "GET", host: "shop.example", target, id: "id", client: "192.0.2.7", head: None }
    }

    #[test]
    fn the_ring_tells_the_latest_once_in_their_order_and_takes_bounded_memory() {
        let mut latest = Latest::default();
        let long = format!("/{}ü", "a".repeat(LONGEST - 2));
        let told = |latest: &mut Latest| -> Vec<u64> {
            latest.tell().iter().map(|(_, kept)| kept.total_us()).collect()
        };
        (0..3).for_each(|number| latest.keep(None, facts(number), &seen("/")));
        assert_eq!(told(&mut latest), [0, 1, 2]);
        assert_eq!(told(&mut latest), [0; 0]);
        (0..1000).for_each(|number| latest.keep(None, facts(number), &seen(&long)));
        assert_eq!(told(&mut latest), (1000 - LATEST_TOLD as u64..1000).collect::<Vec<_>>());
        assert_eq!(latest.ring.len(), LATEST);
        let bytes: usize = latest.ring.iter().map(|(_, kept)| kept.text.capacity()).sum();
        assert!(bytes <= 160 * 1024, "{bytes}");
    }

    #[test]
    fn a_record_has_no_query_and_is_cut_between_letters() {
        let long = format!("/{}ü?secret", "a".repeat(LONGEST - 2));
        let mut kept = Kept::of(&seen(&long));
        assert!(kept.to_record(None).is_none(), "it goes on");
        kept.set(facts(1), &seen(&long));
        let record = kept.to_record(None).unwrap();
        assert_eq!(record.path, long[..LONGEST - 1]);
        assert_eq!((record.host.as_str(), record.client.as_str()), ("shop.example", "192.0.2.7"));
        assert_eq!(record.time.as_second(), 1_800_000_000);
    }

    #[test]
    fn the_slowest_are_kept_however_they_come() {
        let (mut one, mut other) = (Slowest::default(), Slowest::default());
        for number in 0..100_u64 {
            one.offer(facts(number * 37 % 100), &seen("/"));
            other.offer(facts(number), &seen("/"));
        }
        let times = |slowest: &Slowest| {
            let mut times: Vec<_> = slowest.iter().map(Kept::total_us).collect();
            times.sort_unstable();
            times
        };
        assert_eq!(times(&one), (90..100).collect::<Vec<_>>());
        one.merge(other);
        assert_eq!(times(&one), [95, 95, 96, 96, 97, 97, 98, 98, 99, 99]);
    }
}
