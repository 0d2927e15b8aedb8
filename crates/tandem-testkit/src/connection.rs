//! One HTTP/1.1 connection to an address, with the host name that the caller wants: scenarios ask for
//! `guestbook.localhost` without depending on how the machine resolves names.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tandem_kit::tasks::{Owned, owned};
use tokio::net::TcpStream;

/// An open connection that stays open between requests.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: Owned<()>,
    host: String,
}

/// A request without its connection.
#[derive(Debug, Clone)]
pub struct Question {
    /// `GET` or `POST`.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers besides `Host`.
    pub headers: HeaderMap,
    /// Body, empty for none.
    pub body: Bytes,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Question {
    /// A plain `GET`.
    #[must_use]
    pub fn get(path: &str) -> Self {
        let path = path.to_owned();
        Self { method: Method::GET, path, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A `POST` of some text.
    #[must_use]
    pub fn post(path: &str, text: &str) -> Self {
        Self { method: Method::POST, body: Bytes::copy_from_slice(text.as_bytes()), ..Self::get(path) }
    }

    /// Adds a header.
    ///
    /// # Panics
    ///
    /// Where the value is not one.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: &str) -> Self {
        self.headers.append(name, value.parse().expect("scenarios use plain header values"));
        self
    }
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text; empty where it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Connection {
    /// Connects and gets ready to speak.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub async fn open(address: SocketAddr, host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true).context("set up the connection")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.context("begin HTTP")?;
        let driver = owned("connection", async {
            // Its end shows in the sender; why it ended shows in the request that was under way.
            let _ = connection.await;
        });
        Ok(Self { sender, _driver: driver, host: host.to_owned() })
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    ///
    /// The connection broke before the answer's end.
    pub async fn ask(&mut self, question: Question) -> anyhow::Result<Answer> {
        let mut request = Request::new(Full::new(question.body));
        *request.method_mut() = question.method;
        *request.uri_mut() = question.path.parse().context("read the path")?;
        *request.headers_mut() = question.headers;
        request.headers_mut().insert(header::HOST, self.host.parse().context("read the host name")?);
        let response = self.sender.send_request(request).await.context("wait for the answer's head")?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("read the answer's body")?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Whether the other side has closed it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Asks on a connection of its own.
///
/// # Errors
///
/// No connection, a broken one, or no whole answer within `limit`.
pub async fn ask_once(
    address: SocketAddr,
    host: &str,
    question: Question,
    limit: Duration,
) -> anyhow::Result<Answer> {
    let whole = async { Connection::open(address, host).await?.ask(question).await };
    tokio::time::timeout(limit, whole).await.with_context(|| format!("no answer within {limit:?}"))?
}
