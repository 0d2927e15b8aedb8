//! Bodies pass through as they come, in both directions, and nobody waits for somebody else's.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tandem_kit::http::{self as bodies, Body};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::app::{App, nobody, text};
use super::client::{Client, ask, fetch, get, read_until};
use super::world::{World, within};

fn channel_body() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, chunks) = mpsc::channel(1);
    (sender, bodies::stream(ReceiverStream::new(chunks).map(Ok::<Bytes, Infallible>)))
}

#[tokio::test]
async fn the_first_chunk_arrives_before_the_last_one_is_sent() {
    let (sender, body) = channel_body();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let app = App::start(move |request| {
        let body = if request.uri().path() == "/" { body.lock().unwrap().take() } else { None };
        async move { Response::new(body.unwrap_or_else(bodies::empty)) }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let mut answer = client.send(get("/")).await.unwrap();
    for chunk in ["one", "two", "three"] {
        sender.send(Bytes::from(chunk)).await.unwrap();
        let frame = within(answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), chunk);
    }
    drop(sender);
    assert!(within(answer.frame()).await.is_none());
}

#[tokio::test]
async fn an_upload_reaches_the_app_as_it_is_sent() {
    let (heard, mut hearing) = mpsc::channel::<Bytes>(1);
    let app = App::start(move |request| {
        let heard = heard.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                let _ = heard.send(frame.into_data().unwrap()).await;
            }
            text("done")
        }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let (sender, body) = channel_body();
    let request = Request::post("/").header(HOST, "shop.example").body(body).unwrap();
    let mut client = Client::connect(world.address).await;
    let asking = client.ask(request);
    let sending = async {
        for chunk in ["one", "two", "three"] {
            sender.send(Bytes::from(chunk)).await.unwrap();
            assert_eq!(within(hearing.recv()).await.unwrap(), chunk);
        }
        drop(sender);
    };
    let (answer, ()) = tokio::join!(asking, sending);
    assert_eq!(answer.unwrap().text(), "done");
}

#[tokio::test]
async fn a_big_upload_and_a_big_download_pass_whole() {
    const CHUNK: usize = 64 * 1024;
    const CHUNKS: u64 = 256;
    let app = App::start(|request| async move {
        // Sends back what it gets while it gets it.
        Response::new(request.into_body().map_err(Into::into).boxed_unsync())
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let chunks = futures_util::stream::iter(0..CHUNKS)
        .map(|number| Ok::<_, Infallible>(Bytes::from(vec![number as u8; CHUNK])));
    let request = Request::put("/")
        .header(HOST, "shop.example")
        .header(CONTENT_LENGTH, CHUNKS * CHUNK as u64)
        .body(bodies::stream(chunks))
        .unwrap();
    let mut client = Client::connect(world.address).await;
    let mut answer = client.send(request).await.unwrap();
    let mut place = 0_u64;
    while let Some(frame) = within(answer.frame()).await {
        for byte in frame.unwrap().into_data().unwrap() {
            assert_eq!(byte, (place / CHUNK as u64) as u8);
            place += 1;
        }
    }
    assert_eq!(place, CHUNKS * CHUNK as u64);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_app_back_instead_of_filling_memory() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let app = App::start(move |request| {
        let counter = Arc::clone(&counter);
        async move {
            let endless = futures_util::stream::repeat_with(move || {
                counter.fetch_add(64, Ordering::SeqCst);
                Ok::<_, Infallible>(Bytes::from_static(&[0; 64 * 1024]))
            });
            if request.uri().path() == "/" { Response::new(bodies::stream(endless)) } else { text("well") }
        }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let _unread = client.send(get("/")).await.unwrap();
    // Others are served meanwhile, on both threads.
    for _ in 0..10 {
        assert_eq!(fetch(world.address, "/other").await.text(), "well");
    }
    let mut last = u64::MAX;
    while sent.load(Ordering::SeqCst) != last {
        last = sent.load(Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert!(last < 64 * 1024, "{last} KiB were taken from the app");
}

/// A client that reads only after it has sent a long body; the first bytes of its answer.
async fn send_then_read(world: &World, host: &str) -> String {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let length = 32 * 1024 * 1024;
    let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let chunk = vec![0; 64 * 1024];
    for _ in 0..length / chunk.len() {
        within(writer.write_all(&chunk)).await.unwrap();
    }
    let mut answer = vec![0; 17];
    within(reader.read_exact(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_ends_is_delivered() {
    let app = App::start(|request| async move {
        drop(request);
        let mut answer = text("too large");
        *answer.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
        answer
    })
    .await;
    let world = World::serving(&[app.address]).await;
    assert_eq!(send_then_read(&world, "shop.example").await, "HTTP/1.1 413 Payl");
}

#[tokio::test]
async fn a_page_reaches_a_client_that_sends_everything_before_it_reads() {
    let world = World::serving(&[nobody()]).await;
    assert_eq!(send_then_read(&world, "shop.example").await, "HTTP/1.1 503 Serv");
    assert_eq!(send_then_read(&world, "other.example").await, "HTTP/1.1 404 Not ");
}

#[tokio::test]
async fn an_app_that_closes_on_an_upload_still_gets_its_answer_through() {
    let app = App::raw(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let _ =
            stream.write_all(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await;
    })
    .await;
    let world = World::serving(&[app.address]).await;
    for _ in 0..10 {
        let chunks =
            futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[0; 16 * 1024])));
        let request =
            Request::post("/").header(HOST, "shop.example").body(bodies::stream(chunks.take(64))).unwrap();
        let answer = ask(world.address, request).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (413, "big"));
    }
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on_when_an_instance_has_its_request() {
    let app = App::start(|request| async move {
        assert!(!request.headers().contains_key("expect"));
        text(bodies::read_limited(request.into_body(), 100).await.unwrap())
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    assert!(read_until(&mut stream, "hello").await.starts_with("HTTP/1.1 200 OK\r\n"));
    // For nobody there is nothing to go on with.
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(head.replace("shop", "other").as_bytes()).await.unwrap();
    assert!(read_until(&mut stream, "\r\n").await.starts_with("HTTP/1.1 404"));
}
