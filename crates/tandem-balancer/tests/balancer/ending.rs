//! What takes long when its instance leaves, or the balancer does: ended one by one within the drain's time, or asked again elsewhere.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Response};
use tandem_kit::http::{self as bodies, Body};
use tandem_kit::tasks::{self, Owned};
use tandem_types::{Limits, Span};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_stream::wrappers::IntervalStream;

use super::app::{App, nobody, text};
use super::client::{Answer, Client, fetch, get, read_until};
use super::slow::Slow;
use super::world::{World, shop, table, within};

/// A piece of a stream that never ends by itself, every so often.
fn stream(kind: &str, piece: &'static str) -> Response<Body> {
    let beats = IntervalStream::new(tokio::time::interval(Duration::from_millis(50)));
    let pieces = beats.map(move |_| Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes())));
    Response::builder().header(CONTENT_TYPE, kind).body(bodies::stream(pieces)).unwrap()
}

/// An app that streams events at `/events`, and lines at `/lines`; both for ever.
async fn streaming() -> App {
    App::start(|request| async move {
        match request.uri().path() {
            "/events" => stream("text/event-stream", "data: 1\n\n"),
            "/lines" => stream("application/x-ndjson", "1\n"),
            _ => text("well"),
        }
    })
    .await
}

/// A world that waits a second for each part of an answer.
async fn impatient(app: &App) -> World {
    let limits = Limits { answer_timeout: Some(Span::seconds(1)), ..Limits::default() };
    World::limited(app.address, limits).await
}

/// How an answer ended, and when.
type Ended = (Result<Answer, hyper::Error>, Instant);

/// So many clients that read an answer for as long as it lasts; each has heard its beginning.
async fn reading(world: &World, path: &'static str, count: usize) -> Vec<Owned<Ended>> {
    let mut reading = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(world.address).await;
        let answer = client.send(get(path)).await.unwrap();
        reading.push(tasks::owned("reading", async move {
            let (parts, body) = answer.into_parts();
            let body = http_body_util::BodyExt::collect(body).await;
            // The connection ends with its client.
            drop(client);
            let read = |body: http_body_util::Collected<Bytes>| Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.to_bytes(),
            };
            (body.map(read), Instant::now())
        }));
    }
    reading
}

#[tokio::test]
async fn streams_of_events_end_one_by_one_while_a_deploy_drains() {
    let (old, new) = (streaming().await, streaming().await);
    let limit = Duration::from_secs(4);
    let world = World::draining(old.address, new.address, limit).await;
    let clients = reading(&world, "/events", 24).await;
    let began = Instant::now();
    world.flip(table(1, vec![shop(&[1])]), table(2, vec![shop(&[2])])).await;
    assert_eq!(fetch(world.address, "/").await.text(), "well");
    let mut ends = Vec::new();
    for client in clients {
        let (answer, when) = within(client).await;
        // Its end is a clean one: nothing of an event is cut, and clients come back.
        assert!(answer.unwrap().text().ends_with("\n\n"));
        ends.push(when.duration_since(began));
    }
    world.until(|status| status.draining.is_empty()).await;
    ends.sort();
    // Never all at once: with 24 of them the chance that a half of the time has none is 1 in 8 million.
    let at = |ends: &Duration| ends.as_secs_f64() / limit.as_secs_f64();
    assert!(at(&ends[0]) < 0.5 && at(&ends[23]) > 0.5, "{ends:?}");
}

