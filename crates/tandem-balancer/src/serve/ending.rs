//! What takes long is ended one by one over the drain's time, once its instance leaves the table or this process its sockets: so
//! that clients do not come back all at once.
//!
//! Websockets, TCP and streams of events never end by themselves, and their clients know how to come back: they are spread over
//! most of the time. What may still end by itself has more of it: an answer of unknown length, and a request that can be asked
//! again elsewhere because nothing of its answer is there (a long poll, for one). All others are left alone until the
//! time is over: an upload may be nearly done.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use tandem_wire::{Framing, ResponseHead};
use tokio::time::{Instant, Sleep};

use super::Activity;
use crate::table::{Instance, Lease};
use crate::thread::Thread;

/// Kinds of content whose streams never end by themselves, and may end anywhere.
const ENDLESS: [&[u8]; 2] = [b"text/event-stream", b"multipart/x-mixed-replace"];

/// What takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Long {
    /// It never ends by itself. Its client takes any end for one.
    Endless,
    /// It may end by itself.
    Perhaps,
}

impl Long {
    /// What an answer is that comes in this way; none: it ends by itself.
    pub(super) fn of(head: &ResponseHead, from: Framing) -> Option<Self> {
        match from {
            Framing::None | Framing::Length(_) => return None,
            Framing::Chunked | Framing::UntilEnd => {}
        }
        let begins = |value: &[u8], kind: &[u8]| {
            value.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind))
        };
        let mut kinds = head.fields.iter().filter(|(name, _, _)| name.eq_ignore_ascii_case(b"content-type"));
        let is_endless = kinds.any(|(_, value, _)| ENDLESS.iter().any(|kind| begins(value, kind)));
        Some(if is_endless { Self::Endless } else { Self::Perhaps })
    }

    /// Thousandths of the drain's time over which it is ended. In the first part a rollback may still save it, the last one is for
    /// who closes late by itself.
    fn spread(self) -> Range<u64> {
        match self {
            Self::Endless => 100..900,
            Self::Perhaps => 600..950,
        }
    }

    /// When one of them is ended.
    fn end(self, thread: &Thread, since: Instant) -> Instant {
        let Range { start, end } = self.spread();
        let share = start + thread.random() % (end - start);
        since + thread.shared.drain_limit().mul_f64(share as f64 / 1000.0)
    }
}

/// When a request that takes long is ended.
#[derive(Debug, Default)]
pub(super) struct Ending {
    leaving: Option<Leaving>,
    is_over: bool,
}

/// Its instance left, or this process leaves.
#[derive(Debug)]
struct Leaving {
    since: Instant,
    what: Long,
    sleep: Pin<Box<Sleep>>,
}

impl Ending {
    /// Whether it was ended before its time.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Ready once its time is up. Who waits is woken when tables change, so that it asks again.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        (thread, activity): (&Thread, &Activity),
        (instance, what): (&Instance, Long),
    ) -> Poll<()> {
        if instance.is_routed() && !is_process_leaving(thread, activity) {
            // A rollback may have brought the instance back.
            self.leaving = None;
            return Poll::Pending;
        }
        let leaving = match self.leaving.take() {
            Some(leaving) if leaving.what == what => leaving,
            before => {
                let since = before.map_or_else(Instant::now, |before| before.since);
                let sleep = Box::pin(tokio::time::sleep_until(what.end(thread, since)));
                Leaving { since, what, sleep }
            }
        };
        let ended = self.leaving.insert(leaving).sleep.as_mut().poll(context);
        self.is_over = ended.is_ready();
        ended
    }

    /// What was ended goes on elsewhere, with all the time that there is.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::default();
    }
}

/// Whether another process serves from now on, or none.
pub(super) fn is_process_leaving(thread: &Thread, activity: &Activity) -> bool {
    thread.shared.is_leaving() || activity.is_finishing()
}

/// Waits until a tunnel is to be ended: some time after its instance was un-routed, or the process began to end or handed
/// its sockets over.
pub(crate) async fn until_ended(thread: &Thread, lease: &Lease) {
    let instance = lease.instance();
    let mut leaving = thread.shared.leaving();
    loop {
        tokio::select! {
            () = instance.until_unrouted() => {}
            () = thread.tasks().drain().requested() => {}
            _ = leaving.wait_for(Option::is_some) => {}
        }
        tokio::time::sleep_until(Long::Endless.end(thread, Instant::now())).await;
        // A rollback may have brought the instance back in the meantime.
        let ends = thread.tasks().drain().is_requested() || thread.shared.is_leaving();
        if ends || !instance.is_routed() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(head: &str) -> Option<Long> {
        let head = ResponseHead::parse(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()).unwrap();
        let framing = head.framing(&http::Method::GET).unwrap();
        Long::of(&head, framing)
    }

    #[test]
    fn streams_of_events_are_told_from_answers_that_end() {
        assert_eq!(long("Content-Type: text/event-stream\r\nContent-Length: 5"), None);
        assert_eq!(long("content-type: Text/Event-Stream; charset=utf-8"), Some(Long::Endless));
        let multipart = "Content-Type: multipart/x-mixed-replace;boundary=x\r\nTransfer-Encoding: chunked";
        assert_eq!(long(multipart), Some(Long::Endless));
        assert_eq!(long("Content-Type: text/html\r\nTransfer-Encoding: chunked"), Some(Long::Perhaps));
        assert_eq!(long("Server: text/event-stream"), Some(Long::Perhaps));
    }
}
