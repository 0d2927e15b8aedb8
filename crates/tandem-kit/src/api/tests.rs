//! Calls against a real server on a unix socket or TCP.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tandem_types::problem::Problem;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::test_server::TestServer;
use super::{Client, Error, Server};
use crate::http::{Body, empty, full, json, stream};

fn answer(status: StatusCode, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

/// Answers with method and path, or as the path asks for.
fn echo(request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/empty" => answer(StatusCode::NO_CONTENT, empty()),
        "/teapot" => answer(StatusCode::IM_A_TEAPOT, full("<html>")),
        "/nonsense" => answer(StatusCode::OK, full("{")),
        "/echo" => Response::new(request.into_body().map_err(Into::into).boxed_unsync()),
        "/numbers" => Response::new(full("1\n2\n\n3\n")),
        "/endless" => Response::new(stream(futures_util::stream::repeat_with(|| {
            Ok::<_, std::io::Error>("x".repeat(1024).into())
        }))),
        "/missing" => {
            let problem = Problem::new(404, "app_not_found", "no app is named so").hint("tandem app list");
            answer(StatusCode::NOT_FOUND, json(&problem))
        }
        path => Response::new(json(&format!("{} {path}", request.method()))),
    }
}

async fn start(folder: &Path) -> TestServer {
    TestServer::start(folder.join("api.sock"), echo).await
}

#[tokio::test]
async fn json_goes_both_ways_and_no_body_is_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let client = server.client();
    assert_eq!(client.get::<String>("/a?b=c").await.unwrap(), "GET /a");
    assert_eq!(client.put::<_, String>("/a", &1).await.unwrap(), "PUT /a");
    assert_eq!(client.patch::<_, String>("/a", &1).await.unwrap(), "PATCH /a");
    assert_eq!(client.delete::<String>("/a").await.unwrap(), "DELETE /a");
    assert_eq!(client.post::<_, Vec<u32>>("/echo", &[1, 2]).await.unwrap(), [1, 2]);
    client.get::<()>("/empty").await.unwrap();
    assert_eq!(server.accepted(), 1, "one connection serves one call after the other");
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let client = server.client();
    for round in 1..=20 {
        client.post::<_, u32>("/echo", &round).await.unwrap();
        server.cut().await;
    }
    assert_eq!(server.accepted(), 20);
}

#[tokio::test]
async fn reading_is_tried_again_when_the_kept_connection_dies_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let listener = crate::http::bind_unix(&folder.path().join("api.sock"), 0o600).await.unwrap();
    let client = Client::new(Server::Unix(folder.path().join("api.sock")));
    let serve = async {
        for _ in 0..2 {
            // Answers the first request of the connection and closes it under the second.
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n7").await.unwrap();
            read_head(&mut stream).await;
        }
    };
    let calls = async {
        assert_eq!(client.get::<u32>("/").await.unwrap(), 7);
        assert_eq!(client.get::<u32>("/").await.unwrap(), 7, "went to a new connection");
        let written = client.post::<_, u32>("/", &1).await;
        assert!(matches!(written, Err(Error::Closed { .. })), "a change that went out is not sent again");
    };
    tokio::join!(serve, calls);
}

/// Reads the head of a request, and some or all of its body.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        assert!(stream.read_buf(&mut head).await.unwrap() > 0, "the connection ended within a head");
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

#[tokio::test]
async fn calls_at_once_use_connections_of_their_own_and_few_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let client = server.client();
    for _ in 0..3 {
        let call = async |number: u32| client.post::<_, u32>("/echo", &number).await.unwrap();
        let answers = futures_util::future::join_all((0..20).map(call)).await;
        assert!(answers.into_iter().eq(0..20));
    }
    // The first round needs 20; later ones find some kept.
    assert!((20..60).contains(&server.accepted()), "{}", server.accepted());
}

#[tokio::test]
async fn a_problem_comes_with_its_hint_and_anything_else_names_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let error = server.client().get::<String>("/missing").await.unwrap_err();
    assert_eq!(error.problem().unwrap().code, "app_not_found");
    assert_eq!(error.hint().unwrap(), "tandem app list");
    let error = server.client().get::<String>("/teapot").await.unwrap_err();
    assert_eq!(error.to_string(), "understand the answer to GET /teapot");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("418"), "{cause}");
    assert!(matches!(server.client().get::<String>("/nonsense").await, Err(Error::Protocol { .. })));
}

