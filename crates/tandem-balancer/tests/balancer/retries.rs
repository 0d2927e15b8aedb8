//! Which requests are sent again, and which must not be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::header::HOST;
use http::{Method, Request};
use tandem_kit::http::{self as bodies, Body};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::app::{App, nobody, text};
use super::client::{Client, ask, fetch, get, read_until};
use super::world::{World, eventually, within};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn post(body: &'static str) -> Request<Body> {
    Request::post("/").header(HOST, "shop.example").body(bodies::full(body)).unwrap()
}

/// An app that answers the first request of each connection well and closes the connection when the second one has
/// come, as an app does whose idle limit ran out just then. Counts requests that it saw.
async fn closing_on_the_second(seen: Arc<AtomicU64>) -> App {
    App::raw(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            if !head.contains("/healthz") {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            stream.write_all(HELLO).await.unwrap();
            let mut first = [0];
            if stream.peek(&mut first).await.is_ok_and(|count| count > 0) {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_get_on_a_kept_connection_that_dies_is_sent_anew() {
    let seen = Arc::new(AtomicU64::new(0));
    let app = closing_on_the_second(Arc::clone(&seen)).await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    for _ in 0..10 {
        assert_eq!(client.ask(get("/")).await.unwrap().text(), "hello");
    }
    assert!(seen.load(Ordering::SeqCst) > 10, "no kept connection was ever used");
}

#[tokio::test]
async fn a_post_that_may_have_been_acted_on_is_not_sent_twice() {
    let seen = Arc::new(AtomicU64::new(0));
    let app = closing_on_the_second(Arc::clone(&seen)).await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    assert_eq!(client.ask(post("")).await.unwrap().status, 200);
    assert_eq!(client.ask(post("")).await.unwrap().status, 502);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_get_that_a_dying_instance_lost_is_answered_by_another() {
    let dying = Arc::new(AtomicBool::new(false));
    let is_dying = Arc::clone(&dying);
    // Healthy to its probes to the end; once it dies it still takes connections, and breaks each off.
    let app = App::raw(move |mut stream| {
        let is_dying = Arc::clone(&is_dying);
        async move {
            loop {
                let head = read_until(&mut stream, "\r\n\r\n").await;
                if head.is_empty() || (is_dying.load(Ordering::SeqCst) && !head.contains("/healthz")) {
                    return;
                }
                stream.write_all(HELLO).await.unwrap();
            }
        }
    })
    .await;
    let other = App::saying("hello").await;
    for _ in 0..20 {
        dying.store(false, Ordering::SeqCst);
        let world = World::serving(&[app.address, other.address]).await;
        let mut client = Client::connect(world.address).await;
        for _ in 0..10 {
            client.ask(get("/")).await.unwrap();
        }
        dying.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            assert_eq!(client.ask(get("/")).await.unwrap().text(), "hello");
        }
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_app_has_closed_is_not_used() {
    let app = App::raw(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        // Says nothing of closing, and closes.
        stream.write_all(HELLO).await.unwrap();
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    for _ in 0..50 {
        let request = Request::post("/").header(HOST, "shop.example").body(bodies::empty()).unwrap();
        let answer = client.ask(request).await.unwrap();
        assert_eq!(answer.status, 200, "a request was lost to a connection that had been closed");
        // Gives the close time to arrive: the race itself is the test above.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let app = App::saying("hello").await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    client.ask(get("/")).await.unwrap();
    let before = app.connections();
    for _ in 0..20 {
        client.ask(get("/")).await.unwrap();
    }
    // Probes use connections of their own: one a second.
    assert!(app.connections() <= before + 2, "{} new connections", app.connections() - before);
}

#[tokio::test]
async fn a_refused_request_goes_to_another_instance_whatever_its_method() {
    let app = App::start(|request| async move {
        let body = bodies::read_limited(request.into_body(), 100).await.unwrap();
        text(body)
    })
    .await;
    let world = World::serving(&[nobody(), app.address, nobody()]).await;
    for _ in 0..20 {
        let answer = ask(world.address, post("body")).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "body"));
    }
    world.until(|status| status.unhealthy.len() == 2).await;
}

#[tokio::test]
async fn when_nobody_listens_it_says_so_and_serves_again_at_once_when_somebody_does() {
    let address = nobody();
    let world = World::serving(&[address, nobody()]).await;
    let answer = fetch(world.address, "/").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"));
    let _app = App::raw_on(address, |mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let _ = stream.write_all(HELLO).await;
    })
    .await;
    // Both are known to be out; a pool is never given up for that.
    assert_eq!(fetch(world.address, "/").await.text(), "hello");
}

#[tokio::test]
async fn when_all_instances_are_gone_it_says_so_and_serves_again_at_once_when_one_is_back() {
    let (one, two) = (App::saying("one").await, App::saying("two").await);
    let addresses = [one.address, two.address];
    let world = World::serving(&addresses).await;
    let mut client = Client::connect(world.address).await;
    for _ in 0..10 {
        assert_eq!(client.ask(get("/")).await.unwrap().status, 200);
    }
    drop((one, two));
    for _ in 0..10 {
        let answer = client.ask(get("/")).await.unwrap();
        assert!(matches!(answer.status.as_u16(), 502 | 503), "{answer:?}");
    }
    let answer = client.ask(get("/")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"));
    assert!(answer.text().contains("\u{201c}shop\u{201d}"), "it names the app: {}", answer.text());
    world.until(|status| status.unhealthy.len() == 2).await;
    let back = App::raw_on(addresses[1], |mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let _ = stream.write_all(HELLO).await;
    });
    let _back = back.await;
    // No probe has to see it first, and its client kept its connection all the time.
    assert_eq!(client.ask(get("/")).await.unwrap().text(), "hello");
    world.until(|status| status.unhealthy.len() == 1).await;
}

/// An instance that takes requests and dies over them; counts them.
async fn deadly(seen: &Arc<AtomicU64>) -> App {
    let seen = Arc::clone(seen);
    App::raw(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            if head.contains("/healthz") {
                let _ = stream.write_all(HELLO).await;
            } else {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_get_that_an_instance_died_over_is_tried_once_elsewhere() {
    let seen = Arc::default();
    let (dead, well) = (deadly(&seen).await, App::saying("hello").await);
    let world = World::serving(&[dead.address, well.address]).await;
    // Fewer than there may be sent again in a short while.
    within(async {
        while seen.load(Ordering::SeqCst) < 5 {
            assert_eq!(fetch(world.address, "/").await.text(), "hello");
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_kills_instances_does_not_kill_them_all() {
    let seen = Arc::default();
    let apps = [deadly(&seen).await, deadly(&seen).await, deadly(&seen).await, deadly(&seen).await];
    let world = World::serving(&apps.each_ref().map(|app| app.address)).await;
    for (method, killed) in [(Method::GET, 2), (Method::DELETE, 2), (Method::POST, 1), (Method::PATCH, 1)] {
        seen.store(0, Ordering::SeqCst);
        let mut request = get("/");
        *request.method_mut() = method;
        assert_eq!(ask(world.address, request).await.status, 502);
        assert_eq!(seen.load(Ordering::SeqCst), killed);
    }
}

#[tokio::test]
async fn a_kept_connection_is_closed_when_nobody_uses_it() {
    let closed = Arc::<AtomicU64>::default();
    let counter = Arc::clone(&closed);
    let app = App::raw(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            let _ = stream.write_all(HELLO).await;
            let end = stream.read(&mut [0]).await;
            if !head.contains("/healthz") && end.is_ok_and(|count| count == 0) {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    fetch(world.address, "/").await;
    eventually(|| closed.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn a_connection_whose_upload_was_not_read_is_not_used_again() {
    // Says that it keeps the connection, and closes it when the next request comes.
    let app = App::raw(|mut stream| async move {
        let head = read_until(&mut stream, "\r\n\r\n").await;
        let status = if head.contains("/refuse") { "403 Forbidden" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello");
        let _ = stream.write_all(answer.as_bytes()).await;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if buffer[..count].windows(5).any(|text| text == b"POST ") {
                return;
            }
        }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    for _ in 0..50 {
        let refused =
            Request::post("/refuse").header(HOST, "shop.example").body(bodies::full("short")).unwrap();
        assert_eq!(client.ask(refused).await.unwrap().status, 403);
        let long =
            Request::post("/").header(HOST, "shop.example").body(bodies::full(vec![0; 20_000])).unwrap();
        assert_eq!(client.ask(long).await.unwrap().status, 200);
    }
}
