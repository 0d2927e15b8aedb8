//! Answers of every kind, from a listener that speaks bytes.

use std::net::{Ipv4Addr, SocketAddr};

use tandem_types::{Health, Span, defaults};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Failure, Purpose, Question, ask};
use crate::tasks::{self, Owned};

/// An app that answers one connection after the other with these bytes, and tells what it was asked.
struct App {
    address: SocketAddr,
    asked: Owned<Vec<String>>,
}

impl App {
    async fn answering<const N: usize>(answers: [&'static str; N]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let asked = tasks::owned("test-app", async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.expect("somebody asks");
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.expect("a request comes");
                stream.write_all(answer.as_bytes()).await.expect("the answer is read");
                asked.push(String::from_utf8_lossy(&request[..length]).to_lowercase());
            }
            asked
        });
        Self { address, asked }
    }

    async fn probe(&self, question: &Question) -> Result<(), Failure> {
        ask(question, || TcpStream::connect(self.address), defaults::PROBE_TIMEOUT).await
    }
}

fn question(health: Health) -> Question {
    Question { host: "guestbook.localhost".to_owned(), health, purpose: Purpose::Gate }
}

fn watching(health: Health) -> Question {
    Question { purpose: Purpose::Watch, ..question(health) }
}

#[tokio::test]
async fn what_is_below_500_is_good_but_400() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 301 Moved Permanently\r\nlocation: https://elsewhere\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\n\r\nno length, closed at the end",
        "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nbroken off",
    ] {
        let app = App::answering([answer]).await;
        let probed = app.probe(&question(Health::default())).await;
        probed.unwrap_or_else(|failure| panic!("{answer}: {failure}"));
    }
    for answer in
        ["HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\n\r\n"]
    {
        App::answering([answer]).await.probe(&question(Health::default())).await.expect_err(answer);
    }
}

#[tokio::test]
async fn the_app_is_asked_by_its_own_name_and_the_connection_is_not_kept() {
    let app = App::answering(["HTTP/1.1 204 No Content\r\n\r\n"]).await;
    app.probe(&question(Health::at("/healthz?a=1"))).await.expect("204 is good");
    let asked = app.asked.await.remove(0);
    assert!(asked.starts_with("get /healthz?a=1 http/1.1\r\n"), "{asked}");
    for line in ["host: guestbook.localhost", "connection: close", "x-forwarded-proto: http"] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {asked}");
    }
}

