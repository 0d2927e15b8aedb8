//! Instances that fail requests although their probes are good, and slow ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tandem_kit::tasks;
use tandem_types::InstanceId;
use tokio::io::AsyncWriteExt as _;

use super::app::{App, status, text};
use super::client::{ask, fetch, get, read_until};
use super::world::{World, eventually};

/// An app that is healthy, and answers everything else with 500 while it is broken.
async fn breaking(is_broken: &Arc<AtomicBool>) -> App {
    let is_broken = Arc::clone(is_broken);
    App::start(move |request| {
        let fails = is_broken.load(Ordering::SeqCst) && request.uri().path() != "/healthz";
        async move { if fails { status(500) } else { text("hello") } }
    })
    .await
}

#[tokio::test]
async fn an_instance_that_fails_request_after_request_is_left_out_for_a_while() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let (broken, well) = (breaking(&is_broken).await, App::saying("hello").await);
    let world = World::serving(&[broken.address, well.address]).await;
    for _ in 0..100 {
        fetch(world.address, "/").await;
    }
    world.until(|status| status.left_out == [InstanceId(1)] && status.unhealthy.is_empty()).await;
    for _ in 0..20 {
        assert_eq!(fetch(world.address, "/").await.status, 200);
    }
    is_broken.store(false, Ordering::SeqCst);
    world.until(|status| status.left_out.is_empty()).await;
}

#[tokio::test]
async fn an_app_that_fails_everywhere_is_asked_all_the_same() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let apps = [breaking(&is_broken).await, breaking(&is_broken).await, breaking(&is_broken).await];
    for (count, most) in [(1, 0), (3, 1)] {
        let addresses: Vec<_> = apps[..count].iter().map(|app| app.address).collect();
        let world = World::serving(&addresses).await;
        for _ in 0..100 {
            assert_eq!(fetch(world.address, "/").await.status, 500);
        }
        let status = world.until(|status| status.left_out.len() == most).await;
        assert!(status.unhealthy.is_empty(), "{status:?}");
    }
}

/// What breaks off is asked again for some requests and not for all of them.
#[tokio::test]
async fn an_app_that_breaks_off_does_not_get_everything_twice() {
    let seen = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&seen);
    let app = App::raw(move |mut stream| {
        let seen = Arc::clone(&counted);
        async move {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            if head.contains("/healthz") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            } else {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    const ASKED: u64 = 100;
    for _ in 0..ASKED {
        assert_eq!(fetch(world.address, "/").await.status, 502);
    }
    let again = seen.load(Ordering::SeqCst) - ASKED;
    // A fifth, ten, and as many again should this take longer than ten seconds.
    assert!((10..=60).contains(&again), "{again}");
}

#[tokio::test]
async fn a_slow_instance_gets_less() {
    let (slow_seen, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counting = |seen: &Arc<AtomicU64>, answers: bool| {
        let seen = Arc::clone(seen);
        App::start(move |request| {
            let is_probe = request.uri().path() == "/healthz";
            if !is_probe {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            async move { if answers || is_probe { text("hello") } else { std::future::pending().await } }
        })
    };
    let (slow, quick) = (counting(&slow_seen, false).await, counting(&seen, true).await);
    let world = World::serving(&[slow.address, quick.address]).await;
    let mut clients = Vec::new();
    for asked in 1..=40 {
        clients.push(tasks::owned("client", ask(world.address, get("/"))));
        eventually(|| slow_seen.load(Ordering::SeqCst) + seen.load(Ordering::SeqCst) == asked).await;
    }
    // One, and one more where the quick one had not told of its end yet.
    assert!(slow_seen.load(Ordering::SeqCst) <= 3, "{slow_seen:?}");
}