#[tokio::test]
async fn a_stream_of_events_goes_on_when_its_instance_comes_back_in_time() {
    let (old, new) = (streaming().await, streaming().await);
    let world = World::draining(old.address, new.address, Duration::from_secs(2)).await;
    let mut clients = reading(&world, "/events", 1).await;
    world.serve(2, vec![shop(&[2])]).await;
    world.serve(3, vec![shop(&[1])]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!((&mut clients[0]).now_or_never().is_none(), "it goes on");
}

#[tokio::test]
async fn an_answer_of_unknown_length_that_does_not_end_is_broken_off_late_and_not_ended() {
    let (old, new) = (streaming().await, streaming().await);
    let world = World::draining(old.address, new.address, Duration::from_secs(2)).await;
    let clients = reading(&world, "/lines", 2).await;
    world.serve(2, vec![shop(&[2])]).await;
    for client in clients {
        // Nobody may take what came for the whole.
        assert!(within(client).await.0.is_err());
    }
    world.until(|status| status.draining.is_empty()).await;
}

#[tokio::test]
async fn a_long_poll_is_asked_again_of_who_follows_and_its_client_hears_nothing_of_that() {
    let (old, new) = (Slow::saying("old").await, App::saying("new").await);
    let world = World::draining(old.address, new.address, Duration::from_secs(2)).await;
    let polls = [old.asked(&world).await, old.asked(&world).await];
    world.serve(2, vec![shop(&[2])]).await;
    for poll in polls {
        let answer = within(poll).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "new"));
    }
    world.until(|status| status.draining.is_empty()).await;
}

#[tokio::test]
async fn what_must_not_be_done_twice_has_all_the_time_that_there_is() {
    let (old, new) = (Slow::saying("old").await, App::saying("new").await);
    let world = World::draining(old.address, new.address, Duration::from_secs(2)).await;
    let open = old.sent(&world, Method::POST).await;
    world.serve(2, vec![shop(&[2])]).await;
    tokio::time::sleep(world.drain_limit).await;
    old.let_go();
    assert_eq!(within(open).await.unwrap().text(), "old");
}

#[tokio::test]
async fn a_long_poll_of_a_balancer_that_ends_is_told_to_come_again() {
    let old = Slow::saying("old").await;
    let mut world = World::draining(old.address, nobody(), Duration::from_secs(2)).await;
    let poll = old.asked(&world).await;
    world.stop().await;
    let answer = within(poll).await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key(RETRY_AFTER), "{:?}", answer.headers);
}

#[tokio::test]
async fn an_instance_that_stalls_within_its_answer_is_timed_out_and_a_stream_of_events_is_not() {
    let app = App::raw(|mut stream| async move {
        let head = read_until(&mut stream, "\r\n\r\n").await;
        let kind = if head.contains("/events") { "text/event-stream" } else { "text/plain" };
        if head.contains("/healthz") {
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            return;
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\nbegun");
        let _ = stream.write_all(answer.as_bytes()).await;
        std::future::pending().await
    })
    .await;
    let world = impatient(&app).await;
    let mut events = reading(&world, "/events", 1).await;
    let stalled = reading(&world, "/", 1).await;
    for client in stalled {
        assert!(within(client).await.0.is_err());
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!((&mut events[0]).now_or_never().is_none(), "it goes on");
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_no_instance_that_stalls() {
    let app = App::start(|request| async move {
        match request.uri().path() {
            "/" => text(vec![b'a'; 32 * 1024 * 1024]),
            _ => text("well"),
        }
    })
    .await;
    let world = impatient(&app).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut answer = Vec::new();
    within(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer)).await.unwrap();
    assert!(answer.len() > 32 * 1024 * 1024, "{}", answer.len());
}

#[tokio::test]
async fn a_long_upload_behind_an_answer_that_has_begun_is_no_instance_that_stalls() {
    let app = App::raw(|mut stream| async move {
        let head = read_until(&mut stream, "\r\n\r\n").await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await;
        if head.contains("/upload") {
            read_until(&mut stream, "end").await;
        }
        let _ = stream.write_all(b"done").await;
    })
    .await;
    let world = impatient(&app).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = "POST /upload HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 13\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..10 {
        stream.write_all(b".").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stream.write_all(b"end").await.unwrap();
    assert!(read_until(&mut stream, "done").await.starts_with("HTTP/1.1 200 OK"));
}
