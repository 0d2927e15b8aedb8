//! A request's body on its way to the instance, streamed as it comes.
//!
//! Whoever sends keeps a [`Progress`]: it knows whether the body was begun (else the request may be sent again) and
//! when it moved last (a long upload is no late answer). Where the instance stops reading early, the rest is read here
//! and thrown away for a while: a client that sends everything before it reads would never see the answer.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::serve::Activity;
use crate::thread::Thread;
use crate::tick::ticks;

/// How long the rest of an unwanted body is thrown away before its client is left to itself.
const DISCARD_TICKS: u32 = ticks(30);

/// What is known of a body that is being sent.
#[derive(Debug)]
pub(crate) struct Progress {
    thread: Rc<Thread>,
    activity: Arc<Activity>,
    incoming: RefCell<Incoming>,
    /// Whether the client waits to be told to send it.
    expects: bool,
    /// Whether it was asked for: then the client has been told.
    asked: Cell<bool>,
    /// Whether any part of it was handed out.
    begun: Cell<bool>,
    ended: Cell<bool>,
    /// Whether the client broke it off, or sent nonsense.
    broken: Cell<bool>,
    /// Bytes handed out.
    moved: Cell<u64>,
    /// Grows whenever another attempt takes the body; the reader before it is cut off.
    reader: Cell<u32>,
}

/// Why a body does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The client broke off.
    #[error("read the request's body")]
    Broken(#[source] hyper::Error),
    /// The attempt it was for is over.
    #[error("the request's body was taken back")]
    Revoked,
}

/// The body of a request to an instance.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// None.
    Empty,
    /// Read from the client as fast as the instance takes it.
    Streamed {
        /// Shared with whoever sends.
        progress: Rc<Progress>,
        /// The attempt it belongs to.
        reader: u32,
    },
}

impl Progress {
    /// A body that nobody has read from; `expects`: its client sends it only after `100 Continue`.
    pub(crate) fn new(
        thread: &Rc<Thread>,
        activity: &Arc<Activity>,
        (incoming, expects): (Incoming, bool),
    ) -> Rc<Self> {
        Rc::new(Self {
            thread: Rc::clone(thread),
            activity: Arc::clone(activity),
            incoming: RefCell::new(incoming),
            expects,
            asked: Cell::new(false),
            begun: Cell::new(false),
            ended: Cell::new(false),
            broken: Cell::new(false),
            moved: Cell::new(0),
            reader: Cell::new(0),
        })
    }

    /// The body for one attempt to send it; bodies handed out before are cut off from it.
    pub(crate) fn body(self: &Rc<Self>) -> RequestBody {
        self.revoke();
        RequestBody::Streamed { progress: Rc::clone(self), reader: self.reader.get() }
    }

    /// Cuts off the bodies handed out before.
    pub(crate) fn revoke(&self) {
        self.reader.set(self.reader.get() + 1);
    }

    /// Nobody wants what is left of it: it is read and thrown away for a while. A client that was never told to send it
    /// is left to itself, since what it sends next may be another request.
    pub(crate) fn discard_rest(self: &Rc<Self>) {
        if !self.is_over() && (self.asked.get() || !self.expects) {
            self.revoke();
            self.thread.spawn("discard-body", Rc::clone(self).discard(self.reader.get()));
        }
    }

    /// Whether any part of it was handed out.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun.get()
    }

    /// Whether the client broke it off, or sent nonsense: what follows from that is not the instance's fault.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// Bytes handed out so far.
    pub(crate) fn moved(&self) -> u64 {
        self.moved.get()
    }

    /// Whether all of it was handed out, or broke off.
    pub(crate) fn is_over(&self) -> bool {
        self.ended.get() || self.incoming.borrow().is_end_stream()
    }

    fn poll(&self, reader: u32, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.reader.get() != reader {
            return Poll::Ready(Some(Err(BodyError::Revoked)));
        }
        if self.ended.get() {
            return Poll::Ready(None);
        }
        self.asked.set(true);
        let mut incoming = self.incoming.borrow_mut();
        let frame = Pin::new(&mut *incoming).poll_frame(context);
        match &frame {
            Poll::Pending => self.activity.body_wanted(),
            Poll::Ready(part) => {
                self.activity.body_moved();
                self.begun.set(true);
                self.broken.set(matches!(part, Some(Err(_))));
                let data = part.as_ref().and_then(|part| part.as_ref().ok()).and_then(Frame::data_ref);
                self.moved.set(self.moved.get() + data.map_or(0, Bytes::len) as u64);
                self.ended.set(!matches!(part, Some(Ok(_))) || incoming.is_end_stream());
            }
        }
        frame.map(|part| part.map(|part| part.map_err(BodyError::Broken)))
    }

    /// Reads the rest and throws it away, for a limited time and as long as nobody else wants it.
    async fn discard(self: Rc<Self>, reader: u32) {
        self.activity.linger(true);
        let until = self.thread.now() + DISCARD_TICKS;
        loop {
            let part = std::future::poll_fn(|context| self.poll(reader, context)).await;
            if !matches!(part, Some(Ok(_))) || self.thread.now() > until {
                break;
            }
        }
        self.activity.linger(false);
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Self::Streamed { progress, reader } = self
            && progress.reader.get() == *reader
        {
            progress.discard_rest();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &*self {
            Self::Empty => Poll::Ready(None),
            Self::Streamed { progress, reader } => progress.poll(*reader, context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed { progress, .. } => progress.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed { progress, .. } => progress.incoming.borrow().size_hint(),
        }
    }
}
