//! What a client's connection is doing, so that its limits can be checked from outside at each tick.
//!
//! The socket, the request and its body write down what they wait for; once per tick the thread looks at all of them.
//! Atomics because hyper wants sockets that could move between threads; they never do.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::task::Waker;

use futures_util::task::AtomicWaker;

use super::patience::Patience;
use crate::tick::{Tick, ticks};

/// How long a connection may wait for what, in ticks (see [`crate::TICK`]).
#[derive(Debug, Clone)]
pub struct WaitLimits {
    /// For a whole request head, from its first byte (or from the connection's start).
    pub head: u32,
    /// For the next request.
    pub idle: u32,
    /// For the client to send more of a body or to take more of an answer.
    pub client: u32,
    /// For the instance to begin its answer, from the last part of the request, and then for each part of it.
    pub answer: u32,
    /// For a client that closed its sending side to get more of an answer that has begun: most of those have left
    /// altogether, and nobody can tell them apart but by writing. Until then it has the time of any answer: a slow
    /// one is slow for everybody, and cutting a client off would not stop the app's work on it.
    pub half_closed: u32,
    /// For a kept connection to an instance to be used again. Apps close idle connections too (gunicorn after 2 s), and
    /// a request must not go out just then.
    pub kept: u32,
}

impl Default for WaitLimits {
    fn default() -> Self {
        Self {
            head: ticks(10),
            idle: ticks(75),
            client: ticks(60),
            answer: ticks(60),
            half_closed: ticks(10),
            kept: 3,
        }
    }
}

const HEAD: u8 = 0;
const IDLE: u8 = 1;
const BUSY: u8 = 2;

const GO_ON: u8 = 0;
const FINISH: u8 = 1;
const CLOSE: u8 = 2;

/// How the client's end of a connection looks from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// As far as can be seen it is there.
    Open,
    /// It sends no more. It may wait for its answer, or be gone.
    HalfClosed,
    /// It is gone.
    Gone,
}

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing special.
    GoOn,
    /// Finish the request under way, then close.
    Finish,
    /// Close now.
    Close,
}

/// The notes of one connection. Ticks count from 1; 0 stands for "not".
#[derive(Debug)]
pub(crate) struct Activity {
    tick: Tick,
    phase: AtomicU8,
    since: AtomicU32,
    write_blocked: AtomicU32,
    body_wanted: AtomicU32,
    answer_awaited: AtomicU32,
    answer_wanted: AtomicU32,
    half_closed: AtomicU32,
    late: AtomicBool,
    lingering: AtomicBool,
    pub(super) patience: Patience,
    order: AtomicU8,
    waker: AtomicWaker,
}

impl Activity {
    /// A connection that has just been accepted: its first request is due.
    pub(crate) fn new(tick: Tick) -> Self {
        Self {
            phase: AtomicU8::new(HEAD),
            since: AtomicU32::new(tick.now()),
            tick,
            write_blocked: AtomicU32::new(0),
            body_wanted: AtomicU32::new(0),
            answer_awaited: AtomicU32::new(0),
            answer_wanted: AtomicU32::new(0),
            half_closed: AtomicU32::new(0),
            late: AtomicBool::new(false),
            lingering: AtomicBool::new(false),
            patience: Patience::default(),
            order: AtomicU8::new(GO_ON),
            waker: AtomicWaker::new(),
        }
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
        self.note(&self.since);
    }

    fn note(&self, since: &AtomicU32) {
        since.store(self.tick.now(), Ordering::Relaxed);
    }