#[tokio::test]
async fn another_name_and_https_are_said_where_they_are_wished() {
    let app = App::answering(["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]).await;
    let health = Health { host: Some("www.example.org".to_owned()), https: true, ..Health::default() };
    app.probe(&question(health)).await.expect("200 is good");
    let asked = app.asked.await.remove(0);
    assert!(
        asked.contains("\r\nhost: www.example.org\r\n") && asked.contains("x-forwarded-proto: https\r\n")
    );
}

const TO_HTTPS: &str =
    "HTTP/1.1 301 Moved\r\nlocation: https://Guestbook.localhost/a/?b=1\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_redirect_to_https_is_followed_once_and_what_is_there_counts() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let app = App::answering([TO_HTTPS, ok]).await;
    app.probe(&question(Health { statuses: "200".parse().unwrap(), ..Health::default() })).await.unwrap();
    let asked = app.asked.await;
    assert!(asked[1].starts_with("get /a/?b=1 http/1.1\r\n"), "{asked:?}");
    assert!(
        asked[1].contains("x-forwarded-proto: https\r\n") && asked[1].contains("host: guestbook.localhost")
    );
    let app = App::answering([TO_HTTPS, "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"]).await;
    let failure = app.probe(&question(Health::default())).await.unwrap_err();
    assert_eq!(failure.to_string(), "GET /a/?b=1 answered 500 Internal Server Error");
    // From there on to a login page is no circle.
    let login =
        "HTTP/1.1 302 Found\r\nlocation: https://guestbook.localhost/login\r\ncontent-length: 0\r\n\r\n";
    App::answering([TO_HTTPS, login, ok]).await.probe(&question(Health::default())).await.unwrap();
}

#[tokio::test]
async fn an_app_that_redirects_to_https_for_ever_is_not_let_in_and_the_setting_is_named() {
    let failure =
        App::answering([TO_HTTPS, TO_HTTPS]).await.probe(&question(Health::default())).await.unwrap_err();
    assert!(failure.to_string().contains("redirects to https"), "{failure}");
    assert!(failure.is_lasting());
    assert!(failure.advice(true).unwrap().contains("SECURE_PROXY_SSL_HEADER"));
    assert!(failure.advice(false).unwrap().contains("X-Forwarded-Proto"));
}

#[tokio::test]
async fn who_redirects_lives_and_is_asked_once_where_it_is_only_watched() {
    App::answering([TO_HTTPS]).await.probe(&watching(Health::default())).await.unwrap();
    let only_200 = Health { statuses: "200".parse().unwrap(), ..Health::default() };
    let app = App::answering([TO_HTTPS, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]).await;
    app.probe(&watching(only_200)).await.unwrap();
}

#[tokio::test]
async fn an_app_that_sends_everybody_to_a_page_that_fails_is_not_let_in() {
    let to_login = "HTTP/1.1 302 Found\r\nlocation: /login/?next=/\r\ncontent-length: 0\r\n\r\n";
    let broken = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/html\r\n\r\n<h1>No manifest</h1>";
    let app = App::answering([to_login, broken]).await;
    let failure = app.probe(&question(Health::default())).await.expect_err("its login fails");
    assert_eq!(failure.to_string(), "GET /login/?next=/ answered 500 Internal Server Error: No manifest");
    App::answering([to_login]).await.probe(&watching(Health::default())).await.expect("it lives");
    let absolute =
        "HTTP/1.1 302 Found\r\nlocation: http://guestbook.localhost:8080/in\r\ncontent-length: 0\r\n\r\n";
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let app = App::answering([absolute, missing]).await;
    app.probe(&question(Health::default())).await.expect("whoever says 404 answers");
    assert!(app.asked.await[1].starts_with("get /in http/1.1"));
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: https://sso.example/\r\ncontent-length: 0\r\n\r\n";
    App::answering([elsewhere])
        .await
        .probe(&question(Health::default()))
        .await
        .expect("others are not asked");
    let app = App::answering([to_login; 4]).await;
    app.probe(&question(Health::default()))
        .await
        .expect("who sends round for cookies is asked no fifth time");
}

async fn refused(page: &'static str) -> Failure {
    App::answering([page]).await.probe(&question(Health::default())).await.unwrap_err()
}

#[tokio::test]
async fn a_refused_host_is_told_by_the_setting_that_lacks_it() {
    let django = refused(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<!doctype html><html lang=\"en\">\
         <head><title>Bad Request (400)</title></head><body><h1>Bad Request (400)</h1><p></p></body></html>",
    )
    .await;
    assert_eq!(django.to_string(), "GET / answered 400 Bad Request: Bad Request (400)");
    let advice = "add \"guestbook.localhost\" to ALLOWED_HOSTS in the settings";
    assert_eq!((django.advice(false).as_deref(), django.is_lasting()), (Some(advice), true));
    let starlette =
        refused("HTTP/1.1 400 Bad Request\r\ncontent-length: 19\r\n\r\nInvalid host header").await;
    assert!(starlette.advice(false).unwrap().contains("TrustedHostMiddleware"));
    let other = refused("HTTP/1.1 400 Bad Request\r\ncontent-length: 9\r\n\r\nno cookie").await;
    assert!(!other.is_lasting(), "it may yet answer otherwise");
    assert!(other.to_string().ends_with(": no cookie"), "{other}");
    let advice = other.advice(false).unwrap();
    assert!(advice.contains("guestbook.localhost") && !advice.contains("ALLOWED_HOSTS"), "{advice}");
    assert!(other.advice(true).unwrap().contains("ALLOWED_HOSTS"), "it is known to be Django");
}

#[tokio::test]
async fn an_error_is_told_with_its_first_line() {
    let failure = refused(
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 27\r\n\r\n\n\n  no such table: entries\n\n",
    )
    .await;
    assert_eq!(failure.to_string(), "GET / answered 500 Internal Server Error: no such table: entries");
    assert_eq!((failure.advice(true), failure.is_lasting()), (None, false));
}

#[tokio::test]
async fn a_connection_that_is_cut_is_a_failure() {
    let failure = refused("").await;
    assert!(matches!(failure, Failure::Broken { .. }), "{failure}");
}

#[tokio::test]
async fn nobody_there_is_told_from_all_else() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let connect = || TcpStream::connect(address);
    let failure = ask(&question(Health::default()), connect, defaults::PROBE_TIMEOUT).await.unwrap_err();
    assert!(failure.is_refused(), "{failure}");
}

#[tokio::test]
async fn an_app_that_never_answers_fails_when_its_time_is_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    let connect = || TcpStream::connect(address);
    let failure = ask(&question(Health::at("/slow")), connect, Span::millis(20)).await.unwrap_err();
    assert_eq!(failure.to_string(), "GET /slow got no answer within 20ms");
}

#[tokio::test]
async fn a_page_that_never_ends_is_good_by_its_status() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    let _app = tasks::owned("test-app", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nevent").await.unwrap();
        std::future::pending::<()>().await;
    });
    ask(&question(Health::default()), || TcpStream::connect(address), Span::millis(50)).await.unwrap();
}