/// As one that was stopped: the kernel takes connections and some bytes in its place.
#[tokio::test]
async fn a_server_that_does_nothing_is_given_up_whatever_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let _stopped = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut client = Client::new(Server::Unix(path)).waiting(Duration::from_millis(20));
    client.stalled = Duration::from_millis(20);
    let told = |error: Error| {
        assert!(error.is_lost());
        error.to_string()
    };
    let text = told(client.get::<String>("/a").await.unwrap_err());
    assert_eq!(text, "read the answer to GET /a: nothing came within 20ms");
    let lines: Vec<_> = client.lines::<u32>("/numbers").collect().await;
    assert!(matches!(lines.as_slice(), [Err(Error::Silent { .. })]));
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0; 65_536].into()));
    let body = crate::http::stream(endless);
    assert!(matches!(client.post_stream("/all", body).await, Err(Error::Silent { .. })));
}

#[tokio::test]
async fn a_server_that_refuses_a_body_and_closes_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let client = Client::new(Server::Unix(path));
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0; 65_536].into()));
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let problem = serde_json::to_string(&Problem::new(409, "volume_in_use", "it is open")).unwrap();
        let head = format!("HTTP/1.1 409 Conflict\r\ncontent-length: {}\r\n\r\n", problem.len());
        stream.write_all(format!("{head}{problem}").as_bytes()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(client.post_stream("/all", crate::http::stream(endless)), serve);
    let error = answer.expect_err("it was refused");
    assert_eq!(error.problem().map(|problem| problem.title.as_str()), Some("it is open"), "{error:?}");
}

#[tokio::test]
async fn a_body_that_is_slow_to_be_made_is_no_fault_of_the_servers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut client = Client::new(Server::Unix(path));
    client.stalled = Duration::from_millis(20);
    let slow = futures_util::stream::once(async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok::<_, std::io::Error>("the end".into())
    });
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"the end\r\n0\r\n\r\n") {
            stream.read_buf(&mut read).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        stream
    };
    let (answer, _stream) = tokio::join!(client.post_stream("/all", crate::http::stream(slow)), serve);
    assert!(answer.is_ok(), "{:?}", answer.err());
}

#[tokio::test]
async fn no_server_is_told_with_the_command_that_starts_one() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(Server::Unix(folder.path().join("socket")));
    let error = client.get::<String>("/").await.unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }));
    assert!(error.hint().unwrap().contains("tandem up"));
    assert!(error.is_lost());
}

#[tokio::test]
async fn a_link_whose_path_is_too_long_for_a_socket_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let deep = folder.path().join("d".repeat(150));
    std::fs::create_dir(&deep).unwrap();
    std::os::unix::fs::symlink(&server.path, deep.join("socket")).unwrap();
    let client = Client::new(Server::Unix(deep.join("socket")));
    assert_eq!(client.get::<String>("/a").await.unwrap(), "GET /a");
}

#[tokio::test]
async fn over_tcp_the_token_is_sent_and_an_unused_port_is_told() {
    let listener = crate::http::bind_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server: Server = format!("http://{address}").parse().unwrap();
    let client = Client::new(server.with_token(Some("s3cret".to_owned())));
    let call = crate::tasks::owned("call", {
        let client = client.clone();
        async move { client.get::<()>("/").await }
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.contains("authorization: bearer s3cret\r\n"), "{head}");
    assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
    drop((stream, listener));
    assert!(matches!(call.await, Err(Error::Closed { .. })), "a request that went out is not sent again");
    let error = client.get::<()>("/").await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }));
    assert_eq!(error.to_string(), format!("connect to http://{address}"));
}

#[tokio::test]
async fn lines_are_values_and_their_first_item_tells_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let numbers: Vec<_> = server.client().lines::<u32>("/numbers").map(Result::unwrap).collect().await;
    assert_eq!(numbers, [1, 2, 3]);
    let refused: Vec<_> = server.client().lines::<u32>("/missing").collect().await;
    assert!(matches!(refused.as_slice(), [Err(Error::Problem(_))]));
}

#[tokio::test]
async fn an_answer_dropped_half_read_takes_its_connection_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let client = server.client();
    let mut body = client.post_stream("/endless", empty()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(client.get::<String>("/a").await.unwrap(), "GET /a");
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let client = Client::keeping(Server::Unix(server.path.clone()), Duration::from_millis(20));
    for connections in 1..=2 {
        client.get::<String>("/a").await.unwrap();
        assert_eq!(server.accepted(), connections);
        tokio::time::timeout(Duration::from_secs(30), server.all_closed()).await.unwrap();
    }
}
