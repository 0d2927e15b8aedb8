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
    /// For the instance to begin its answer, from the last part of the request.
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
        // Only from here on is there something to write, by which one that left shows itself.
        self.half_closed_anew();
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
                if over(&self.answer_awaited, answer) && !self.late.swap(true, Ordering::Relaxed) {
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
mod tests {
    use super::*;

    const LIMITS: WaitLimits =
        WaitLimits { head: 10, idle: 75, client: 60, answer: 50, half_closed: 20, kept: 3 };

    struct Connection {
        activity: Activity,
        tick: Tick,
    }

    impl Connection {
        fn accepted() -> Self {
            let tick = Tick::default();
            Self { activity: Activity::new(tick.clone()), tick }
        }

        fn at(&self, tick: u32) -> &Activity {
            self.tick.set(tick);
            &self.activity
        }

        fn order_at(&self, tick: u32) -> Order {
            self.order_of(tick, Peer::Open)
        }

        fn order_of(&self, tick: u32, peer: Peer) -> Order {
            self.at(tick).check(&LIMITS, || peer);
            self.activity.order(Waker::noop())
        }
    }

    #[test]
    fn connections_to_an_app_are_dropped_before_gunicorn_would_drop_them() {
        let gunicorn = std::time::Duration::from_secs(2);
        assert!(crate::tick::TICK * WaitLimits::default().kept < gunicorn);
    }

    #[test]
    fn a_head_that_does_not_come_whole_in_time_ends_the_connection() {
        let connection = Connection::accepted();
        connection.at(5).bytes_read();
        assert_eq!(connection.order_at(10), Order::GoOn);
        assert_eq!(connection.order_at(11), Order::Close);
    }

    #[test]
    fn an_idle_connection_may_wait_longer_but_its_next_head_may_not() {
        let connection = Connection::accepted();
        connection.at(2).request_began();
        connection.at(3).request_ended();
        assert_eq!(connection.order_at(70), Order::GoOn);
        connection.at(70).bytes_read();
        assert_eq!(connection.order_at(79), Order::GoOn);
        assert_eq!(connection.order_at(80), Order::Close);
    }

    #[test]
    fn a_client_that_takes_or_sends_nothing_is_cut_off_and_one_that_moves_is_not() {
        let connection = Connection::accepted();
        connection.at(1).request_began();
        connection.at(1).body_wanted();
        connection.at(50).body_moved();
        connection.at(51).body_wanted();
        assert_eq!(connection.order_at(110), Order::GoOn);
        connection.at(110).body_moved();
        connection.at(111).write_blocked(true);
        connection.at(150).write_blocked(true);
        assert_eq!(connection.order_at(170), Order::GoOn);
        assert_eq!(connection.order_at(171), Order::Close);
    }

    #[test]
    fn a_long_upload_is_no_late_answer() {
        let connection = Connection::accepted();
        connection.at(1).request_began();
        connection.at(1).answer_awaited();
        connection.at(40).body_moved();
        assert_eq!(connection.order_at(89), Order::GoOn);
        assert!(!connection.activity.is_late());
        assert_eq!(connection.order_at(90), Order::GoOn);
        assert!(connection.activity.is_late());
    }

    #[test]
    fn a_client_that_sends_no_more_is_cut_off_unless_it_takes_its_answer() {
        let connection = Connection::accepted();
        connection.at(1).request_began();
        assert_eq!(connection.order_of(10, Peer::HalfClosed), Order::GoOn);
        connection.at(25).bytes_written();
        assert_eq!(connection.order_of(44, Peer::HalfClosed), Order::GoOn);
        assert_eq!(connection.order_of(45, Peer::HalfClosed), Order::Close);
    }

    #[test]
    fn a_client_that_sends_no_more_waits_for_its_answer_as_long_as_any_other() {
        let connection = Connection::accepted();
        connection.at(1).request_began();
        connection.at(1).answer_awaited();
        assert_eq!(connection.order_of(2, Peer::HalfClosed), Order::GoOn);
        assert_eq!(connection.order_of(50, Peer::HalfClosed), Order::GoOn);
        assert!(!connection.activity.is_late());
        assert_eq!(connection.order_of(51, Peer::HalfClosed), Order::GoOn);
        assert!(connection.activity.is_late(), "it gets a page, as any other does");
        connection.at(52).answer_ended();
        assert_eq!(connection.order_of(71, Peer::HalfClosed), Order::GoOn);
        assert_eq!(connection.order_of(72, Peer::HalfClosed), Order::Close);
    }

    #[test]
    fn a_client_that_is_gone_is_cut_off_at_once() {
        let connection = Connection::accepted();
        connection.at(1).request_began();
        assert_eq!(connection.order_of(2, Peer::Gone), Order::Close);
    }

    #[test]
    fn the_stricter_order_stays() {
        let connection = Connection::accepted();
        connection.activity.give(CLOSE);
        connection.activity.finish();
        assert_eq!(connection.activity.order(Waker::noop()), Order::Close);
    }
}
