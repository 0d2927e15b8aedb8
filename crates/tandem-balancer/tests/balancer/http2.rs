//! Clients that speak HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tandem_kit::http::{self as bodies};
use tandem_kit::tasks::{self, Owned};
use tandem_types::defaults::MOST_HELD_BYTES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::{App, nobody};
use super::client::read_until;
use super::holding::{LONG, waiting_for};
use super::world::{World, eventually, within};
use tandem_balancer::WaitLimits;

/// A connection that knows beforehand what is spoken.
pub(super) struct Client {
    sender: SendRequest<Bytes>,
    driver: Owned<()>,
}

/// An answer read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = within(client::handshake(stream)).await.unwrap();
        let driver = tasks::owned("http2-client", async move {
            let _ = connection.await;
        });
        Self { sender, driver }
    }

    /// Sends a request with a body, or without one.
    async fn begin(&mut self, request: Request<()>, body: Option<&[u8]>) -> client::ResponseFuture {
        within(std::future::poll_fn(|context| self.sender.poll_ready(context))).await.unwrap();
        let (answer, mut send) = self.sender.send_request(request, body.is_none()).unwrap();
        if let Some(body) = body {
            send.send_data(Bytes::copy_from_slice(body), true).unwrap();
        }
        answer
    }

    async fn ask(&mut self, request: Request<()>, body: Option<&[u8]>) -> Answer {
        read(within(self.begin(request, body).await).await.unwrap()).await.unwrap()
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.ask(get(path), None).await
    }
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://shop.example{path}")).body(()).unwrap()
}

async fn read(answer: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut body) = answer.into_parts();
    let mut all = Vec::new();
    while let Some(data) = within(body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    let trailers = within(body.trailers()).await?;
    Ok(Answer { status: parts.status, headers: parts.headers, body: all, trailers })
}

/// Says what came: method, path, forwarded fields and body.
async fn mirror(request: Request<Incoming>) -> Response<bodies::Body> {
    let (parts, body) = request.into_parts();
    let named = |name: &str| parts.headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned();
    let told = ["host", "content-length", "transfer-encoding", "cookie", "x-forwarded-proto"].map(named);
    let line = format!("{} {} {}\n", parts.method, parts.uri, told.join(" "));
    let body = body.collect().await.unwrap().to_bytes();
    Response::new(bodies::full([line.as_bytes(), &body].concat()))
}

