//! Where a request begins and ends, and where it goes: what is in doubt is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::app::{App, text};
use super::client::{raw, read_until};
use super::requests::echo;
use super::world::World;

#[tokio::test]
async fn requests_that_could_be_understood_in_two_ways_are_refused() {
    let reached = Arc::<AtomicU64>::default();
    let counter = Arc::clone(&reached);
    let app = App::start(move |request| {
        counter.fetch_add(u64::from(request.uri().path() != "/healthz"), Ordering::SeqCst);
        async { text("reached") }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let host = "Host: shop.example\r\n";
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Host: other.example\r\n\r\n"), "400"),
        ("GET / HTTP/1.1\r\nHost: shop.example/x\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: a@shop.example\r\n\r\n".to_owned(), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip\r\n\r\n"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "501"),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 5, 5\r\n\r\nhello"), "400"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: +5\r\n\r\nhello"), "400"),
        (format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400"),
        ("GET http://shop.example/ HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("GET http://a@shop.example/ HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET ftp://shop.example/ HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET shop.example HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET * HTTP/1.1\r\n{host}\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}a b: x\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}: x\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}X: a\rb\r\n\r\n"), "400"),
        (format!("CONNECT other.example:443 HTTP/1.1\r\n{host}\r\n"), "405"),
        (format!("GET / HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host} folded: x\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}X : y\r\n\r\n"), "400"),
        (format!("CONNECT shop.example:443 HTTP/1.1\r\n{host}\r\n"), "405"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "a".repeat(70_000)), "431"),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(66_000)), "4"),
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut stream, "\r\n").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {expected}")), "{head:?} to {request:.200}");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0, "something of it was forwarded");
}

#[tokio::test]
async fn a_chunked_body_stays_one_body_whatever_else_claims_its_length() {
    let app = echo().await;
    let world = World::serving(&[app.address]).await;
    for method in ["POST", "GET"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\
             Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        );
        let answer = raw(world.address, &request).await;
        assert!(
            answer.ends_with("\n\nhello") && answer.contains("\ntransfer-encoding: chunked\n"),
            "{answer}"
        );
        assert!(!answer.contains("content-length: 3"), "{answer}");
    }
}

#[tokio::test]
async fn what_follows_a_doubtful_request_is_not_taken_for_another_one() {
    let app = echo().await;
    let world = World::serving(&[app.address]).await;
    for (doubtful, expected) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "200"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n", "200"),
        ("Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "501"),
        ("Host: other.example\r\n\r\n", "400"),
        ("Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "400"),
    ] {
        let host = "Host: shop.example\r\n";
        let request = format!("POST / HTTP/1.1\r\n{host}{doubtful}GET /hidden HTTP/1.1\r\n{host}\r\n");
        let answers = raw(world.address, &request).await;
        assert!(answers.starts_with(&format!("HTTP/1.1 {expected} ")), "{doubtful:?}: {answers}");
        assert!(!answers.contains("/hidden"), "{doubtful:?}: {answers}");
    }
}

#[tokio::test]
async fn a_malformed_or_broken_body_is_not_blamed_on_the_app() {
    let app = echo().await;
    let world = World::serving(&[app.address]).await;
    for body in [
        "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    ] {
        let answer = raw(world.address, &format!("POST / HTTP/1.1\r\nHost: shop.example\r\n{body}")).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("the request's body"),
            "{body:?}: {answer}"
        );
    }
}
