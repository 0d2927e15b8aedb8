//! One request and its answer: find its route, then a file, an instance, or a page that says why not.

use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Response, StatusCode};
use tandem_types::traffic::AnsweredBy;

use super::attempt::Failure;
use super::canary::Shared;
use super::client::Client;
use super::ending::Ending;
use super::http2::PREPARED;
use super::https;
use super::pump::Pump;
use super::upload::Upload;
use super::waiting::Tries;
use crate::pages::Page;
use crate::table::{Lease, LiveRoute, Permit};
use crate::upstream::Connection;
use tandem_certificates::CHALLENGE_PATH;
use tandem_record::{Seen, Trace, Unfinished};
use tandem_static::{self, Disk, FileBody};
use tandem_wire::forward::{self, Delivery, HeadWriter, Origin, RequestId};
use tandem_wire::{RequestHead, http2};

/// Bytes that a request's head may have more when it goes on.
const ROOM: usize = 256;

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Exchange<'c> {
    pub(super) client: &'c mut Client,
    pub(super) head: Box<RequestHead>,
    pub(super) id: RequestId,
    /// The request's body.
    pub(super) upload: Upload,
    /// The answer.
    pub(super) down: Pump,
    /// What is seen of it.
    pub(super) trace: Trace,
    /// Its place among those of its app, where these are limited.
    pub(super) permit: Option<Permit>,
    /// Its client, where several releases serve.
    pub(super) shared: Option<Shared>,
    /// What the answer says besides of how to come (see `Delivery::hsts`).
    hsts: Option<u64>,
    /// Nobody is told of its client and its id.
    pub(super) is_bare: bool,
    /// When it is ended, if it takes long.
    pub(super) ending: Ending,
}

/// A piece of a file.
enum Piece {
    /// It is to be sent.
    Read(Bytes),
    /// So many bytes are sent.
    Sent(u64),
}

/// What becomes of a client's connection behind an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// The next request may come.
    Keep,
    /// It is closed.
    Close,
    /// It is broken off in the middle of an answer: over TLS nothing says then that this is its end.
    Abort,
    /// It is closed, and the client may still be sending.
    Linger,
    /// It has left HTTP.
    Switch(Box<Switched>),
}

/// The instance's end of a connection that has left HTTP.
#[derive(Debug)]
pub(super) struct Switched {
    pub(super) connection: Connection,
    pub(super) lease: Lease,
    pub(super) record: Unfinished,
}

impl<'c> Exchange<'c> {
    /// Answers a request, whatever becomes of it.
    pub(super) async fn run(client: &'c mut Client, head: Box<RequestHead>) -> Next {
        client.activity.request_began();
        let id = RequestId::of(&head.fields, || client.thread.random());
        let upload = Upload::new(client, &head);
        let (down, trace) = (Pump::idle(), Trace::begin());
        let mut exchange = Self {
            client,
            head,
            id,
            upload,
            down,
            trace,
            permit: None,
            shared: None,
            hsts: None,
            is_bare: false,
            ending: Ending::default(),
        };
        let next = match exchange.pass_on().await {
            Ok(next) => next,
            Err(page) => exchange.show(&page).await,
        };
        let client = &*exchange.client;
        client.activity.request_ended();
        client.thread.shared.count_request(client.thread.number());
        next
    }

