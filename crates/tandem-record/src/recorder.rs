//! Where a thread writes its records down.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tandem_kit::clock::{Clock, Moment};
use tandem_types::traffic::Served;

use super::outbox::Drained;
use super::{Interval, Latest, Outbox, Seen, Trace, trace};

/// Ticks between two times that what was added is put into the outbox: a second.
const DRAIN_TICKS: u32 = 2;
/// Times in a row that nothing was added to a release, and nothing is under way, after which it is forgotten: a minute.
const IDLE: u32 = 60;

/// A thread's records.
#[derive(Debug)]
pub struct Recorder {
    outbox: Arc<Outbox>,
    number: usize,
    slots: RefCell<Slots>,
    /// Of requests of no app.
    nobodys: Rc<Slot>,
    latest: RefCell<Latest>,
    /// A moment, and its wall time in microseconds since 1970: the wall clock is read once a tick.
    anchor: Cell<(Moment, i64)>,
    ticks: Cell<u32>,
}

/// The releases that a thread has seen lately.
#[derive(Debug, Default)]
struct Slots {
    by_name: HashMap<Arc<Served>, Rc<Slot>>,
    /// Looked up at each request, by where the name lies in memory, which costs less than to compare names. The name is held
    /// here, so nothing else can come to lie there.
    by_address: FxHashMap<usize, (Arc<Served>, Rc<Slot>)>,
}

/// What a thread has seen of one release.
#[derive(Debug, Default)]
pub struct Slot {
    served: Option<Arc<Served>>,
    in_flight: Cell<u64>,
    interval: RefCell<Interval>,
    idle: Cell<u32>,
}

impl Slot {
    /// Which release; none: requests of no app.
    pub(super) fn served(&self) -> Option<&Arc<Served>> {
        self.served.as_ref()
    }

    /// A request begins.
    pub(super) fn begin(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// A request ends.
    pub(super) fn end(&self) {
        self.in_flight.set(self.in_flight.get() - 1);
    }

    /// What was added, and what is under way; none where there is neither.
    fn drain(&self) -> Option<(Option<Arc<Served>>, u64, Interval)> {
        let (interval, in_flight) = (self.interval.take(), self.in_flight.get());
        if interval.is_empty() && in_flight == 0 {
            self.idle.set(self.idle.get() + 1);
            return None;
        }
        self.idle.set(0);
        Some((self.served.clone(), in_flight, interval))
    }

    fn is_idle(&self) -> bool {
        self.idle.get() >= IDLE && self.in_flight.get() == 0 && self.interval.borrow().is_empty()
    }
}

impl Recorder {
    /// The records of a thread.
    pub fn new(outbox: Arc<Outbox>, number: usize) -> Self {
        Self {
            outbox,
            number,
            slots: RefCell::default(),
            nobodys: Rc::default(),
            latest: RefCell::default(),
            anchor: Cell::new(anchor()),
            ticks: Cell::new(0),
        }
    }

    /// Where the requests of a release are counted.
    pub fn slot(&self, served: &Arc<Served>) -> Rc<Slot> {
        let mut slots = self.slots.borrow_mut();
        let Slots { by_name, by_address } = &mut *slots;
        let address = Arc::as_ptr(served).addr();
        let (_, slot) = by_address.entry(address).or_insert_with(|| {
            let slot = by_name.entry(Arc::new(Served::clone(served)));
            let slot = slot.or_insert_with_key(|served| {
                Rc::new(Slot { served: Some(Arc::clone(served)), ..Slot::default() })
            });
            (Arc::clone(served), Rc::clone(slot))
        });
        Rc::clone(slot)
    }

    /// Writes down a request that is over.
    pub fn finish(&self, trace: &Trace, seen: &Seen<'_>) {
        let (anchor, wall_us) = self.anchor.get();
        let wall_us = |moment: Moment| {
            let (after, before) = (moment.elapsed_since(anchor), anchor.elapsed_since(moment));
            wall_us + after.as_micros() as i64 - before.as_micros() as i64
        };
        let Some(facts) = trace.facts(wall_us) else { return };
        let slot = trace.slot();
        slot.unwrap_or(&self.nobodys).interval.borrow_mut().add(facts, seen);
        self.latest.borrow_mut().keep(slot, facts, seen);
        if let Some(log) = self.outbox.access_log() {
            let served = slot.and_then(|slot| slot.served());
            log.write(self.number, served.map(AsRef::as_ref), (&facts, seen));
        }
    }

