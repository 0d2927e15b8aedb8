//! Requests that are passed on, and what exactly the instance gets of them: fields that frame, name or belong to one
//! connection are the balancer's own, whatever the client wrote.

use super::{HIDDEN, Proof, get, post};

/// What the instance gets, but for the four fields that the balancer puts behind all others.
macro_rules! got_get {
    ($rest:literal) => {
        concat!("GET / HTTP/1.1\r\nhost: shop.example\r\n", $rest)
    };
}

macro_rules! got_post {
    ($rest:literal) => {
        concat!("POST / HTTP/1.1\r\nhost: shop.example\r\n", $rest)
    };
}

/// Name, what is sent, what the instance gets of it.
type Table = &'static [(&'static str, &'static str, &'static str)];

const BODIES: Table = &[
    ("nothing", post!("\r\n"), got_post!("\r\n")),
    ("a length", post!("Content-Length: 5\r\n\r\nhello"), got_post!("content-length: 5\r\n\r\nhello")),
    ("zeros ahead", post!("Content-Length: 005\r\n\r\nhello"), got_post!("content-length: 5\r\n\r\nhello")),
    ("a body of a GET", get!("Content-Length: 5\r\n\r\nhello"), got_get!("content-length: 5\r\n\r\nhello")),
    (
        "chunks in any case",
        post!("TRANSFER-encoding:\tChunked \r\n\r\n05\r\nhello\r\n000\r\n\r\n"),
        got_post!("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "chunks of a GET",
        get!("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        got_get!("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "extensions",
        post!("Transfer-Encoding: chunked\r\n\r\n5 ; a=b;c=\"d \\\" e\"\t\r\nhello\r\n0;f\r\n\r\n"),
        got_post!("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "trailers that frame, name or forward",
        post!(
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\
             Host: other.example\r\nX-Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nX-Request-Id: 6\r\n\
             Connection: close\r\nAuthorization: a\r\nCookie: a\r\nSet-Cookie: a\r\nContent-Type: a\r\nX-Sum: 1\r\n\r\n"
        ),
        got_post!("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    ),
    (
        "a length beside a coding that only looks like one",
        post!("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello"),
        got_post!("content-length: 5\r\n\r\nhello"),
    ),
    (
        "a coding beside a length that only looks like one",
        post!("Content_Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        got_post!("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ),
    (
        "a request within a body",
        post!("Content-Length: 44\r\n\r\nGET /hidden HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
        got_post!("content-length: 44\r\n\r\nGET /hidden HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
    ),
];

const FIELDS: Table = &[
    ("empty lines ahead", "\r\n\r\nGET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", got_get!("\r\n")),
    (
        "what is said of where it came from",
        get!(
            "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-for: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_For: 6.6.6.6\r\n\
             X-Forwarded-Host: 6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 6\r\nX-Forwarded-Server: 6\r\n\
             Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX_Real_Ip: 6\r\nX_Request_Id: 6\r\nX: kept\r\n\r\n"
        ),
        got_get!("X: kept\r\n\r\n"),
    ),
    (
        "what only a proxy may say of the path and the user",
        get!(
            "SCRIPT_NAME: /public\r\nScript_Name: /a\r\nPATH_INFO: /b\r\nREMOTE_USER: root\r\nX_Own: kept\r\n\r\n"
        ),
        got_get!("X_Own: kept\r\n\r\n"),
    ),
    ("two ids, of which none counts", get!("X-Request-Id: a\r\nX-Request-Id: b\r\n\r\n"), got_get!("\r\n")),
    (
        "an id with what logs and shells mean something by",
        get!("X-Request-Id: a\" $(b)\r\n\r\n"),
        got_get!("\r\n"),
    ),
    (
        "what CGI takes for a setting",
        get!("Proxy: http://6.6.6.6/\r\nX: kept\r\n\r\n"),
        got_get!("X: kept\r\n\r\n"),
    ),
    (
        "fields of one connection",
        get!(
            "Connection: close, X-Mine\r\nConnection: x-Too\r\nX-Mine: 1\r\nx-too: 1\r\nKeep-Alive: 300\r\nTE: trailers\r\n\
             Trailer: X\r\nProxy-Connection: close\r\nProxy-Authorization: a\r\nX: kept\r\n\r\n"
        ),
        got_get!("X: kept\r\n\r\n"),
    ),
    (
        "fields that nobody can name away",
        post!(
            "Connection: close, Host, Content-Length, Content-Type, X-Forwarded-For, X-Request-Id, Transfer-Encoding\r\n\
             Content-Type: a\r\nX-Forwarded-For: 6.6.6.6\r\nContent-Length: 5\r\n\r\nhello"
        ),
        got_post!("Content-Type: a\r\ncontent-length: 5\r\n\r\nhello"),
    ),
    (
        "names without sense",
        get!("Connection: ,, \t,:,X Y,\"close\r\nX: kept\r\n\r\n"),
        got_get!("X: kept\r\n\r\n"),
    ),
    ("bytes beyond ASCII in a value", get!("X: \u{f6}\r\n\r\n"), got_get!("X: \u{f6}\r\n\r\n")),
];

const TARGETS: Table = &[
    (
        "an absolute target against the host",
        "GET http://shop.example/a?b HTTP/1.1\r\nHost: other.example\r\n\r\n",
        "GET /a?b HTTP/1.1\r\nhost: shop.example\r\n\r\n",
    ),
    (
        "an absolute target with a port",
        "GET HTTPS://shop.example:8443 HTTP/1.1\r\nHost: other.example:1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: shop.example:8443\r\n\r\n",
    ),
    (
        "the server as a whole",
        "OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: shop.example\r\n\r\n",
    ),
    (
        "a fragment",
        "GET /a#b HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n",
    ),
    (
        "an empty port",
        "GET / HTTP/1.1\r\nHost: shop.example:\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: shop.example:\r\n\r\n",
    ),
    (
        "two slashes",
        "GET //other.example/a HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        "GET //other.example/a HTTP/1.1\r\nhost: shop.example\r\n\r\n",
    ),
    (
        "an absolute target within a path",
        "GET /http://other.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        "GET /http://other.example/ HTTP/1.1\r\nhost: shop.example\r\n\r\n",
    ),
];

/// Wishes to leave HTTP. The instance answers all of them as ordinary requests, so what follows is an ordinary one, too.
const UPGRADES: Table = &[
    (
        "a websocket",
        get!("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n\r\n"),
        got_get!("Sec-WebSocket-Key: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
    ),
    (
        "a websocket with a body",
        get!("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello"),
        got_get!("content-length: 5\r\n\r\nhello"),
    ),
    (
        "a websocket with chunks",
        get!("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        got_get!("transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    ),
    ("a websocket by POST", post!("Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"), got_post!("\r\n")),
    ("an upgrade that is not meant", get!("Upgrade: websocket\r\n\r\n"), got_get!("\r\n")),
    ("an upgrade to nothing", get!("Connection: upgrade\r\n\r\n"), got_get!("\r\n")),
    (
        "HTTP/2 in the clear",
        get!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\n"
        ),
        got_get!("\r\n"),
    ),
    (
        "HTTP/2 behind a websocket",
        get!("Connection: upgrade\r\nUpgrade: websocket, H2C\r\n\r\n"),
        got_get!("\r\n"),
    ),
    (
        "two upgrades",
        get!("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n"),
        got_get!("\r\n"),
    ),
];

/// Each reaches the instance as the table says, is answered, and so is what follows unless the client closes.
async fn all_are_passed_on(table: Table) {
    let proof = Proof::new().await;
    for (name, sent, got) in table {
        let (told, said) = proof.send(&format!("{sent}{HIDDEN}")).await;
        let closes = said.matches("\r\nconnection: close\r\n").count();
        let answers = if sent.contains("close,") { 1 } else { 2 };
        assert_eq!((told.as_slice(), closes), (&[200, 200][..answers], 2 - answers), "{name}: {said}");
        let heard: Vec<_> = proof.heard(answers).await.iter().map(super::Heard::text).collect();
        let hidden = "GET /hidden HTTP/1.1\r\nhost: shop.example\r\n\r\n";
        assert_eq!(heard, [got, hidden].map(with_own)[..answers], "{name}");
    }
}

/// With the fields that the balancer puts behind all others.
fn with_own(got: &str) -> String {
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    let host = head.split("\r\nhost: ").nth(1).unwrap().split("\r\n").next().unwrap();
    format!(
        "{head}\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: {host}\r\n\
         x-request-id: ID\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn bodies_are_framed_anew() {
    all_are_passed_on(BODIES).await;
}

#[tokio::test]
async fn fields_that_are_not_the_clients_to_set_are_gone() {
    all_are_passed_on(FIELDS).await;
}

#[tokio::test]
async fn targets_become_paths_and_their_hosts_go_first() {
    all_are_passed_on(TARGETS).await;
}

#[tokio::test]
async fn only_a_plain_wish_to_leave_http_is_passed_on() {
    all_are_passed_on(UPGRADES).await;
}

#[tokio::test]
async fn a_client_of_http_1_0_is_told_nothing_that_it_does_not_know() {
    let proof = Proof::new().await;
    for fields in [
        "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let (told, said) =
            proof.send(&format!("POST / HTTP/1.0\r\nHost: shop.example\r\n{fields}{HIDDEN}")).await;
        assert_eq!(told, [200], "{said}");
        assert!(said.starts_with("HTTP/1.0 200 OK\r\n"), "{said}");
        assert_eq!(proof.heard(1).await.len(), 1, "it did not ask to be kept");
    }
}

#[tokio::test]
async fn a_body_that_is_refused_to_be_asked_for_is_not_taken_for_a_request() {
    let proof = Proof::new().await;
    // Nobody told the client to send it, so nobody knows whether this is the body.
    let sent = "POST / HTTP/1.1\r\nHost: other.example\r\nExpect: 100-continue\r\nContent-Length: 44\r\n\r\n";
    let (told, said) = proof.send(&format!("{sent}{HIDDEN}")).await;
    assert_eq!(told, [404], "{said}");
    assert!(said.contains("\r\nconnection: close\r\n") && proof.heard(0).await.is_empty(), "{said}");
}