    /// Bytes came in: outside of a request they begin the next one.
    pub(crate) fn bytes_read(&self) {
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.enter(HEAD);
        }
    }

    /// The client does not take more at present, or does so again.
    pub(crate) fn write_blocked(&self, blocked: bool) {
        let since = self.write_blocked.load(Ordering::Relaxed);
        if blocked && since == 0 {
            self.note(&self.write_blocked);
        } else if !blocked && since != 0 {
            self.write_blocked.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the client does not take more at present.
    pub(crate) fn is_write_blocked(&self) -> bool {
        self.write_blocked.load(Ordering::Relaxed) != 0
    }

    /// The client took a part of an answer: it is there.
    pub(crate) fn bytes_written(&self) {
        self.half_closed_anew();
    }

    fn half_closed_anew(&self) {
        if self.half_closed.load(Ordering::Relaxed) != 0 {
            self.note(&self.half_closed);
        }
    }

    /// A request's head has come in whole.
    pub(crate) fn request_began(&self) {
        self.enter(BUSY);
    }

    /// Its answer has been handed over.
    pub(crate) fn request_ended(&self) {
        self.enter(IDLE);
        self.body_wanted.store(0, Ordering::Relaxed);
        self.answer_wanted.store(0, Ordering::Relaxed);
        self.answer_ended();
    }

    /// More of the request's body is waited for.
    pub(crate) fn body_wanted(&self) {
        if self.body_wanted.load(Ordering::Relaxed) == 0 {
            self.note(&self.body_wanted);
        }
    }

    /// A part of the request's body came.
    pub(crate) fn body_moved(&self) {
        self.body_wanted.store(0, Ordering::Relaxed);
        if self.answer_awaited.load(Ordering::Relaxed) != 0 {
            self.note(&self.answer_awaited);
        }
    }

    /// The rest of an unwanted body is being thrown away; that may outlast the answer.
    pub(crate) fn linger(&self, lingering: bool) {
        self.lingering.store(lingering, Ordering::Relaxed);
        self.note(&self.since);
    }

    /// The request is with an instance now.
    pub(crate) fn answer_awaited(&self) {
        self.note(&self.answer_awaited);
        self.late.store(false, Ordering::Relaxed);
    }

    /// The instance's answer began, or none will come.
    pub(crate) fn answer_ended(&self) {
        self.answer_awaited.store(0, Ordering::Relaxed);
        // One that came in the very last moment came in time.
        self.late.store(false, Ordering::Relaxed);
        // Only from here on is there something to write, by which one that left shows itself.
        self.half_closed_anew();
    }

    /// More of the answer's body is waited for.
    pub(crate) fn answer_wanted(&self) {
        if self.answer_wanted.load(Ordering::Relaxed) == 0 {
            self.note(&self.answer_wanted);
        }
    }

    /// A part of the answer's body came, or the client is waited for.
    pub(crate) fn answer_moved(&self) {
        if self.answer_wanted.load(Ordering::Relaxed) != 0 {
            self.answer_wanted.store(0, Ordering::Relaxed);
            self.late.store(false, Ordering::Relaxed);
        }
    }

    /// Whether a head is to come, or the rest of one.
    pub(crate) fn is_in_head(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == HEAD
    }

    /// Since which tick it waits for its next request; none: it does not, or it is being closed.
    pub(crate) fn idle_since(&self) -> Option<u32> {
        let is_idle = self.phase.load(Ordering::Relaxed) == IDLE && !self.is_finishing();
        is_idle.then(|| self.since.load(Ordering::Relaxed))
    }

    /// Who is busy looks again at what became of its instance.
    pub(crate) fn look_again(&self) {
        if self.phase.load(Ordering::Relaxed) == BUSY {
            self.waker.wake();
        }
    }

    /// Whether the instance took too long. Whoever asks is woken when that changes.
    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// Enforces the limits; called at each tick. `peer` looks at the client's end, which nobody else does while a request
    /// is under way.
    pub(crate) fn check(&self, limits: &WaitLimits, peer: impl FnOnce() -> Peer) {
        let now = self.tick.now();
        let over = |since: &AtomicU32, limit: u32| {
            let since = since.load(Ordering::Relaxed);
            since != 0 && now.saturating_sub(since) >= limit
        };
        let (client, answer) = self.patience.of(limits);
        let stuck = over(&self.write_blocked, client);
        let phase = self.phase.load(Ordering::Relaxed);
        let over = match phase {
            _ if stuck => true,
            _ if phase == BUSY || self.lingering.load(Ordering::Relaxed) => {
                let is_late = over(&self.answer_awaited, answer) || over(&self.answer_wanted, answer);
                if is_late && !self.late.swap(true, Ordering::Relaxed) {
                    self.waker.wake();
                }
                let answering = self.answer_awaited.load(Ordering::Relaxed) == 0;
                self.note_peer(peer())
                    || (answering && over(&self.half_closed, limits.half_closed))
                    || over(&self.body_wanted, client) && (answering || !self.patience.tell_slow(&self.waker))
            }
            IDLE => over(&self.since, limits.idle),
            _ => over(&self.since, limits.head),
        };
        if over {
            self.give(CLOSE);
        }
    }

    /// Writes down how the client's end looks; says whether it is gone.
    fn note_peer(&self, peer: Peer) -> bool {
        match peer {
            Peer::Open => self.half_closed.store(0, Ordering::Relaxed),
            Peer::HalfClosed if !self.is_half_closed() => {
                self.note(&self.half_closed);
                self.waker.wake();
            }
            Peer::HalfClosed => {}
            Peer::Gone => return true,
        }
        false
    }

    /// Whether the client sends no more. Whoever asks is woken when that begins.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Relaxed) != 0
    }

    /// Asks the connection to finish its request and close.
    pub(crate) fn finish(&self) {
        self.give(FINISH);
    }

    /// Whether this request is the last one of its connection.
    pub(crate) fn is_finishing(&self) -> bool {
        self.order.load(Ordering::Relaxed) >= FINISH
    }

    fn give(&self, order: u8) {
        self.order.fetch_max(order, Ordering::Relaxed);
        self.waker.wake();
    }

    /// What is to become of the connection; the waker is woken when that changes.
    pub(crate) fn order(&self, waker: &Waker) -> Order {
        self.waker.register(waker);
        match self.order.load(Ordering::Relaxed) {
            GO_ON => Order::GoOn,
            FINISH => Order::Finish,
            _ => Order::Close,
        }
    }
}

#[cfg(test)]
mod tests;