    /// A tick has passed.
    pub fn tick(&self) {
        self.anchor.set(anchor());
        self.ticks.set((self.ticks.get() + 1) % DRAIN_TICKS);
        if self.ticks.get() == 0 {
            self.drain();
        }
    }

    /// Puts what was added into the outbox.
    pub fn drain(&self) {
        let mut slots = self.slots.borrow_mut();
        let all = slots.by_name.values().chain([&self.nobodys]);
        let releases: Vec<_> = all.filter_map(|slot| slot.drain()).collect();
        slots.by_address.retain(|_, (served, slot)| Arc::strong_count(served) > 1 && !slot.is_idle());
        slots.by_name.retain(|_, slot| !slot.is_idle());
        let drained = Drained { releases, latest: self.latest.borrow_mut().tell() };
        self.outbox.put(self.number, drained);
    }
}

fn anchor() -> (Moment, i64) {
    (trace::now(), Clock::system().now().as_microsecond())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tandem_types::traffic::AnsweredBy;

    use super::*;

    fn served(release: &str) -> Arc<Served> {
        Arc::new(Served {
            app: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            release: release.parse().unwrap(),
        })
    }

    fn trace_of(recorder: &Recorder, served: &Arc<Served>) -> Trace {
        let mut trace = Trace::begin();
        trace.belongs_to(recorder.slot(served));
        trace.answered(AnsweredBy::Instance, StatusCode::OK);
        trace
    }

    #[test]
    fn routes_of_one_release_are_counted_together_whatever_table_they_are_of() {
        let outbox = Arc::new(Outbox::new(1));
        let recorder = Recorder::new(Arc::clone(&outbox), 0);
        let (one, again, other) = (served("r1"), served("r1"), served("r2"));
        for served in [&one, &again, &other] {
            recorder.finish(&trace_of(&recorder, served), &Seen::default());
        }
        recorder.finish(&Trace::begin(), &Seen::default());
        let open = trace_of(&recorder, &again);
        drop((one, again));
        recorder.drain();
        let identity = ("edge".parse().unwrap(), tandem_types::Timestamp::UNIX_EPOCH);
        let report = outbox.report(identity.clone()).unwrap();
        let count = |report: &tandem_types::traffic::TrafficReport, release: Option<u64>| {
            let is = |served: &Option<Served>| served.as_ref().map(|served| served.release.0) == release;
            let traffic = report.releases.iter().find(|traffic| is(&traffic.served)).unwrap();
            let counts = traffic.classes.iter().flat_map(|class| &class.buckets);
            (counts.map(|(_, count)| *count).sum::<u32>(), traffic.in_flight)
        };
        assert_eq!(report.releases.len(), 3);
        assert_eq!(count(&report, Some(1)), (2, 1));
        assert_eq!((count(&report, Some(2)), count(&report, None)), ((1, 0), (1, 0)));
        assert_eq!((report.latest.len(), report.slowest.len()), (4, 4));
        recorder.drain();
        assert_eq!(count(&outbox.report(identity.clone()).unwrap(), Some(1)), (0, 1), "only what was added");
        drop(open);
        recorder.drain();
        assert!(outbox.report(identity).is_none());
        assert_eq!(recorder.slots.borrow().by_address.len(), 1, "names that no table has any more are gone");
    }

    #[test]
    fn a_release_without_requests_is_forgotten_after_a_minute_unless_one_is_open() {
        let outbox = Arc::new(Outbox::new(1));
        let recorder = Recorder::new(outbox, 0);
        let (gone, open) = (served("r1"), served("r2"));
        recorder.finish(&trace_of(&recorder, &gone), &Seen::default());
        let trace = trace_of(&recorder, &open);
        (0..=IDLE).for_each(|_| recorder.drain());
        assert_eq!(recorder.slots.borrow().by_name.keys().collect::<Vec<_>>(), [&open]);
        recorder.finish(&trace_of(&recorder, &gone), &Seen::default());
        drop(trace);
        assert_eq!(recorder.slots.borrow().by_name.len(), 2);
    }
}