    async fn pass_on(&mut self) -> Result<Next, Page> {
        let path = forward::path_of(&self.head).map_err(|refusal| {
            let status = match refusal {
                forward::Refusal::Connect => StatusCode::METHOD_NOT_ALLOWED,
                forward::Refusal::Target => StatusCode::BAD_REQUEST,
            };
            Page::BadRequest(status, refusal.to_string())
        })?;
        let host = forward::host_of(&self.head)
            .map_err(|error| Page::BadRequest(StatusCode::BAD_REQUEST, error.to_string()))?;
        if let Some(answer) = self.client.thread.shared.answer_to_authority(path) {
            return Ok(self.say((StatusCode::OK, &HeaderMap::new()), &answer).await);
        }
        let (route, folder) = self.client.find(host, path)?;
        self.trace.belongs_to(self.client.thread.recorder.slot(route.served()));
        self.is_bare = route.is_bare();
        match self.client.socket.scheme() {
            "https" => self.hsts = https::seconds(route.https().hsts),
            _ if route.https().redirect && !path.starts_with(CHALLENGE_PATH) => {
                let secure = self.client.thread.shared.secure();
                if let Some(headers) = secure.and_then(|secure| https::location(secure, host, path)) {
                    return Ok(self.say((StatusCode::PERMANENT_REDIRECT, &headers), "").await);
                }
            }
            _ => {}
        }
        let route = match folder.filter(|_| matches!(self.head.method, Method::GET | Method::HEAD)) {
            None => route,
            Some(folder) => match Box::pin(self.send_found(route, folder)).await {
                Ok(next) => return Ok(next),
                Err(route) => route,
            },
        };
        self.ensure_open(&route).await?;
        if let Some(disk) = route.disk() {
            return Box::pin(self.send_of_disk(disk)).await;
        }
        let origin = Origin {
            address: &self.client.address,
            scheme: self.client.socket.scheme(),
            host: forward::host_of(&self.head).unwrap_or_default(),
            id: self.id.as_str(),
            is_told: !self.is_bare,
        };
        let mut outgoing = Vec::with_capacity(self.head.length() + ROOM);
        forward::write_request(&mut outgoing, &self.head, &origin, forward::upgrade_wanted(&self.head));
        self.ask(route, &outgoing).await
    }

    /// Answers with a file of a static folder; or gives the route back, which has none for this path.
    async fn send_found(&mut self, route: Arc<LiveRoute>, folder: usize) -> Result<Next, Arc<LiveRoute>> {
        let Some(parts) = forward::parts_of(&self.head) else { return Err(route) };
        let Some(file) = tandem_static::answer(route.folder(folder), &parts).await else { return Err(route) };
        // Files of a table that is served no more are swept once nobody can open them.
        drop(route);
        Ok(self.send_file(file).await)
    }

    /// Answers with a file of a folder that is a route's only target.
    async fn send_of_disk(&mut self, disk: &Arc<Disk>) -> Result<Next, Page> {
        let unreadable = || Page::BadRequest(StatusCode::BAD_REQUEST, "its head cannot be read".to_owned());
        let parts = forward::parts_of(&self.head).ok_or_else(unreadable)?;
        let file = disk.answer(&parts).await.ok_or(Page::UnknownPath)?;
        Ok(self.send_file(file).await)
    }

    async fn ask(&mut self, route: Arc<LiveRoute>, outgoing: &[u8]) -> Result<Next, Page> {
        self.ensure_within(&route).await?;
        let mut route = self.share_of(route);
        let mut tries = Tries::default();
        loop {
            match self.send(&route, outgoing, &mut tries).await {
                Ok(arrived) => return self.deliver(arrived).await,
                Err(Failure::Broken) => return Err(Page::BadGateway),
                Err(Failure::Late) => return Err(Page::GatewayTimeout),
                Err(Failure::Ended) => return Err(Page::Leaving { app: route.app().to_string() }),
                Err(Failure::Refused(status, why)) => return Err(Page::BadRequest(status, why.to_owned())),
                Err(Failure::Unreached) => {
                    route = Box::pin(self.another_try(&mut tries, route, outgoing.len())).await?
                }
            }
        }
    }

    /// Answers with a file.
    async fn send_file(&mut self, file: Response<FileBody>) -> Next {
        let (parts, mut body) = file.into_parts();
        self.trace.answered(AnsweredBy::File, parts.status);
        let keeps = self.keeps_alive();
        self.write_own((parts.status, &parts.headers), None, keeps);
        if let Some(piece) = body.take_memory() {
            self.trace.moved(0, piece.len() as u64);
            self.down.head().extend_from_slice(&piece);
        }
        loop {
            let piece = std::future::poll_fn(|context| {
                if self.down.poll_flush(context, &mut self.client.socket)?.is_pending() {
                    return Poll::Pending;
                }
                if let Some(sent) = ready!(self.client.socket.poll_send_file(context, &mut body)?) {
                    return Poll::Ready(Ok(Some(Piece::Sent(sent))));
                }
                let piece = body.poll_frame(context).map(Option::transpose).map_err(std::io::Error::other);
                piece.map_ok(|piece| piece.map(Piece::Read))
            })
            .await;
            match piece {
                Ok(Some(Piece::Sent(count))) => self.trace.moved(0, count),
                Ok(Some(Piece::Read(piece))) => {
                    self.trace.moved(0, piece.len() as u64);
                    self.down.head().extend_from_slice(&piece);
                }
                Ok(None) => return self.after(keeps).await,
                Err(error) => {
                    tracing::debug!("a file is not sent to its end: {error}");
                    return Next::Abort;
                }
            }
        }
    }

