//! Between a shim that must never wait and a disk that may.
//!
//! The shim puts lines in and never waits for more than a lock that is held for the length of a copy. What does not fit
//! is counted. The writer takes everything at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines that wait for the disk, in bytes: a second of a loud app, and little beside the app itself.
const MOST_BYTES: usize = 1024 * 1024;

/// Lines on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: String,
    /// Not told yet.
    dropped: u64,
    dropped_in_all: u64,
    closed: bool,
    /// The writer has nothing in hand.
    written: bool,
    /// The disk refuses what the writer has in hand.
    stalled: bool,
}

/// What the writer takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Whole lines.
    pub lines: String,
    /// Lines that were dropped behind these.
    pub dropped: u64,
}

impl Queue {
    /// Puts a line in, or counts it.
    pub(super) fn put(&self, line: &str) {
        let mut state = self.lock();
        // Once one was dropped, so are all until the writer has been here: the remark tells of one gap.
        if state.dropped > 0 || state.lines.len() + line.len() > MOST_BYTES {
            state.dropped += 1;
            state.dropped_in_all += 1;
            return;
        }
        state.lines.push_str(line);
        self.changed.notify_all();
    }

    /// Takes everything; waits for it. None: closed, and empty.
    pub(super) fn take(&self) -> Option<Taken> {
        let mut state = self.lock();
        loop {
            if !state.lines.is_empty() || state.dropped > 0 {
                state.written = false;
                let dropped = std::mem::take(&mut state.dropped);
                return Some(Taken { lines: std::mem::take(&mut state.lines), dropped });
            }
            state.written = true;
            self.changed.notify_all();
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until everything is written, for at most `limit`; not at all for a disk that refuses.
    pub(super) fn wait_until_written(&self, limit: Duration) {
        let state = self.lock();
        let busy = |state: &mut State| {
            let is_done = state.written && state.lines.is_empty() && state.dropped == 0;
            !state.stalled && !is_done
        };
        let _ = self.changed.wait_timeout_while(state, limit, busy);
    }

    /// Waits before another try, for at most `limit`; less where the queue is closed meanwhile.
    pub(super) fn pause(&self, limit: Duration) {
        let state = self.lock();
        let _ = self.changed.wait_timeout_while(state, limit, |state| !state.closed);
    }

    /// Notes whether the disk refuses.
    pub(super) fn stall(&self, stalled: bool) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.stalled, stalled) != stalled {
            self.changed.notify_all();
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Lines dropped since the beginning.
    pub(super) fn dropped_in_all(&self) -> u64 {
        self.lock().dropped_in_all
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_disk_that_refuses() {
        let queue = Queue::default();
        queue.put("a line\n");
        queue.stall(true);
        // Would never return otherwise.
        queue.wait_until_written(Duration::MAX);
    }

    #[test]
    fn a_writer_that_hangs_costs_lines_and_never_time() {
        let queue = Queue::default();
        let line = "x".repeat(1024);
        for _ in 0..2_000 {
            queue.put(&line);
        }
        assert_eq!(queue.dropped_in_all(), 2_000 - 1_024);
        let taken = queue.take().unwrap();
        assert_eq!((taken.lines.len(), taken.dropped), (MOST_BYTES, 976));
        queue.put(&line);
        assert_eq!(queue.take().unwrap(), Taken { lines: line, dropped: 0 });
        queue.close();
        assert_eq!(queue.take(), None);
    }
}
