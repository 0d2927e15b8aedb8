//! Leases: one holder, growing fences, and an end by the store's clock.

use std::time::Duration;

use serde_json::json;
use tandem_kit::clock::Clock;
use tandem_types::Span;
use tandem_types::document::Lease;

use super::{Engine, transaction};
use crate::lease::Held;
use crate::{Error, Expect, SharedStore};

const LENGTH: Span = Span::seconds(30);
const ALMOST: Duration = Duration::from_secs(29);
const MOMENT: Duration = Duration::from_secs(2);

async fn acquire(store: &SharedStore, holder: &str) -> Option<Lease> {
    store.acquire("rollouts", holder, LENGTH).await.unwrap()
}

async fn write_under(store: &SharedStore, lease: &Lease) -> Result<(), Error> {
    let write = transaction().put_value("a", ("thing/1", json!(1)), Expect::Any).fenced(lease);
    store.transact(write).await.map(drop)
}

fn is_fenced<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Fenced { lease }) if lease == "rollouts")
}

pub(crate) async fn one_holder_at_a_time(engine: &dyn Engine) {
    let store = engine.open().await;
    let (one, other) = tokio::join!(acquire(&store, "one"), acquire(&store, "other"));
    let lease = match (one, other) {
        (Some(lease), None) | (None, Some(lease)) => lease,
        both => panic!("not one of two holds it: {both:?}"),
    };
    assert!(store.acquire("something-else", "third", LENGTH).await.unwrap().is_some());
    engine.advance(ALMOST);
    assert_eq!(acquire(&store, "third").await, None);
    engine.advance(MOMENT);
    let next = acquire(&store, "third").await.expect("the first lease has ended");
    assert!(next.fence > lease.fence && next.deadline > lease.deadline);
    store.release(&lease).await.unwrap();
    assert_eq!(acquire(&store, "fourth").await, None, "a lease that ended earlier releases nothing");
    store.release(&next).await.unwrap();
    assert!(acquire(&store, "fourth").await.is_some());
}

pub(crate) async fn fences_grow_and_outlast_the_server(engine: &dyn Engine) {
    let mut last = None;
    for round in 0..3 {
        let store = engine.open().await;
        for holder in ["one", "other"] {
            let lease = acquire(&store, holder).await.expect("nobody holds it after the store was opened");
            assert!(Some(lease.fence) > last, "round {round}: {:?} after {last:?}", lease.fence);
            last = Some(lease.fence);
            if holder == "one" {
                store.release(&lease).await.unwrap();
            }
        }
    }
}

pub(crate) async fn an_ended_lease_writes_nothing(engine: &dyn Engine) {
    let store = engine.open().await;
    let lease = acquire(&store, "one").await.unwrap();
    write_under(&store, &lease).await.unwrap();
    store.release(&lease).await.unwrap();
    assert!(is_fenced(write_under(&store, &lease).await), "released");

    let lease = acquire(&store, "one").await.unwrap();
    engine.advance(ALMOST + MOMENT);
    assert!(is_fenced(write_under(&store, &lease).await), "ended, though nobody took it");
    let next = acquire(&store, "other").await.unwrap();
    assert!(is_fenced(write_under(&store, &lease).await), "taken by another");
    write_under(&store, &next).await.unwrap();
    drop(store);
    let store = engine.open().await;
    assert!(is_fenced(write_under(&store, &next).await), "the store was opened anew");
    assert_eq!(store.cursor().await.unwrap().revision.0, 2, "what was refused left no trace");
}

pub(crate) async fn renewing_keeps_a_lease_and_revives_none(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut lease = acquire(&store, "one").await.unwrap();
    for _ in 0..5 {
        engine.advance(ALMOST);
        let renewed = store.renew(&lease).await.unwrap();
        assert_eq!(renewed.fence, lease.fence);
        assert!(renewed.deadline > lease.deadline);
        lease = renewed;
    }
    assert_eq!(acquire(&store, "other").await, None);
    engine.advance(ALMOST + MOMENT);
    assert!(is_fenced(store.renew(&lease).await));
    assert!(is_fenced(
        store.renew(&Lease { name: "rollouts".to_owned(), fence: tandem_types::Fence(99), ..lease }).await
    ));
    assert!(acquire(&store, "other").await.is_some());
}

pub(crate) async fn a_restarted_holder_fences_off_its_predecessor(engine: &dyn Engine) {
    let store = engine.open().await;
    let before = acquire(&store, "one").await.unwrap();
    let after = acquire(&store, "one").await.unwrap();
    assert!(after.fence > before.fence);
    assert!(is_fenced(write_under(&store, &before).await));
    assert!(is_fenced(store.renew(&before).await));
    write_under(&store, &after).await.unwrap();
}

pub(crate) async fn the_holder_counts_from_before_it_asked(engine: &dyn Engine) {
    let store = engine.open().await;
    let (clock, hands) = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
    let mut held = Held::acquire(&*store, &clock, ("rollouts", "one"), LENGTH).await.unwrap().unwrap();
    assert!(Held::acquire(&*store, &clock, ("rollouts", "other"), LENGTH).await.unwrap().is_none());
    hands.advance(ALMOST);
    hands.set_wall("1999-01-01T00:00:00Z".parse().unwrap());
    assert!(held.is_safe());
    held.renew(&*store).await.unwrap();
    hands.advance(ALMOST);
    assert!(held.is_safe());
    hands.advance(MOMENT);
    assert!(!held.is_safe(), "by its own clock, whatever the store's says");
    write_under(&store, held.lease()).await.unwrap();
    held.release(&*store).await.unwrap();
    assert!(acquire(&store, "other").await.is_some());
}
