//! A thread's clock for limits in seconds: half-second ticks, cheap to read at each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Length of a tick: limits of connections are checked once in each.
pub const TICK: Duration = Duration::from_millis(500);

/// Ticks in some seconds.
pub(crate) const fn ticks(seconds: u32) -> u32 {
    seconds * 2
}

/// The current tick, cheap to clone; clones show the same tick.
#[derive(Debug, Clone)]
pub(crate) struct Tick(Arc<AtomicU32>);

impl Default for Tick {
    /// Counted from 1, so that 0 can stand for "never".
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(1)))
    }
}

impl Tick {
    /// The current tick.
    pub(crate) fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Moves to a tick; done by one task of the thread.
    pub(crate) fn set(&self, now: u32) {
        self.0.store(now, Ordering::Relaxed);
    }
}
