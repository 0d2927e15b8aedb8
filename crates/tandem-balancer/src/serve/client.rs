//! One client's connection: its requests one after the other, each answered before the next is read.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::StatusCode;
use tandem_types::traffic::AnsweredBy;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::exchange::{Exchange, Next, Switched};
use super::http2;
use super::input::poll_read;
use super::place::Place;
use super::tunnel::Tunnel;
use super::{Activity, Input, Socket};
use crate::pages::Page;
use crate::table::{Found, LiveRoute};
use crate::thread::Thread;
use tandem_record::{Seen, Trace, Unfinished};
use tandem_wire::forward;
use tandem_wire::{Arrival, HeadError, RequestError, RequestHead, arrival};

/// Time that a client whose connection is closed has to read what it was told, while it still sends.
const LINGER: Duration = Duration::from_secs(2);

/// What becomes of a connection whose client has had its last answer by HTTP/1.1.
#[derive(Debug)]
pub(super) enum Left {
    /// It is over.
    Over,
    /// Its time was up.
    Cut,
    /// It is a tunnel.
    Tunnel(Box<Switched>),
    /// HTTP/2 is spoken there.
    Http2,
}

/// What a client sent.
enum Came {
    /// The head of a request.
    Request(Box<RequestHead>),
    /// The beginning of HTTP/2, of which nothing is taken.
    Preface,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) thread: Rc<Thread>,
    pub(super) activity: Arc<Activity>,
    pub(super) address: Rc<str>,
    pub(super) socket: Socket,
    pub(super) input: Input,
    /// For which app it counts.
    pub(super) place: Place,
    /// It is a trusted proxy, which says first who its client is.
    is_proxied: bool,
    /// Bytes of a head that were looked at.
    seen: usize,
}

impl Client {
    /// A client whose connection has been accepted.
    pub(super) fn new(
        thread: Rc<Thread>,
        activity: Arc<Activity>,
        (socket, address): (Socket, IpAddr),
    ) -> Self {
        let is_proxied = thread.shared.is_trusted(address);
        let address = forward::address_text(address);
        let (input, place) = (Input::default(), Place::Own(None));
        Self { thread, activity, address, socket, input, place, is_proxied, seen: 0 }
    }

    /// The request of a stream of HTTP/2, which is read by [`Self::answer`].
    pub(super) fn of_stream(
        thread: Rc<Thread>,
        activity: Arc<Activity>,
        (socket, address, place): (Socket, Rc<str>, Place),
    ) -> Self {
        let input = Input::default();
        Self { thread, activity, address, socket, input, place, is_proxied: false, seen: 0 }
    }

    /// Answers its requests until it or this process has had enough; or until its connection is no longer one of
    /// HTTP/1.1.
    pub(super) async fn run(&mut self) -> Left {
        if self.is_proxied && !Box::pin(self.hear_of_client()).await {
            return Left::Over;
        }
        if let Err(error) = std::future::poll_fn(|context| self.socket.poll_handshake(context)).await {
            tracing::debug!("a handshake failed: {error}");
            return Left::Over;
        }
        if self.socket.is_validation() {
            // An authority has seen what it looked for.
            let _ = self.socket.shutdown().await;
            return Left::Over;
        }
        if self.socket.is_http2() {
            return Left::Http2;
        }
        let mut is_first = true;
        loop {
            let read = std::future::poll_fn(|context| self.poll_request(context, is_first)).await;
            is_first = false;
            let next = match read {
                Ok(Some(Came::Request(head))) => Box::pin(Exchange::run(self, head)).await,
                Ok(Some(Came::Preface)) => return Left::Http2,
                Ok(None) => return Left::Over,
                Err(error) => Box::pin(self.refuse(error)).await,
            };
            match next {
                Next::Keep => {}
                Next::Abort => return Left::Over,
                Next::Close => {
                    let _ = self.socket.shutdown().await;
                    return Left::Over;
                }
                Next::Linger => {
                    Box::pin(linger(&self.thread, &mut self.socket)).await;
                    return Left::Over;
                }
                Next::Switch(switched) => return Left::Tunnel(switched),
            }
        }
    }

    /// Answers the one request of a stream; says whether that came to an end.
    pub(super) async fn answer(&mut self, head: Result<Box<RequestHead>, RequestError>) -> bool {
        let next = match head {
            Ok(head) => Exchange::run(self, head).await,
            Err(error) => Box::pin(self.refuse(error)).await,
        };
        !matches!(next, Next::Abort) && self.socket.flush().await.is_ok()
    }

