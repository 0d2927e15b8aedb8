//! The same for clients that come over TLS or speak HTTP/2.

use std::time::Duration;

use futures_util::future;
use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Load;
use crate::client::{Client, get};
use crate::dial::Dial;
use crate::requests;
use crate::slow::Slow;
use crate::streams::Streams;
use crate::tls::certificate;
use crate::world::{World, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_nothing_is_lost_over_tls_nor_by_http_2() {
    let app = requests::echo().await;
    let (own, root) = certificate(&["shop.example"]);
    let mut world = World::secure(&[app.address], &[own]).await;
    let secure = world.secure.unwrap();
    let tls = Load::by(&Dial::tls(secure, &root), 4);
    let http2 = Load::multiplexed(&Dial::http2(secure, &root), 3);
    let plain = Load::multiplexed(&Dial::plain(world.address), 3);
    let loads = [tls, http2, plain];
    let threads = [1, 3, 1];
    for threads in threads {
        more(&loads).await;
        world.threads = threads;
        let before = world.hand_over().await.unwrap();
        more(&loads).await;
        before.ended().await;
    }
    more(&loads).await;
    for multiplexed in &loads[1..] {
        let opened = multiplexed.opened();
        assert!(opened > threads.len() as u64, "only {opened} connections: none of them was to be left");
    }
    for load in loads {
        let good = load.finish().await;
        assert!(good > 100, "only {good} requests were made");
    }
}

#[tokio::test]
async fn requests_that_take_long_are_answered_by_the_old_one_over_tls_and_by_http_2() {
    let app = Slow::saying("late").await;
    let (own, root) = certificate(&["shop.example"]);
    let mut world = World::secure(&[app.address], &[own]).await;
    world.stop().await;
    // Nothing is cut off by that.
    world.drain_limit = Duration::from_secs(600);
    world.start().await;
    let secure = world.secure.unwrap();
    let http2 = [Dial::http2(secure, &root), Dial::plain(world.address)];
    let multiplexed =
        future::join_all(http2.iter().map(async |dial| Streams::open(dial).await.unwrap())).await;
    let mut silent = silent(&world).await;
    // One of each connection is answered before the others.
    let mut first = Vec::new();
    for streams in &multiplexed {
        first.push(app.asked_by(streams.ask("/slow", &[])).await);
    }
    let mut tls = Client::by(&Dial::tls(secure, &root)).await.unwrap();
    let tls = app.asked_by(async move { tls.ask(get("/slow")).await }).await;
    let mut last = Vec::new();
    for streams in &multiplexed {
        last.push(app.asked_by(streams.ask("/slow", &[])).await);
    }
    let before = world.hand_over().await.unwrap();
    for answer in first {
        app.let_go();
        assert_eq!(within(answer).await.unwrap(), late());
    }
    // Who does not answer a farewell is left after a while; nobody else is then.
    silent.write_all(WINDOW_UPDATE).await.unwrap();
    within(silent.read_to_end(&mut Vec::new())).await.unwrap();
    for _ in 0..3 {
        app.let_go();
    }
    let answer = within(tls).await.unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("late", "close"));
    for (answer, streams) in last.into_iter().zip(multiplexed) {
        assert_eq!(within(answer).await.unwrap(), late());
        within(streams.ended()).await.unwrap();
    }
    before.ended().await;
}

fn late() -> (StatusCode, String) {
    (StatusCode::OK, "late".to_owned())
}

/// Some more may be sent to a client, of whatever.
const WINDOW_UPDATE: &[u8] = b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01";

/// A client of HTTP/2 that says hello, and hears nothing of what is said to it.
async fn silent(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    within(stream.read_exact(&mut [0; 9])).await.unwrap();
    stream
}

async fn more(loads: &[Load]) {
    future::join_all(loads.iter().map(Load::more)).await;
}
