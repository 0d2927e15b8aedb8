//! HTTP/2 to clients (RFC 9113): many requests at once on one connection.
//!
//! The crate h2 does frames, windows and the compression of heads. Each stream is served as a connection with one request:
//! see [`Stream`] for what stands in for its socket.

mod slot;
mod stream;

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tandem_wire::LONGEST_HEAD;
use tokio::time::Sleep;

use super::activity::{Activity, Order};
use super::behind::Behind;
use super::client::{Client, linger};
use super::place::Place;
use super::socket::Socket;
use crate::table::Permit;
use crate::thread::Thread;
use slot::{Running, Slots};
pub(super) use stream::{PREPARED, Stream};

/// What a client that knows beforehand begins with, as a head of HTTP/1.1 would end (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Requests at once on one connection.
const MOST_STREAMS: u32 = 128;
/// Bytes of a request's body that may come before its instance has taken any.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;
/// The same of all requests of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of answers that wait for a slow client, for each stream.
const SEND_BUFFER: usize = 64 * 1024;

/// How often requests are begun and answered before other connections have their turn.
const MOST_ROUNDS: usize = 8;

/// Time that an idle client has to hear that no more requests are taken.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection over which HTTP/2 is spoken, and its requests, which are answered by such futures.
struct Multiplexed<'s, F> {
    connection: Connection<&'s mut Behind<Socket>, Bytes>,
    streams: FuturesUnordered<Running<F>>,
    slots: Slots<F>,
    begin: fn(&Around, Request<RecvStream>, SendResponse<Bytes>) -> F,
    around: Around,
    /// No more requests are taken.
    is_leaving: bool,
    /// Until then an idle client may say that it has heard so.
    farewell: Option<Pin<Box<Sleep>>>,
}

/// What all streams of a connection have in common.
struct Around {
    thread: Rc<Thread>,
    activity: Arc<Activity>,
    address: Rc<str>,
    scheme: &'static str,
    descriptor: RawFd,
    place: Rc<RefCell<Option<Permit>>>,
}

/// Serves a client until it leaves, breaks a limit or the process drains.
pub(super) async fn serve(client: Client, descriptor: RawFd) {
    let Client { thread, activity, address, socket, input, place, .. } = client;
    let (scheme, place) = (socket.scheme(), place.into_common());
    let around = Around { thread, activity, address, scheme, descriptor, place };
    let mut io = Behind { input, stream: socket, count: 0 };
    let thread = Rc::clone(&around.thread);
    speak(around, &mut io).await;
    linger(&thread, &mut io).await;
}

async fn speak(around: Around, io: &mut Behind<Socket>) {
    let shaken = Builder::new()
        .max_concurrent_streams(MOST_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(LONGEST_HEAD).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER)
        .handshake(io);
    let mut shaken = std::pin::pin!(shaken);
    let shaken = std::future::poll_fn(|context| match around.activity.order(context.waker()) {
        Order::Close => Poll::Ready(None),
        Order::Finish | Order::GoOn => shaken.as_mut().poll(context).map(Some),
    });
    match shaken.await {
        Some(Ok(connection)) => {
            let mut all = Multiplexed {
                connection,
                streams: FuturesUnordered::new(),
                slots: Slots::default(),
                begin: answer,
                around,
                is_leaving: false,
                farewell: None,
            };
            all.rest();
            std::future::poll_fn(|context| all.poll(context)).await;
        }
        Some(Err(error)) => tracing::debug!("HTTP/2 did not begin: {error}"),
        None => {}
    }
}

impl<F: Future<Output = ()>> Multiplexed<'_, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let order = self.around.activity.order(context.waker());
        if order == Order::Close {
            // Which of its requests were begun is told: others may be sent again elsewhere.
            self.connection.abrupt_shutdown(Reason::NO_ERROR);
            let _ = self.connection.poll_accept(context);
            return Poll::Ready(());
        }
        let ends = order == Order::Finish || self.around.thread.shared.is_leaving();
        if ends && !self.is_leaving {
            self.is_leaving = true;
            self.connection.graceful_shutdown();
        }
        for _ in 0..MOST_ROUNDS {
            let begun = match self.take_in(context) {
                Ok(begun) => begun,
                Err(()) => return Poll::Ready(()),
            };
            let ended = self.poll_streams(context);
            if self.streams.is_empty() {
                self.rest();
            }
            // What the streams have to say goes out together; new requests may come in with that.
            if begun == 0 && ended == 0 {
                return self.poll_farewell(context);
            }
        }
        // Others on this thread come first.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether nothing is left to be done for a client that says nothing: it has all of its answers, and has had time to hear that
    /// no more requests are taken.
    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // A client that takes its time has the time of any client.
        if !self.is_leaving || !self.streams.is_empty() || self.around.activity.is_write_blocked() {
            self.farewell = None;
            return Poll::Pending;
        }
        let farewell = self.farewell.get_or_insert_with(|| Box::pin(tokio::time::sleep(FAREWELL)));
        farewell.as_mut().poll(context)
    }

    /// Goes on with the requests for which there is something to be done; says how many have ended.
    fn poll_streams(&mut self, context: &mut Context<'_>) -> usize {
        let mut ended = 0;
        while let Poll::Ready(Some(slot)) = self.streams.poll_next_unpin(context) {
            self.slots.give_back(slot);
            ended += 1;
        }
        ended
    }

    /// Begins what has come in, and sends what waits; says how many requests that were.
    fn take_in(&mut self, context: &mut Context<'_>) -> Result<usize, ()> {
        let mut begun = 0;
        loop {
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if self.streams.is_empty() {
                        self.around.activity.request_began();
                    }
                    self.streams.push(self.slots.run((self.begin)(&self.around, request, respond)));
                    begun += 1;
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!("HTTP/2 ended: {error}");
                    return Err(());
                }
                Poll::Ready(None) => return Err(()),
                Poll::Pending => return Ok(begun),
            }
        }
    }

    /// No request is under way.
    fn rest(&mut self) {
        self.slots.clear();
        self.around.activity.request_ended();
    }
}

/// Begins to answer one request. Each takes as little room as may be: a hundred of them are in turn looked at and left alone.
fn answer(
    around: &Around,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> impl Future<Output = ()> + use<> {
    let (parts, body) = request.into_parts();
    let head = tandem_wire::http2::request_head(&parts, !body.is_end_stream()).map(Box::new);
    let stream = Stream::new(parts.method, body, respond);
    let Around { thread, address, scheme, descriptor, place, .. } = around;
    let activity = Arc::new(Activity::new(thread.tick().clone()));
    let watched = thread.watch_over(Arc::clone(&activity), *descriptor);
    let socket = Socket::of_stream(stream.clone(), scheme, Arc::clone(&activity));
    let of_stream = (socket, Rc::clone(address), Place::Common(Rc::clone(place)));
    let mut client = Client::of_stream(Rc::clone(thread), activity, of_stream);
    // Tokio's budget is meant for one stream of bytes: with a hundred requests it ends in the middle of each round, and all that
    // are left are asked in vain. Windows limit each, and rounds all of them.
    tokio::task::unconstrained(async move {
        let activity = Arc::clone(&client.activity);
        let finished = {
            let mut running = std::pin::pin!(client.answer(head));
            std::future::poll_fn(|context| match activity.order(context.waker()) {
                Order::Close => Poll::Ready(false),
                _ if stream.is_reset(context) => Poll::Ready(false),
                Order::Finish | Order::GoOn => running.as_mut().poll(context),
            })
            .await
        };
        if !finished {
            stream.abort();
        }
        drop(client);
        drop(watched);
    })
}
