//! Answers of every kind, from a listener that speaks bytes.

use std::net::Ipv4Addr;

use tandem_kit::tasks::{self, Owned};
use tandem_types::{Health, Span, defaults};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Failure, Target, probe};

/// Answers one connection with these bytes and tells what was asked.
async fn server(answer: &'static str) -> (Target, Owned<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port();
    let asked = tasks::owned("test-app", async move {
        let (mut stream, _) = listener.accept().await.expect("somebody asks");
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.expect("a request comes");
        stream.write_all(answer.as_bytes()).await.expect("the answer is read");
        String::from_utf8_lossy(&request[..length]).to_lowercase()
    });
    let target =
        Target { port, host_header: "guestbook.localhost".to_owned(), health: Health::at("/healthz?a=1") };
    (target, asked)
}

#[tokio::test]
async fn any_status_below_500_is_good() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 301 Moved Permanently\r\nlocation: https://elsewhere\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\n\r\nno length, closed at the end",
    ] {
        let (target, asked) = server(answer).await;
        probe(&target, defaults::PROBE_TIMEOUT).await.unwrap_or_else(|failure| panic!("{answer}: {failure}"));
        asked.await;
    }
}

#[tokio::test]
async fn the_app_is_asked_by_its_own_name_and_the_connection_is_not_kept() {
    let (target, asked) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
    probe(&target, defaults::PROBE_TIMEOUT).await.expect("204 is good");
    let asked = asked.await;
    assert!(asked.starts_with("get /healthz?a=1 http/1.1\r\n"), "{asked}");
    for line in ["host: guestbook.localhost", "connection: close", "x-forwarded-proto: http"] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {asked}");
    }
}

#[tokio::test]
async fn an_error_is_told_with_its_first_line() {
    let (target, _asked) = server(
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 33\r\n\r\n\n\n  no such table: entries\n\nmore..",
    )
    .await;
    let failure = probe(&target, defaults::PROBE_TIMEOUT).await.expect_err("500 is bad");
    assert_eq!(
        failure.to_string(),
        "GET /healthz?a=1 answered 500 Internal Server Error: no such table: entries"
    );
}

#[tokio::test]
async fn a_connection_that_is_cut_is_a_failure() {
    let (target, _asked) = server("").await;
    assert!(matches!(probe(&target, defaults::PROBE_TIMEOUT).await, Err(Failure::Broken { .. })));
}

#[tokio::test]
async fn a_port_nobody_listens_on_is_told() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let target = Target { port, host_header: "a".to_owned(), health: Health::default() };
    let failure = probe(&target, defaults::PROBE_TIMEOUT).await.expect_err("nobody is there");
    assert_eq!(failure.to_string(), format!("nothing listens on port {port} yet: connection refused"));
}

#[tokio::test]
async fn an_app_that_never_answers_fails_when_its_time_is_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port();
    let target = Target { port, host_header: "a".to_owned(), health: Health::at("/slow") };
    let failure = probe(&target, Span::millis(20)).await.expect_err("nobody answers");
    assert_eq!(failure.to_string(), "GET /slow got no answer within 20ms");
}
