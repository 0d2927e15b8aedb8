//! Websockets and other protocols after an upgrade.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tandem_kit::http as bodies;
use tandem_kit::tasks;
use tandem_types::{Epoch, InstanceId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::{App, text};
use super::client::read_until;
use super::world::{World, shop, within};

const ASK: &[u8] = b"GET /socket HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";

/// An app that greets, then echoes what it gets after an upgrade.
pub(super) async fn echoing() -> App {
    App::start(|mut request| async move {
        if request.headers().get(UPGRADE).is_none_or(|protocol| protocol != "websocket") {
            return text("no upgrade");
        }
        assert_eq!(request.headers()[CONNECTION], "upgrade");
        let upgraded = hyper::upgrade::on(&mut request);
        let echo = async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            stream.write_all(b"welcome").await.unwrap();
            let mut buffer = vec![0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..count]).await.unwrap();
            }
        };
        // Ends with its connection, which the test outlives.
        std::mem::forget(tasks::owned("echo", echo));
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "upgrade, x-internal")
            .header("x-internal", "1")
            .header("sec-websocket-accept", "y")
            .body(bodies::full(Bytes::new()))
            .unwrap()
    })
    .await
}

/// A client that has switched.
pub(super) async fn switched(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for line in ["upgrade: websocket", "connection: upgrade", "sec-websocket-accept: y"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {head}");
    }
    assert!(head.contains("x-request-id: ") && !head.contains("x-internal"), "{head}");
    stream
}

pub(super) async fn echo(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = vec![0; text.len()];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, text.as_bytes());
}

#[tokio::test]
async fn a_websocket_passes_both_ways_until_one_side_ends() {
    let app = echoing().await;
    let world = World::serving(&[app.address]).await;
    let mut stream = switched(&world).await;
    assert_eq!(read_until(&mut stream, "welcome").await, "welcome");
    for number in 0..100 {
        echo(&mut stream, &format!("message {number}")).await;
    }
    stream.shutdown().await.unwrap();
    assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_wish_that_is_not_carried_through_is_an_ordinary_request() {
    let app = echoing().await;
    let world = World::serving(&[app.address]).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let ask = std::str::from_utf8(ASK).unwrap().replace("websocket", "h2c");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "no upgrade").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn an_open_websocket_counts_as_in_flight_and_ends_within_the_drain() {
    let (old, new) = (echoing().await, echoing().await);
    let world = World::draining(old.address, new.address, Duration::from_secs(2)).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = switched(&world).await;
        read_until(&mut stream, "welcome").await;
        streams.push(stream);
    }
    world.serve(2, vec![shop(&[2])]).await;
    let status = world.until(|status| status.serving == Epoch(2)).await;
    assert!(status.draining[&InstanceId(1)] > 0, "{status:?}");
    for mut stream in streams {
        within(stream.read_to_end(&mut Vec::new())).await.unwrap();
    }
    world.until(|status| status.draining.is_empty()).await;
}

#[tokio::test]
async fn a_websocket_goes_on_when_its_instance_comes_back_in_time() {
    let (old, new) = (echoing().await, echoing().await);
    let world = World::draining(old.address, new.address, Duration::from_secs(60)).await;
    let mut stream = switched(&world).await;
    read_until(&mut stream, "welcome").await;
    world.serve(2, vec![shop(&[2])]).await;
    world.serve(3, vec![shop(&[1])]).await;
    echo(&mut stream, "still here").await;
    assert!(world.until(|_| true).await.draining.is_empty());
}
