//! Long answers of known length, which go from socket to socket within the kernel.

use std::time::Duration;

use http::header::CONTENT_LENGTH;
use tandem_kit::tasks;
use tandem_types::instance::Address;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener};

use super::app::App;
use super::client::{Client, get, read_until};
use super::world::{World, shop, within};

/// Bytes of which each place has its own.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / 251 + place % 251) as u8).collect()
}

/// Answers the requests of one connection: `/N` has a body of N bytes, of which `sent` says how many come, and what behind them.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, sent: impl Fn(usize) -> Vec<u8>) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let path = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let path = path.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
        let length = path.parse().unwrap_or(0);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let told = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&sent(length)).await
        };
        if told.await.is_err() || sent(length).len() < length {
            return;
        }
    }
}

#[tokio::test]
async fn each_answer_is_whole_whatever_its_length_and_so_is_the_one_behind_it() {
    let app = App::raw(|stream| answer(stream, content)).await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    for length in [0, 1, 32 << 10, 36 << 10, 65_536, 65_537, 300_000, 5 << 20, 3] {
        let answer = client.ask(get(&format!("/{length}"))).await.unwrap();
        assert_eq!(answer.header(CONTENT_LENGTH.as_str()), length.to_string());
        assert!(answer.body == content(length), "{length}");
    }
    assert!(app.connections() <= 3, "one for them all, beside those of probes");
}

#[tokio::test]
async fn an_instance_on_a_unix_socket_is_no_different() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let _app = tasks::owned("app", async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(answer(stream, content));
        }
    });
    let world = World::empty().await;
    world.place_at(&[(1, Address::Unix(path))]);
    world.serve(1, vec![shop(&[1])]).await;
    let mut client = Client::connect(world.address).await;
    for length in [1 << 20, 10, 100_000] {
        assert!(client.ask(get(&format!("/{length}"))).await.unwrap().body == content(length), "{length}");
    }
}

#[tokio::test]
async fn clients_that_take_their_time_get_all_of_it_and_hold_up_nobody() {
    let app = App::raw(|stream| answer(stream, content)).await;
    let world = World::serving(&[app.address]).await;
    let length = 6 << 20;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let ask = format!("GET /{length} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut client = Client::connect(world.address).await;
    assert!(client.ask(get("/100000")).await.unwrap().body == content(100_000));
    for mut stream in slow {
        read_until(&mut stream, "\r\n\r\n").await;
        let mut body = Vec::new();
        within(stream.read_to_end(&mut body)).await.unwrap();
        assert!(body == content(length));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_the_whole() {
    let app = App::raw(|stream| answer(stream, |length| content(length / 2))).await;
    let world = World::serving(&[app.address]).await;
    for length in [80_000, 1 << 20] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let ask = format!("GET /{length} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        read_until(&mut stream, "\r\n\r\n").await;
        let mut body = Vec::new();
        within(stream.read_to_end(&mut body)).await.unwrap();
        assert!(body == content(length)[..length / 2], "{} of {length}", body.len());
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_neither_passed_on_nor_taken_for_the_next_one() {
    let more =
        |length| [content(length), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_vec()].concat();
    let app = App::raw(move |stream| answer(stream, more)).await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    for length in [65_536, 40_000, 1 << 20, 70_000] {
        assert!(client.ask(get(&format!("/{length}"))).await.unwrap().body == content(length), "{length}");
    }
}
