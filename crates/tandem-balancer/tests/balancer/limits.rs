//! Clients and instances that are slow, silent or many.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::Response;
use tandem_kit::http as bodies;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::{App, text};
use super::client::{Client, fetch, get, idle, read_until};
use super::world::{World, eventually, within};
use tandem_balancer::TICK;
use tandem_balancer::WaitLimits;

/// A balancer with limits of a second or less.
async fn impatient(app: &App) -> World {
    with_limits(app, WaitLimits { head: 1, idle: 2, client: 2, answer: 2, ..WaitLimits::default() }).await
}

async fn with_limits(app: &App, limits: WaitLimits) -> World {
    let mut world = World::serving(&[app.address]).await;
    world.stop().await;
    world.limits = limits;
    world.start().await;
    world
}

/// Waits until the balancer closes a connection, however it does that.
async fn closed(stream: &mut TcpStream) {
    within(async { while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {} }).await;
}

#[tokio::test]
async fn an_instance_that_does_not_answer_in_time_is_told_of_on_a_page() {
    let app = App::start(|request| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        text("well")
    })
    .await;
    let world = impatient(&app).await;
    let mut client = Client::connect(world.address).await;
    let answer = client.ask(get("/never")).await.unwrap();
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains(answer.header("x-request-id")));
    assert_eq!(client.ask(get("/")).await.unwrap().text(), "well");
}

#[tokio::test]
async fn connections_that_send_nothing_or_not_enough_are_closed() {
    let app = App::saying("well").await;
    let world = impatient(&app).await;
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    let mut dripping = TcpStream::connect(world.address).await.unwrap();
    dripping.write_all(b"GET / HTTP/1.1\r\nHost: shop").await.unwrap();
    let mut idle = idle(world.address, "well").await;
    let mut stuck = TcpStream::connect(world.address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\nhalf";
    stuck.write_all(head).await.unwrap();
    for stream in [&mut silent, &mut dripping, &mut idle, &mut stuck] {
        closed(stream).await;
    }
}

#[tokio::test]
async fn who_is_too_slow_within_a_head_is_told_so_and_who_sends_nothing_is_not() {
    let app = App::saying("well").await;
    let world = impatient(&app).await;
    for (sent, told) in [("GET / HTTP/1.1\r\nHost: shop", "HTTP/1.1 408 "), ("", "")] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with(told) && answer.is_empty() == told.is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn an_upload_that_goes_on_may_take_longer_than_any_limit() {
    let app = App::start(|request| async move {
        let body = tandem_kit::http::read_limited(request.into_body(), 1000).await.unwrap();
        text(body.len().to_string())
    })
    .await;
    let world = impatient(&app).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\n").await.unwrap();
    for _ in 0..10 {
        stream.write_all(b"x").await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(read_until(&mut stream, "10").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_thousand_connections_that_drip_do_not_hold_up_others() {
    let app = App::saying("well").await;
    let world = World::serving(&[app.address]).await;
    let mut slow = Vec::new();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
        slow.push(stream);
    }
    for round in 0..20 {
        for stream in &mut slow[round * 50..][..50] {
            stream.write_all(b"x").await.unwrap();
        }
        assert_eq!(fetch(world.address, "/").await.text(), "well");
    }
}

/// Says that it sends no more after this request, and reads the whole answer.
async fn half_closed(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn a_client_that_says_it_sends_no_more_gets_its_whole_answer() {
    let app = App::start(|request| async move {
        let body = tandem_kit::http::read_limited(request.into_body(), 1000).await.unwrap();
        // Only after the end of the client's side must have come through.
        tokio::time::sleep(Duration::from_millis(50)).await;
        text([body, bytes::Bytes::from(vec![b'x'; 20 << 20])].concat())
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let get = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let answer = half_closed(&world, get).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.len() > 20 << 20, "{answer:.200}");
    let post = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\nhello";
    assert!(half_closed(&world, post).await.contains("\r\n\r\nhellox"));
    let both = half_closed(&world, &format!("{get}{get}")).await;
    assert_eq!(both.matches("HTTP/1.1 200 OK").count(), 2);
}

#[tokio::test]
async fn a_client_that_says_it_sends_no_more_gets_a_slow_answer_too() {
    let app = App::start(|_| async move {
        // Longer than half-closed clients may be silent.
        tokio::time::sleep(TICK * 4).await;
        text("well")
    })
    .await;
    let world = with_limits(&app, WaitLimits { half_closed: 1, ..WaitLimits::default() }).await;
    let answer = half_closed(&world, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("well"), "{answer}");
}

/// Counts a request for as long as an app has it.
struct Guard(Arc<AtomicU64>);

impl Guard {
    fn new(open: &Arc<AtomicU64>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An app that never answers, or only begins to (`/begun`), and how many requests it has.
async fn silent() -> (App, Arc<AtomicU64>) {
    let open = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&open);
    let app = App::start(move |request| {
        let counter = Arc::clone(&counter);
        async move {
            if request.uri().path() == "/" {
                let _guard = Guard::new(&counter);
                std::future::pending::<()>().await;
            }
            let guard = Guard::new(&counter);
            let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first")) });
            let never = stream::once(async move {
                let _guard = guard;
                std::future::pending().await
            });
            Response::new(bodies::stream(first.chain(never)))
        }
    })
    .await;
    (app, open)
}

const NEVER: u32 = u32::MAX;

/// A client leaves in this way while its request is under way; only the limits given may end it.
async fn leave(path: &str, limits: WaitLimits, way: impl FnOnce(TcpStream)) {
    let (app, open) = silent().await;
    let world = with_limits(&app, WaitLimits { client: NEVER, ..limits }).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n").as_bytes()).await.unwrap();
    eventually(|| open.load(Ordering::SeqCst) == 1).await;
    if path == "/begun" {
        // With the end of the chunk: what is left unread would turn the end into a reset.
        read_until(&mut stream, "first\r\n").await;
    }
    way(stream);
    eventually(|| open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_during_its_answer_frees_the_instance() {
    leave("/begun", WaitLimits { answer: NEVER, half_closed: 1, ..WaitLimits::default() }, drop).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_frees_the_instance_when_any_answer_would_be_late() {
    leave("/", WaitLimits { answer: 1, half_closed: NEVER, ..WaitLimits::default() }, drop).await;
}

#[tokio::test]
async fn a_client_that_breaks_off_is_not_waited_for() {
    let reset = |stream: TcpStream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    };
    leave("/", WaitLimits { answer: NEVER, half_closed: NEVER, ..WaitLimits::default() }, reset).await;
}

#[tokio::test]
async fn who_has_waited_longest_for_a_next_request_makes_room_for_who_comes() {
    let app = App::saying("well").await;
    let mut world = World::serving(&[app.address]).await;
    world.stop().await;
    (world.threads, world.most_connections) = (1, Some(2));
    world.start().await;
    let (mut first, mut second) =
        (Client::connect(world.address).await, Client::connect(world.address).await);
    first.ask(get("/")).await.unwrap();
    tokio::time::sleep(TICK * 2).await;
    second.ask(get("/")).await.unwrap();
    let mut third = Client::connect(world.address).await;
    assert_eq!(third.ask(get("/")).await.unwrap().text(), "well");
    assert!(first.ask(get("/")).await.is_err(), "it was closed");
    assert_eq!(second.ask(get("/")).await.unwrap().text(), "well");
}