    /// Answers with a page of the balancer's own.
    async fn show(&mut self, page: &Page) -> Next {
        let closes = page.closes();
        let keeps = self.keeps_alive() && !closes;
        let accept = self.head.fields.all(tandem_wire::Kind::Accept).next();
        let (parts, body) = page.answer(accept, self.id.as_str()).into_parts();
        match self.tell((parts.status, &parts.headers), &body, keeps).await {
            Err(_) => Next::Abort,
            Ok(()) if closes => {
                self.trace.whole();
                Next::Linger
            }
            Ok(()) => self.after(keeps).await,
        }
    }

    /// Answers with a few words of the balancer's own.
    async fn say(&mut self, (status, headers): (StatusCode, &HeaderMap), words: &str) -> Next {
        let keeps = self.keeps_alive();
        match self.tell((status, headers), words.as_bytes(), keeps).await {
            Ok(()) => self.after(keeps).await,
            Err(_) => Next::Abort,
        }
    }

    /// Gives the client an answer of the balancer's own.
    async fn tell(
        &mut self,
        (status, headers): (StatusCode, &HeaderMap),
        body: &[u8],
        keeps: bool,
    ) -> std::io::Result<()> {
        self.trace.answered(AnsweredBy::Balancer, status);
        self.write_own((status, headers), Some(body.len() as u64), keeps);
        if self.head.method != Method::HEAD {
            self.trace.moved(0, body.len() as u64);
            self.down.head().extend_from_slice(body);
        }
        let socket = &mut self.client.socket;
        std::future::poll_fn(|context| self.down.poll_flush(context, socket)).await
    }

    fn write_own(&mut self, (status, headers): (StatusCode, &HeaderMap), length: Option<u64>, keeps: bool) {
        debug_assert!(length.is_none() || !headers.contains_key(CONTENT_LENGTH), "it would be there twice");
        self.write_head(keeps, |out, delivery| forward::write_own(out, (status, headers), length, delivery));
    }

    /// Writes the head of an answer; `keeps` says whether the connection is kept after it.
    pub(super) fn write_head(&mut self, keeps: bool, write: impl FnOnce(&mut dyn HeadWriter, &Delivery<'_>)) {
        let date = self.client.thread.date();
        let delivery = Delivery {
            id: (!self.is_bare).then_some(self.id.as_str()),
            version: self.head.version,
            keeps,
            date: &date,
            hsts: self.hsts,
        };
        match self.client.socket.stream() {
            Some(stream) => {
                let mut head = http2::Answer::default();
                write(&mut head, &delivery);
                stream.prepare(head);
                self.down.head().push(PREPARED);
            }
            None => write(self.down.head(), &delivery),
        }
    }

    /// Whether the client's connection is kept after the answer.
    pub(super) fn keeps_alive(&self) -> bool {
        // Another process accepts now. The client comes back to that one, and nothing that it sends is lost: a
        // connection that is closed while it waits for a request may meet one that is on its way.
        let ends = self.client.thread.shared.is_leaving() || self.client.activity.is_finishing();
        self.head.keeps_alive() && !ends && (self.upload.is_over() || self.upload.is_coming())
    }

    /// What becomes of the connection once the answer is gone.
    pub(super) async fn after(&mut self, keeps: bool) -> Next {
        self.trace.whole();
        let is_read = self.upload.discard(self.client).await;
        match (keeps, is_read) {
            (true, true) => Next::Keep,
            (_, true) => Next::Close,
            (_, false) => Next::Linger,
        }
    }
}

impl Drop for Exchange<'_> {
    /// It is over, or its client is gone: both are recorded.
    fn drop(&mut self) {
        self.trace.moved(self.upload.moved(), self.down.moved());
        let seen = Seen::of(&self.head, self.id.as_str(), &self.client.address);
        self.client.thread.recorder.finish(&self.trace, &seen);
    }
}
