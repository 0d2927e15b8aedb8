//! The client: requests, JSON bodies, problems.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tandem_types::problem::Problem;

use super::connection::{self, Connection};
use super::flow::{Counted, Flow};
use super::lines::lines_of;
use super::pool::{self, Answer, Pool};
use super::{Error, Server, Watch};
use crate::http::{self as bodies, Body, BoxError};

/// Longest JSON answer that is read whole, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;
/// Longest problem that is read, in bytes: it may carry a log tail.
const LONGEST_PROBLEM: usize = 1024 * 1024;
/// Longest wait for a call with a JSON answer, and for the head of a stream of lines.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// A stream of bytes to a server that takes none of them for this long, and answers nothing, is given up.
const STALLED: Duration = Duration::from_secs(60);

/// A client of one server, cheap to clone; clones share the kept connections.
#[derive(Clone)]
pub struct Client {
    pub(super) server: Arc<Server>,
    pool: Arc<Pool>,
    pub(super) limit: Duration,
    /// Longest time in which nothing of a body flows.
    pub(super) stalled: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.server)
    }
}

impl Client {
    /// A client; nothing is connected before the first call.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self::keeping(server, pool::IDLE)
    }

    /// A client that keeps an unused connection for so long.
    pub(super) fn keeping(server: Server, idle_limit: Duration) -> Self {
        let pool = Arc::new(Pool::new(idle_limit));
        Self { server: Arc::new(server), pool, limit: CALL_LIMIT, stalled: STALLED }
    }

    /// The same client with another limit for calls with a JSON answer; else they have a minute.
    #[must_use]
    pub fn waiting(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Where this client's server is.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Reads. An answer without a body is read as `null`, so `T` may be `()`.
    ///
    /// # Errors
    /// See [`Error`]; so for all calls.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::GET, path, None).await
    }

    /// Creates or starts something.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Error> {
        self.call(Method::POST, path, Some(encode(path, body)?)).await
    }

    /// Replaces something.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Error> {
        self.call(Method::PUT, path, Some(encode(path, body)?)).await
    }

    /// Changes a part of something.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, Error> {
        self.call(Method::PATCH, path, Some(encode(path, body)?)).await
    }

    /// Removes something.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(Method::DELETE, path, None).await
    }

    /// Sends a body that is made while it is sent, and returns the answer with its body unread. It may take as long as
    /// bytes flow; after a minute in which the server takes none that are there it is given up. A body that is slow to be made
    /// is no fault of the server's.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post_stream(&self, path: &str, body: Body) -> Result<Response<Body>, Error> {
        let flow = Flow::default();
        let counted = Counted { body, flow: flow.clone() }.boxed_unsync();
        let kind = Some("application/octet-stream");
        let mut sent = Box::pin(self.exchange(Method::POST, path, (kind, counted)));
        loop {
            let until = flow.since() + self.stalled;
            match tokio::time::timeout_at(until, &mut sent).await {
                Ok(answer) => return answer,
                Err(_) if flow.since() + self.stalled > until => {}
                Err(_) => {
                    return Err(Error::Silent { request: format!("POST {path}"), waited: self.stalled });
                }
            }
        }
    }

    /// Sends JSON and returns the answer with its body unread, for answers that are streams of bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post_for_stream<B: Serialize + ?Sized>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Response<Body>, Error> {
        self.exchange(Method::POST, path, (Some("application/json"), bodies::full(encode(path, body)?))).await
    }

    /// Reads a document and returns the answer with its body unread, for answers whose headers say something too.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_for_stream(&self, path: &str) -> Result<Response<Body>, Error> {
        self.exchange(Method::GET, path, (None, bodies::empty())).await
    }

    /// Reads values, one a line of JSON, until the server ends the answer. The first item tells whether the request was
    /// accepted; the stream ends after its first error.
    pub fn lines<T>(&self, path: &str) -> BoxStream<'static, Result<T, Error>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let (client, path) = (self.clone(), path.to_owned());
        let opened = async move {
            match client.open_lines(&path).await {
                Ok(lines) => lines,
                Err(error) => stream::once(async { Err(error) }).boxed(),
            }
        };
        stream::once(opened).flatten().boxed()
    }

    /// Watches documents under some prefixes for ever; see [`Watch`].
    #[must_use]
    pub fn watch(&self, prefixes: &[&str]) -> Watch {
        Watch::new(self.clone(), prefixes)
    }

    /// As [`Client::lines`], but tells apart the opening from the reading.
    pub(super) async fn open_lines<T>(
        &self,
        path: &str,
    ) -> Result<BoxStream<'static, Result<T, Error>>, Error>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let request = format!("GET {path}");
        let asked = self.exchange(Method::GET, path, (None, bodies::empty()));
        let answer = within(self.limit, &request, asked).await?;
        Ok(lines_of(request, answer.into_body()))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, Error> {
        let request = format!("{method} {path}");
        let body = match body {
            Some(json) => (Some("application/json"), bodies::full(json)),
            None => (None, bodies::empty()),
        };
        within(self.limit, &request, async {
            let answer = self.exchange(method, path, body).await?;
            let bytes = read(answer.into_body(), LONGEST_ANSWER).await;
            let bytes = bytes.map_err(|error| unread(&request, error))?;
            let json: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
            serde_json::from_slice(json)
                .map_err(|error| Error::Protocol { request: request.clone(), source: error.into() })
        })
        .await
    }

    /// One request and the head of its answer; anything but success becomes an error.
    async fn exchange(
        &self,
        method: Method,
        path: &str,
        (content_type, body): (Option<&'static str>, Body),
    ) -> Result<Response<Body>, Error> {
        let label = format!("{method} {path}");
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|error: http::uri::InvalidUri| protocol(&label, error))?;
        self.fill_headers(&label, content_type, &mut request)?;
        let answer = self.send(&label, request).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(&label, answer).await) }
    }

    pub(super) fn fill_headers(
        &self,
        label: &str,
        content_type: Option<&'static str>,
        request: &mut Request<Body>,
    ) -> Result<(), Error> {
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(self.server.host()).map_err(|error| protocol(label, error))?;
        headers.insert(HOST, host);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, application/problem+json, */*"));
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Server::Http { token: Some(token), .. } = &*self.server {
            let value = format!("Bearer {token}");
            let mut value = HeaderValue::from_str(&value).map_err(|error| protocol(label, error))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(())
    }

    /// Sends on a kept connection; one that died before the request went out gives it back for the next, and one that
    /// died under a request that only reads lets it be sent again. A new connection that dies is an error.
    async fn send(&self, label: &str, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        loop {
            let kept = self.pool.take().await;
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => connection::open(&self.server).await?,
            };
            let again = (was_kept && request.method() == Method::GET).then(|| head_of(&request));
            match connection.sender.try_send_request(request).await {
                Ok(answer) => return Ok(self.pooled(answer, connection)),
                Err(mut failed) => match failed.take_message().filter(|_| was_kept).or(again) {
                    Some(unsent) => request = unsent,
                    None => return Err(closed(label, failed.into_error().into())),
                },
            }
        }
    }

    fn pooled(&self, answer: Response<hyper::body::Incoming>, connection: Connection) -> Response<Body> {
        let pool = Arc::clone(&self.pool);
        answer.map(|body| Answer::new(body, connection, pool).boxed_unsync())
    }
}

/// The same request without its body, for methods that have none.
fn head_of(request: &Request<Body>) -> Request<Body> {
    let mut head = Request::new(bodies::empty());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    head
}

pub(super) async fn within<T>(
    limit: Duration,
    request: &str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let late = |_| Error::Silent { request: request.to_owned(), waited: limit };
    tokio::time::timeout(limit, call).await.map_err(late)?
}

/// Boxed, since the compiler does not see through the error type of the body otherwise.
fn read(body: Body, limit: usize) -> BoxFuture<'static, Result<Bytes, bodies::ReadError>> {
    bodies::read_limited(body, limit).boxed()
}

fn encode<B: Serialize + ?Sized>(path: &str, body: &B) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(|error| protocol(path, error))
}

/// Turns an answer that is no success into the problem it carries.
pub(super) async fn refusal(request: &str, answer: Response<Body>) -> Error {
    let status = answer.status();
    match read(answer.into_body(), LONGEST_PROBLEM).await {
        Ok(body) => serde_json::from_slice::<Problem>(&body)
            .map_or_else(|_| protocol(request, UnexpectedStatus(status)), Error::Problem),
        Err(error) => unread(request, error),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the status is {0}, without a problem")]
struct UnexpectedStatus(StatusCode);

fn unread(request: &str, error: bodies::ReadError) -> Error {
    match error {
        bodies::ReadError::Broken(source) => closed(request, source),
        too_long @ bodies::ReadError::TooLong { .. } => protocol(request, too_long),
    }
}

pub(super) fn protocol(request: &str, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Protocol { request: request.to_owned(), source: source.into() }
}

pub(super) fn closed(request: &str, source: BoxError) -> Error {
    Error::Closed { request: request.to_owned(), source }
}
