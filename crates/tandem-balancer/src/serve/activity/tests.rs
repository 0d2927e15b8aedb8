//! Limits on what a connection waits for.

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
