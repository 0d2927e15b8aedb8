//! What stands in for a socket where a request is a stream of HTTP/2.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Response};
use tandem_wire::http2::{self, data_of, response_of, trailers_of};
use tandem_wire::{Arrival, Chunks, Framing, HeadError, arrival};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are taken at a time, and wait here until the client takes them.
const PIECE: usize = 32 * 1024;

/// Stands for the head that was prepared among the bytes of an answer: no head that is written as text begins so.
pub(in crate::serve) const PREPARED: u8 = 0;

/// Reads the bare body of the request; takes an answer as it is written for a client of HTTP/1.1, and sends it by frames. The
/// head may be prepared instead, which saves the way to text and back.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Stream(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    method: Method,
    body: RecvStream,
    /// Of the body, what came and was not read.
    unread: Bytes,
    respond: SendResponse<Bytes>,
    /// Once the head of the answer is sent.
    send: Option<SendStream<Bytes>>,
    taken: Taken,
    /// The head of the answer, where that does not come as text.
    prepared: Option<http2::Answer>,
    /// Of the answer's body, what was taken and is not sent.
    waiting: Bytes,
}

/// How much of the answer was taken from whoever writes it.
#[derive(Debug)]
enum Taken {
    /// These bytes of its head.
    Head(Vec<u8>),
    /// All but so many bytes.
    Length(u64),
    /// Somewhere in chunks.
    Chunks(Chunks),
    /// All of it; what waits is its end.
    Ending(Chunks),
    /// All of it, and all of it was sent.
    Over,
}

fn broken(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, reason)
}

impl Stream {
    /// A request with this body, which is not answered yet.
    pub(super) fn new(method: Method, body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            method,
            body,
            unread: Bytes::new(),
            respond,
            send: None,
            taken: Taken::Head(Vec::new()),
            prepared: None,
            waiting: Bytes::new(),
        })))
    }

    /// Keeps a head for when [`PREPARED`] is written.
    pub(in crate::serve) fn prepare(&self, head: http2::Answer) {
        self.0.borrow_mut().prepared = Some(head);
    }

    /// Whether the client has given it up. Whoever asks is woken when it does.
    pub(super) fn is_reset(&self, context: &mut Context<'_>) -> bool {
        let mut inner = self.0.borrow_mut();
        let Inner { respond, send, .. } = &mut *inner;
        match send {
            Some(send) => send.poll_reset(context).is_ready(),
            None => respond.poll_reset(context).is_ready(),
        }
    }

    /// Says that the answer is not whole.
    pub(super) fn abort(&self) {
        let mut inner = self.0.borrow_mut();
        if !matches!(inner.taken, Taken::Over) {
            inner.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

impl Inner {
    /// Takes some bytes of the answer; says how many.
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.taken {
            Taken::Head(head) if head.is_empty() && bytes.first() == Some(&PREPARED) => {
                let head = self.prepared.take().ok_or_else(|| broken("no head was prepared"))?;
                self.begin(head.finish(&self.method))?;
                Ok(1)
            }
            Taken::Head(head) => {
                let before = head.len();
                head.extend_from_slice(bytes);
                let Arrival::Whole(length) = arrival(head, before).map_err(broken)? else {
                    return Ok(bytes.len());
                };
                let mut head = std::mem::take(head);
                head.truncate(length);
                self.begin(response_of(&head, &self.method))?;
                Ok(length - before)
            }
            Taken::Length(left) => {
                let count = bytes.len().min(PIECE).min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                if *left == 0 {
                    self.taken = Taken::Ending(Chunks::default());
                }
                self.waiting = Bytes::copy_from_slice(&bytes[..count]);
                Ok(count)
            }
            Taken::Chunks(chunks) => {
                let piece = &bytes[..bytes.len().min(PIECE)];
                let (used, data) = data_of(chunks, piece).map_err(broken)?;
                if chunks.is_over() {
                    self.taken = Taken::Ending(std::mem::take(chunks));
                }
                self.waiting = data;
                Ok(used)
            }
            Taken::Ending(_) | Taken::Over => Err(broken("there is more than the answer")),
        }
    }

    /// Sends the head of an answer, or an interim one.
    fn begin(&mut self, head: Result<(Response<()>, Framing), HeadError>) -> io::Result<()> {
        let (response, framing) = head.map_err(broken)?;
        if response.status().is_informational() {
            return self.respond.send_informational(response).map_err(broken);
        }
        let is_empty = matches!(framing, Framing::None | Framing::Length(0));
        self.send = Some(self.respond.send_response(response, is_empty).map_err(broken)?);
        self.taken = match framing {
            _ if is_empty => Taken::Over,
            Framing::Length(length) => Taken::Length(length),
            _ => Taken::Chunks(Chunks::default()),
        };
        Ok(())
    }

    /// Sends what waits, as far as the client takes it.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Ok(())) };
        while !self.waiting.is_empty() {
            send.reserve_capacity(self.waiting.len());
            let room = match send.capacity() {
                0 => match ready!(send.poll_capacity(context)) {
                    Some(room) => room.map_err(broken)?,
                    None => return Poll::Ready(Err(broken("the client has given it up"))),
                },
                room => room,
            };
            let piece = self.waiting.split_to(room.min(self.waiting.len()));
            let ends = self.waiting.is_empty()
                && matches!(&self.taken, Taken::Ending(chunks) if chunks.trailers().is_empty());
            send.send_data(piece, ends).map_err(broken)?;
            if ends {
                self.taken = Taken::Over;
            }
        }
        if let Taken::Ending(chunks) = &self.taken {
            match chunks.trailers() {
                [] => send.send_data(Bytes::new(), true).map_err(broken)?,
                lines => send.send_trailers(trailers_of(lines).map_err(broken)?).map_err(broken)?,
            }
            self.taken = Taken::Over;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        while inner.unread.is_empty() {
            match ready!(inner.body.poll_data(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                Some(Ok(data)) => {
                    // It is read at once, all but what is left of this frame.
                    inner.body.flow_control().release_capacity(data.len()).map_err(broken)?;
                    inner.unread = data;
                }
            }
        }
        let count = inner.unread.len().min(buffer.remaining());
        buffer.put_slice(&inner.unread[..count]);
        inner.unread.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_send(context))?;
        let used = inner.take(bytes)?;
        // What the client does not take now waits for the next call.
        let _ = inner.poll_send(context)?;
        Poll::Ready(Ok(used))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_send(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