    /// The client's end of a tunnel.
    pub(super) fn into_tunnel(self, switched: Switched) -> Tunnel {
        let Self { thread, socket, input, place, .. } = self;
        let Switched { connection, lease, record } = switched;
        Tunnel { thread, client: (socket, input, place), instance: connection, lease, record }
    }

    /// The route of a request, and which of its static folders may have the answer.
    pub(super) fn find(&self, host: &str, path: &str) -> Result<(Arc<LiveRoute>, Option<usize>), Page> {
        let path = path.split('?').next().unwrap_or(path);
        let path = if path.is_empty() { "/" } else { path };
        match self.thread.shared.live().find(host, path) {
            Found::Route(route, folder) => Ok((route, folder)),
            Found::UnknownPath => Err(Page::UnknownPath),
            Found::NoTable => Err(Page::NoTable),
            Found::UnknownDomain => Err(Page::UnknownHost(host.to_owned())),
        }
    }

    /// Reads the head of the next request. None: there will be none.
    fn poll_request(
        &mut self,
        context: &mut Context<'_>,
        is_first: bool,
    ) -> Poll<Result<Option<Came>, RequestError>> {
        loop {
            self.skip_empty_lines();
            let bytes = self.input.get();
            if let Some(first) = bytes.first()
                && !first.is_ascii_alphabetic()
                && *first != b'\r'
            {
                // TLS, for one: it would wait for an answer to its greeting.
                return Poll::Ready(Err(HeadError::Malformed("this is no HTTP").into()));
            }
            if let Arrival::Whole(length) = arrival(bytes, self.seen)? {
                if is_first && &bytes[..length] == http2::PREFACE {
                    return Poll::Ready(Ok(Some(Came::Preface)));
                }
                let head = RequestHead::parse(&bytes[..length]);
                self.input.used(length);
                self.seen = 0;
                return Poll::Ready(head.map(|head| Some(Came::Request(Box::new(head)))));
            }
            if bytes.is_empty() {
                if self.activity.is_finishing() {
                    return Poll::Ready(Ok(None));
                }
            } else {
                self.seen = bytes.len();
                self.activity.bytes_read();
            }
            let read = ready!(self.input.poll_fill(context, &mut self.socket, &mut self.thread.scratch()));
            if !matches!(read, Ok(1..)) {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Empty lines ahead of a request mean nothing (RFC 9112, 2.2).
    fn skip_empty_lines(&mut self) {
        while self.input.get().starts_with(b"\r\n") {
            self.input.used(2);
            self.seen = 0;
        }
    }

    /// Its time is up. In the middle of a head it is told so, as far as it takes that at once: it may have been slow for us alone.
    pub(super) async fn cut(&mut self) {
        if !self.input.is_empty() && self.activity.is_in_head() {
            let late =
                (StatusCode::REQUEST_TIMEOUT, "the request's head did not come whole in time".to_owned());
            self.tell_refusal(late).now_or_never();
        }
    }

    /// Answers what cannot be understood.
    pub(super) async fn refuse(&mut self, error: RequestError) -> Next {
        let status = match error {
            RequestError::Head(HeadError::TooLong | HeadError::TooMany) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            RequestError::Head(HeadError::Version) => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            RequestError::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            RequestError::Head(HeadError::Malformed(_)) | RequestError::Length(_) => StatusCode::BAD_REQUEST,
        };
        self.activity.request_began();
        self.tell_refusal((status, error.to_string())).await;
        Next::Linger
    }

    async fn tell_refusal(&mut self, (status, why): (StatusCode, String)) {
        let page = Page::BadRequest(status, why);
        let id = forward::RequestId::new(|| self.thread.random());
        let seen = Seen { id: id.as_str(), client: &self.address, ..Seen::default() };
        let mut record = Unfinished::new(&self.thread.recorder, &mut Trace::begin(), &seen);
        record.trace.answered(AnsweredBy::Balancer, status);
        let told = page.bytes(&id, &self.thread.date());
        self.thread.shared.count_request(self.thread.number());
        // It may have left already.
        if self.socket.write_all(&told).await.is_ok() && self.socket.flush().await.is_ok() {
            record.trace.whole();
        }
    }
}

/// Says that nothing more comes, and reads on for a while: a connection that is closed while its client sends is reset, and
/// what it was told may be lost.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(thread: &Thread, socket: &mut S) {
    let reading = async {
        if socket.shutdown().await.is_ok() {
            let mut read = std::future::poll_fn(|context| poll_read(context, socket, &mut thread.scratch()));
            while matches!((&mut read).await, Ok(1..)) {}
        }
    };
    // Who does not listen has been told.
    let _ = tokio::time::timeout(LINGER, reading).await;
}
