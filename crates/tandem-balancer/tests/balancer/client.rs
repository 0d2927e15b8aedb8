//! Clients of the balancer: a well-behaved one, and bytes as they are on the wire.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tandem_kit::http::{self as bodies, Body};
use tandem_kit::tasks::{self, Owned};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::dial::Dial;
use super::world::within;

/// One keep-alive connection to the balancer.
pub(super) struct Client {
    sender: SendRequest<Body>,
    _driver: Owned<()>,
}

/// An answer read whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// A header's value; empty where it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    /// The same where it may fail.
    pub(super) async fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        Self::by(&Dial::plain(address)).await
    }

    /// The same by another way.
    pub(super) async fn by(dial: &Dial) -> std::io::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(dial.open().await?)).await.unwrap();
        let driver = tasks::owned("client", async move {
            let _ = connection.await;
        });
        Ok(Self { sender, _driver: driver })
    }

    /// Sends a request and returns the answer with its body unread.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        within(async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        })
        .await
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn ask(&mut self, request: Request<Body>) -> Result<Answer, hyper::Error> {
        let (parts, body) = self.send(request).await?.into_parts();
        let body = within(body.collect()).await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// A GET of `shop.example`.
pub(super) fn get(path: &str) -> Request<Body> {
    Request::get(path).header(HOST, "shop.example").body(bodies::empty()).unwrap()
}

/// Asks for a path of `shop.example` on a connection of its own.
pub(super) async fn fetch(address: SocketAddr, path: &str) -> Answer {
    ask(address, get(path)).await
}

/// Sends a request on a connection of its own and reads the whole answer.
pub(super) async fn ask(address: SocketAddr, request: Request<Body>) -> Answer {
    Client::connect(address).await.ask(request).await.unwrap()
}

/// Sends bytes and reads until the balancer closes.
pub(super) async fn raw(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// A connection that has had an answer of the shop, which ends with these words, and stays open.
pub(super) async fn idle(address: SocketAddr, words: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await.unwrap();
    read_until(&mut stream, words).await;
    stream
}

/// Reads from a stream until `end` has come.
pub(super) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    within(async {
        while !text.ends_with(end.as_bytes()) {
            text.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
    String::from_utf8(text).unwrap()
}
