//! Requests that wait while no instance of their app can be reached: a small app that is started again loses none.
//!
//! What waits is a head and what was read behind it, of so many requests and so many bytes an app; nothing more is read. By
//! HTTP/2 a client may send what its window allows all the same: that counts as if it were there. They are woken by what may
//! change something: another table, another address, an instance that is well again.

use std::sync::Arc;
use std::task::Poll;

use tandem_wire::{Framing, forward};
use tokio::sync::watch;
use tokio::time::Instant;

use super::closed::with_own;
use super::exchange::Exchange;
use super::http2::STREAM_WINDOW;
use crate::pages::Page;
use crate::table::{LiveRoute, Seat};

/// How often a request that reached nobody goes after a table that has changed meanwhile, without waiting.
const MOST_MOVES: u32 = 3;

/// How far a request has come with its tries.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// It was sent to an instance that gave no answer, and may have been acted on.
    pub(super) replayed: bool,
    moves: u32,
    waiting: Option<Box<Waiting>>,
}

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    /// Given back when an instance takes the request.
    seat: Option<Seat>,
    until: Instant,
    hopes: watch::Receiver<u64>,
}

impl Tries {
    /// An instance had the request for long, and leaves: it may go after as many tables as one that comes now.
    pub(super) fn begin_anew(&mut self) {
        self.moves = 0;
    }

    /// An instance takes the request: it waits no longer.
    pub(super) fn reached(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.seat = None;
        }
    }
}

impl Exchange<'_> {
    /// Where a request goes that reached nobody: after a table that has changed meanwhile, or once more, after it has waited.
    ///
    /// # Errors
    /// It goes nowhere; what its client is told.
    pub(super) async fn another_try(
        &mut self,
        tries: &mut Tries,
        route: Arc<LiveRoute>,
        head: usize,
    ) -> Result<Arc<LiveRoute>, Page> {
        let mut now = self.route_now()?;
        if !Arc::ptr_eq(&now, &route) && tries.moves < MOST_MOVES {
            tries.moves += 1;
        } else if self.waits(tries, &route, head).await {
            now = self.route_now()?;
        } else {
            // What was sent once may have been acted on, whatever became of its second try.
            let page = Page::NoInstance { app: route.app().to_string() };
            return Err(if tries.replayed { Page::BadGateway } else { with_own(&route, page).await });
        }
        if !Arc::ptr_eq(&now, &route) {
            self.trace.belongs_to(self.client.thread.recorder.slot(now.served()));
        }
        Ok(now)
    }

    fn route_now(&mut self) -> Result<Arc<LiveRoute>, Page> {
        let host = forward::host_of(&self.head).unwrap_or_default();
        let path = forward::path_of(&self.head).unwrap_or("/");
        let (route, _) = self.client.find(host, path)?;
        Ok(self.share_of(route))
    }

    /// Waits until another try is worth it. No: it is not, since the time is over, too many wait, or the client sends no more: most
    /// of those have left, and the others are told.
    async fn waits(&mut self, tries: &mut Tries, route: &LiveRoute, head: usize) -> bool {
        let Some(waiting) = &mut tries.waiting else {
            tries.waiting = self.begin_to_wait(route, head).map(Box::new);
            // Once more at once: it may have come back before anybody listened.
            return tries.waiting.is_some();
        };
        let activity = &self.client.activity;
        tokio::select! {
            biased;
            changed = waiting.hopes.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(waiting.until) => false,
            // The connection's task is woken when that changes.
            () = std::future::poll_fn(|_| match activity.is_half_closed() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }) => false,
        }
    }

    fn begin_to_wait(&self, route: &LiveRoute, head: usize) -> Option<Waiting> {
        let hold = route.limits().hold().as_duration();
        if hold.is_zero() {
            return None;
        }
        let bytes = head + self.client.input.get().len() + self.may_come();
        let seat = route.account().hold(bytes, tandem_record::now())?;
        let hopes = self.client.thread.shared.hopes();
        Some(Waiting { seat: Some(seat), until: Instant::now() + hold, hopes })
    }

    /// Bytes of the body that may come though nobody reads them. Those of a socket are the kernel's, those of a stream are not.
    fn may_come(&self) -> usize {
        let window = STREAM_WINDOW as usize;
        match self.head.framing {
            _ if !self.client.socket.is_stream() => 0,
            Framing::None => 0,
            Framing::Length(length) => usize::try_from(length).unwrap_or(window).min(window),
            Framing::Chunked | Framing::UntilEnd => window,
        }
    }
}
