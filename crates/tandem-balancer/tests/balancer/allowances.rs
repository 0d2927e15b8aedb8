//! What an app says that its requests may take.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use http::header::HOST;
use tandem_kit::http as bodies;
use tandem_kit::tasks;
use tandem_types::{Limits, Span};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use super::app::App;
use super::client::{Client, ask, fetch, get, raw, read_until};
use super::http2::Client as Http2;
use super::world::{World, route, shop, within};

/// A balancer of one app with these limits, whose requests do not wait.
async fn limited(app: SocketAddr, limits: Limits) -> World {
    World::limited(app, Limits { hold: Some(Span::seconds(0)), ..limits }).await
}

/// An app that tells all that it gets on each connection but probes, and answers once a body has ended.
async fn telling() -> (App, mpsc::UnboundedReceiver<String>) {
    let (teller, told) = mpsc::unbounded_channel();
    let app = App::raw(move |mut stream| {
        let teller = teller.clone();
        async move {
            let (mut text, mut piece) = (String::new(), [0; 4096]);
            while let Ok(count @ 1..) = stream.read(&mut piece).await {
                text += &String::from_utf8_lossy(&piece[..count]);
                if text.ends_with("\r\n0\r\n\r\n") || text.ends_with("end") || text.contains("/healthz") {
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                    break;
                }
            }
            if !text.contains("/healthz") {
                teller.send(text).unwrap();
            }
        }
    })
    .await;
    (app, told)
}

#[tokio::test]
async fn a_head_or_a_body_that_is_too_long_does_not_reach_the_app() {
    let (app, mut told) = telling().await;
    let limits = Limits { head_bytes: Some(1024), body_bytes: Some(3), ..Limits::default() };
    let world = limited(app.address, limits).await;
    let mut long = get("/");
    long.headers_mut().insert("x-long", "a".repeat(1024).parse().unwrap());
    assert_eq!(ask(world.address, long).await.status, 431);
    for (body, status) in [("ends", 413), ("end", 204)] {
        let request = Request::post("/").header(HOST, "shop.example").body(bodies::full(body)).unwrap();
        assert_eq!(ask(world.address, request).await.status, status);
    }
    let first = within(told.recv()).await.unwrap();
    assert!(first.ends_with("\r\n\r\nend"), "the first that it hears of: {first:?}");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_where_it_becomes_too_long() {
    let (app, mut told) = telling().await;
    let world = limited(app.address, Limits { body_bytes: Some(10), ..Limits::default() }).await;
    let head =
        "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let whole = raw(world.address, &format!("{head}5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")).await;
    assert!(whole.starts_with("HTTP/1.1 204 "), "{whole}");
    assert!(within(told.recv()).await.unwrap().ends_with("\r\n0\r\n\r\n"));
    let cut = raw(world.address, &format!("{head}5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n")).await;
    assert!(cut.starts_with("HTTP/1.1 413 "), "{cut}");
    let told = within(told.recv()).await.unwrap();
    // The last chunk is a line of its own; an id at the end of the head may end with this digit as well.
    assert!(!told.contains("world") && !told.ends_with("\r\n0\r\n\r\n"), "{told}");
}

#[tokio::test]
async fn only_so_many_requests_are_under_way() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let notes = (Arc::clone(&begun), Arc::clone(&go_on));
    let app = App::raw(move |mut stream| {
        let (begun, go_on) = (Arc::clone(&notes.0), Arc::clone(&notes.1));
        async move {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            if head.contains("/slow") {
                begun.notify_one();
                go_on.notified().await;
            }
            let answer: &[u8] = match head.contains("upgrade") {
                true => b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
                false => b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
            };
            stream.write_all(answer).await.unwrap();
            if head.contains("upgrade") {
                let _ = stream.read(&mut [0]).await;
            }
        }
    })
    .await;
    let world = limited(app.address, Limits { requests: Some(1), ..Limits::default() }).await;
    let first = tasks::owned("client", ask(world.address, get("/slow")));
    within(begun.notified()).await;
    let answer = fetch(world.address, "/").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"));
    go_on.notify_one();
    assert_eq!(within(first).await.status, 204);
    within(until_status(&world, 204)).await;
    // A tunnel is under way for as long as it is open.
    let mut tunnel = TcpStream::connect(world.address).await.unwrap();
    let upgrade = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    tunnel.write_all(upgrade).await.unwrap();
    assert!(read_until(&mut tunnel, "\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
    assert_eq!(fetch(world.address, "/").await.status, 503);
    drop(tunnel);
    within(until_status(&world, 204)).await;
}

#[tokio::test]
async fn only_so_many_connections_are_an_apps_and_others_do_not_count() {
    let app = App::saying("well").await;
    let world = World::empty().await;
    world.place(&[(1, app.address)]);
    let mut limited = shop(&[1]);
    limited.pool.limits = Limits { connections: Some(2), ..Limits::default() };
    world.serve(1, vec![limited, route("other.example", "/", &[1])]).await;
    let ask_other = async |client: &mut Client| {
        let mut other = get("/");
        other.headers_mut().insert(HOST, "other.example".parse().unwrap());
        assert_eq!(client.ask(other).await.unwrap().status, 200);
    };
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(world.address).await;
        assert_eq!(client.ask(get("/")).await.unwrap().status, 200);
        // Who asked another app last is none of this one's.
        ask_other(&mut client).await;
        clients.push(client);
    }
    let (mut first, mut second) =
        (Client::connect(world.address).await, Client::connect(world.address).await);
    for client in [&mut first, &mut second] {
        for _ in 0..2 {
            assert_eq!(client.ask(get("/")).await.unwrap().status, 200);
        }
    }
    let mut third = Client::connect(world.address).await;
    let answer = third.ask(get("/")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (503, "close"));
    assert!(answer.text().contains("Too many visitors"), "{}", answer.text());
    ask_other(&mut first).await;
    within(until_status(&world, 200)).await;
    // Many requests at once, of one connection that is one.
    let mut many = Http2::connect(world.address).await;
    drop(second);
    within(until_status(&world, 200)).await;
    for _ in 0..3 {
        assert_eq!(many.get("/").await.status, 200);
    }
    within(until_status(&world, 200)).await;
}

/// Asks until somebody has given their place back.
async fn until_status(world: &World, status: u16) {
    while fetch(world.address, "/").await.status != status {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_slow_client_and_a_slow_instance_are_told_apart() {
    let app = App::raw(|mut stream| async move {
        let head = read_until(&mut stream, "\r\n\r\n").await;
        if head.contains("/healthz") {
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        } else {
            std::future::pending().await
        }
    })
    .await;
    let short = Some(Span::seconds(1));
    let patient = limited(app.address, Limits { client_timeout: short, ..Limits::default() }).await;
    let half = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 10\r\n\r\nhello";
    let answer = raw(patient.address, half).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let hasty = limited(app.address, Limits { answer_timeout: short, ..Limits::default() }).await;
    assert_eq!(fetch(hasty.address, "/").await.status, 504);
}
