//! How long a request may keep others waiting, where its app says so.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::task::AtomicWaker;
use tandem_types::Limits as AppLimits;

use super::WaitLimits;
use crate::tick::TICK;

/// The time-outs of the request under way, in ticks; 0 stands for the usual ones.
#[derive(Debug, Default)]
pub(super) struct Patience {
    client: AtomicU32,
    answer: AtomicU32,
    slow: AtomicBool,
}

impl Patience {
    /// A request of an app with these limits begins.
    pub(super) fn begin(&self, limits: &AppLimits) {
        let ticks = |span: Option<tandem_types::Span>| {
            let ticks = span.map_or(0, |span| span.as_duration().as_millis().div_ceil(TICK.as_millis()));
            u32::try_from(ticks).unwrap_or(u32::MAX)
        };
        self.client.store(ticks(limits.client_timeout), Ordering::Relaxed);
        self.answer.store(ticks(limits.answer_timeout), Ordering::Relaxed);
        self.slow.store(false, Ordering::Relaxed);
    }

    /// For the client, and for the beginning of an answer.
    pub(super) fn of(&self, usual: &WaitLimits) -> (u32, u32) {
        let or = |own: &AtomicU32, usual| match own.load(Ordering::Relaxed) {
            0 => usual,
            own => own,
        };
        (or(&self.client, usual.client), or(&self.answer, usual.answer))
    }

    /// The client owes a part of its body and was told nothing yet; says whether it can be told now. Whoever waits for the
    /// instance is woken to do so.
    pub(super) fn tell_slow(&self, waker: &AtomicWaker) -> bool {
        let is_first = !self.slow.swap(true, Ordering::Relaxed);
        if is_first {
            waker.wake();
        }
        is_first
    }

    /// Whether the client is to be told that it is too slow.
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }
}
