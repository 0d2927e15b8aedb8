//! What is known of a request while it is under way.

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use tandem_kit::clock::{Clock, Moment};
use tandem_types::InstanceId;
use tandem_types::traffic::AnsweredBy;

use crate::{Facts, Kept, Recorder, Seen, Slot};

/// Goes along with a request. The clock is read three times: now, when the head of the answer is there, and at the end;
/// twice more where a connection is made, which costs much more than that.
#[derive(Debug)]
pub struct Trace {
    began: Moment,
    answered: Option<Moment>,
    slot: Option<Rc<Slot>>,
    instance: Option<InstanceId>,
    status: Option<StatusCode>,
    by: AnsweredBy,
    attempts: u32,
    queue: Duration,
    connect: Duration,
    bytes_in: u64,
    bytes_out: u64,
    is_whole: bool,
    has_moved_on: bool,
}

/// The moment.
pub fn now() -> Moment {
    Clock::system().monotonic()
}

impl Trace {
    /// A request's head has come in.
    pub fn begin() -> Self {
        Self::since(now())
    }

    fn since(began: Moment) -> Self {
        Self {
            began,
            answered: None,
            slot: None,
            instance: None,
            status: None,
            by: AnsweredBy::default(),
            attempts: 0,
            queue: Duration::ZERO,
            connect: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            is_whole: false,
            has_moved_on: false,
        }
    }

    /// Whose it is. It counts as under way there until this is dropped.
    pub fn belongs_to(&mut self, slot: Rc<Slot>) {
        slot.begin();
        if let Some(before) = self.slot.replace(slot) {
            before.end();
        }
    }

    /// It is about to be sent to an instance.
    pub fn attempted(&mut self, instance: InstanceId) {
        self.instance = Some(instance);
        self.attempts += 1;
    }

    /// It goes over a connection that was made for it: since when, and how long that took.
    pub fn connected(&mut self, (began, took): (Moment, Duration)) {
        self.queue = began.elapsed_since(self.began);
        self.connect += took;
    }

    /// The head of the answer is there.
    pub fn answered(&mut self, by: AnsweredBy, status: StatusCode) {
        (self.by, self.status, self.answered) = (by, Some(status), Some(now()));
    }

    /// So much of the bodies went in and out.
    pub fn moved(&mut self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
    }

    /// The answer was handed over to its end.
    pub fn whole(&mut self) {
        self.is_whole = true;
    }

    /// Leaves in its place one of which nothing is recorded: the request goes on elsewhere.
    fn move_on(&mut self) -> Self {
        let mut left = Self::since(self.began);
        left.has_moved_on = true;
        std::mem::replace(self, left)
    }

    /// Whose it was.
    pub(super) fn slot(&self) -> Option<&Rc<Slot>> {
        self.slot.as_ref()
    }

    /// What it came to, now that it is over. None: it goes on elsewhere. `wall_us` tells the wall time of a moment.
    pub(super) fn facts(&self, wall_us: impl Fn(Moment) -> i64) -> Option<Facts> {
        if self.has_moved_on {
            return None;
        }
        let end = now();
        let after = |moment: Moment| micros(moment.elapsed_since(self.began));
        Some(Facts {
            at_us: wall_us(self.began),
            instance: self.instance,
            status: self.status,
            by: self.by,
            retried: self.attempts > 1,
            cut: !self.is_whole,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            queue_us: micros(self.queue),
            connect_us: micros(self.connect),
            first_byte_us: after(self.answered.unwrap_or(end)),
            total_us: after(end),
        })
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            slot.end();
        }
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// A request that goes on when its head is gone; recorded when this is dropped.
#[derive(Debug)]
pub struct Unfinished {
    recorder: Rc<Recorder>,
    /// Under which it goes on.
    pub trace: Trace,
    kept: Box<Kept>,
}

impl Unfinished {
    /// A request that goes on under this trace from now on.
    pub fn new(recorder: &Rc<Recorder>, trace: &mut Trace, seen: &Seen<'_>) -> Self {
        Self { recorder: Rc::clone(recorder), trace: trace.move_on(), kept: Box::new(Kept::of(seen)) }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.recorder.finish(&self.trace, &self.kept.seen());
    }
}