/// The window of a stream lets as much of a body come as a client likes.
#[tokio::test]
async fn what_may_come_of_bodies_counts_while_requests_wait_for_an_instance() {
    let address = nobody();
    let world = waiting_for(address, LONG).await;
    let mut client = Client::connect(world.address).await;
    let post = || Request::post("http://shop.example/").body(()).unwrap();
    let mut waiting = FuturesUnordered::new();
    let mut bodies = Vec::new();
    for _ in 0..MOST_HELD_BYTES / (256 * 1024) {
        let (answer, body) = client.sender.send_request(post(), false).unwrap();
        waiting.push(answer);
        bodies.push(body);
    }
    let told = within(waiting.next()).await.unwrap().unwrap();
    assert_eq!(told.status(), StatusCode::SERVICE_UNAVAILABLE);
    let small = client.begin(get("/"), None).await;
    let _app = App::raw_on(address, |mut stream| async move {
        if read_until(&mut stream, "\r\n\r\n").await.starts_with("GET / ") {
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
        }
    })
    .await;
    assert_eq!(within(small).await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(waiting.len(), bodies.len() - 1);
}

#[tokio::test]
async fn requests_come_to_the_app_as_by_http_1_and_answers_go_back() {
    let app = App::start(mirror).await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let answer = client.get("/a?b").await;
    assert_eq!(answer.body, b"GET /a?b shop.example - - - http\n");
    assert!(answer.headers.contains_key("x-request-id") && answer.headers.contains_key("date"));
    assert!(!answer.headers.contains_key("connection"));
    let post = |length: Option<usize>| {
        let request = Request::post("http://shop.example/").header("cookie", "a=1").header("cookie", "b=2");
        let request =
            length.into_iter().fold(request, |request, length| request.header("content-length", length));
        request.body(()).unwrap()
    };
    let answer = client.ask(post(Some(5)), Some(b"hello")).await;
    assert_eq!(answer.body, b"POST / shop.example 5 - a=1; b=2 http\nhello");
    let large = vec![b'x'; 300_000];
    let answer = client.ask(post(None), Some(&large)).await;
    assert_eq!(answer.body, [&b"POST / shop.example - chunked a=1; b=2 http\n"[..], &large].concat());
    let head = Request::head("http://shop.example/").body(()).unwrap();
    let answer = client.ask(head, None).await;
    assert!(answer.body.is_empty() && answer.headers.contains_key("content-length"), "{answer:?}");
    let other = client.ask(Request::get("http://other.example/").body(()).unwrap(), None).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    let connect = Request::connect("shop.example:443").body(()).unwrap();
    assert_eq!(client.ask(connect, None).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn many_requests_at_once_are_answered_each_by_its_own() {
    let app = App::start(|request| async move {
        let path = request.uri().path().to_owned();
        tokio::task::yield_now().await;
        Response::new(bodies::full(path))
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    // From then on it knows how many may be under way.
    assert_eq!(client.get("/first").await.body, b"/first");
    let mut under_way = Vec::new();
    for number in 0..300 {
        let path = format!("/{number}");
        under_way.push((path.clone(), client.begin(get(&path), None).await));
    }
    for (path, answer) in under_way {
        let answer = read(within(answer).await.unwrap()).await.unwrap();
        assert_eq!(answer.body, path.as_bytes());
    }
}

#[tokio::test]
async fn chunks_trailers_and_interim_answers_come_as_frames() {
    let app = App::raw(|mut stream| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        let answer = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n\
            Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let mut answer = client.begin(get("/"), None).await;
    let hint = within(std::future::poll_fn(|context| answer.poll_informational(context))).await;
    assert_eq!(hint.unwrap().unwrap().status(), StatusCode::EARLY_HINTS);
    let answer = read(within(answer).await.unwrap()).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, &b"hello"[..]));
    assert_eq!(answer.trailers.unwrap()["x-sum"], "5");
}

#[tokio::test]
async fn an_answer_that_turns_out_to_be_none_is_taken_back_and_a_page_comes_instead() {
    let app = App::raw(|mut stream| async move {
        let asked = read_until(&mut stream, "\r\n\r\n").await;
        let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
        let hint = if asked.starts_with("GET /hinted") { hint } else { "" };
        let answer =
            format!("{hint}HTTP/1.1 200 OK\r\nX-Own: 1\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    for path in ["/", "/hinted"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{path}");
        assert!(!answer.headers.contains_key("x-own"), "{answer:?}");
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.contains("502"), "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reset_and_the_others_go_on() {
    let app = App::raw(|mut stream| async move {
        let head = read_until(&mut stream, "\r\n\r\n").await;
        let body = if head.starts_with("GET /whole") { "12345" } else { "123" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Of an answer of which its client has heard nothing another one is made.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let cut = within(client.begin(get("/cut"), None).await).await.unwrap();
    let error = read(cut).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{error}");
    assert_eq!(client.get("/whole").await.body, b"12345");
}

#[tokio::test]
async fn a_request_that_its_client_gives_up_is_taken_back_from_the_app() {
    let (gone, mut is_gone) = tokio::sync::mpsc::unbounded_channel();
    let app = App::raw(move |mut stream| {
        let gone = gone.clone();
        async move {
            if !read_until(&mut stream, "\r\n\r\n").await.starts_with("GET /slow") {
                return;
            }
            gone.send("asked").unwrap();
            let end = stream.read(&mut [0]).await;
            gone.send(if matches!(end, Ok(0) | Err(_)) { "left" } else { "more" }).unwrap();
        }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let answer = client.begin(get("/slow"), None).await;
    assert_eq!(within(is_gone.recv()).await, Some("asked"));
    drop(answer);
    assert_eq!(within(is_gone.recv()).await, Some("left"));
}

#[tokio::test]
async fn an_app_that_refuses_a_long_body_is_heard_and_the_connection_goes_on() {
    let app = App::raw(|mut stream| async move {
        let head = read_until(&mut stream, "\r\n\r\n").await;
        let status = if head.starts_with("POST") { "413 Too Large" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut rest = vec![0; 1 << 20];
        let _ = stream.read(&mut rest).await;
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let post = Request::post("http://shop.example/").body(()).unwrap();
    within(std::future::poll_fn(|context| client.sender.poll_ready(context))).await.unwrap();
    let (answer, mut send) = client.sender.send_request(post, false).unwrap();
    send.send_data(vec![0; 500_000].into(), false).unwrap();
    let answer = read(within(answer).await.unwrap()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (413, &b"no"[..]));
    // Some clients take a stream that is closed under their hands for one that failed: the rest is read and thrown away.
    let mut left = 1_000_000;
    while left > 0 {
        send.reserve_capacity(left);
        let room = match send.capacity() {
            0 => within(std::future::poll_fn(|context| send.poll_capacity(context))).await.unwrap().unwrap(),
            room => room,
        };
        let count = room.min(left);
        left -= count;
        send.send_data(vec![0; count].into(), left == 0).unwrap();
    }
    assert_eq!(client.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_slow_client_holds_up_itself_alone() {
    let app = App::start(|request| async move {
        let length = if request.uri().path() == "/large" { 4 << 20 } else { 5 };
        Response::new(bodies::full(vec![b'x'; length]))
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let slow = within(client.begin(get("/large"), None).await).await.unwrap();
    // Nothing of that is taken while others are answered on the same connection: each has a window of its own.
    let mut other = Client::connect(world.address).await;
    for _ in 0..20 {
        assert_eq!(other.get("/").await.body, b"xxxxx");
    }
    assert_eq!(read(slow).await.unwrap().body.len(), 4 << 20);
}

#[tokio::test]
async fn a_client_that_opens_no_window_is_cut_off_in_time() {
    let app = App::saying("well").await;
    let mut world = World::serving(&[app.address]).await;
    world.stop().await;
    world.limits = WaitLimits { client: 2, ..WaitLimits::default() };
    world.start().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let shaken = client::Builder::new().initial_window_size(0).handshake(stream);
    let (mut sender, connection) = within(shaken).await.unwrap();
    let _driver = tasks::owned("http2-client", async move {
        let _ = connection.await;
    });
    within(std::future::poll_fn(|context| sender.poll_ready(context))).await.unwrap();
    let (answer, _): (_, h2::SendStream<Bytes>) = sender.send_request(get("/"), true).unwrap();
    let mut body = within(answer).await.unwrap().into_body();
    let error = within(body.data()).await.expect("something comes").unwrap_err();
    assert!(error.is_reset(), "{error}");
    assert_eq!(Client::connect(world.address).await.get("/").await.body, b"well");
}

#[tokio::test]
async fn a_balancer_that_ends_finishes_what_is_under_way_and_says_that_no_more_is_taken() {
    let (arrived, mut arrival) = tokio::sync::mpsc::unbounded_channel();
    let (go, gone) = tokio::sync::watch::channel(false);
    let app = App::start(move |request| {
        let (arrived, mut gone) = (arrived.clone(), gone.clone());
        async move {
            // Probes come, too.
            if request.uri().path() == "/" {
                arrived.send(()).unwrap();
                let _ = gone.wait_for(|gone| *gone).await;
            }
            Response::new(bodies::full("late"))
        }
    })
    .await;
    let world = World::serving(&[app.address]).await;
    let mut client = Client::connect(world.address).await;
    let answer = client.begin(get("/"), None).await;
    within(arrival.recv()).await.unwrap();
    world.drain();
    let refused = within(async {
        loop {
            if let Err(error) = std::future::poll_fn(|context| client.sender.poll_ready(context)).await {
                return error;
            }
            match client.sender.send_request(get("/new"), true) {
                Ok((answer, _)) => drop(answer.await),
                Err(error) => return error,
            }
        }
    });
    let _ = tokio::join!(refused, async { go.send_replace(true) });
    assert_eq!(read(within(answer).await.unwrap()).await.unwrap().body, b"late");
    within(client.driver).await;
    eventually(|| world.has_ended()).await;
}
