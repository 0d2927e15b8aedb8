//! The body of an answer: an instance's, a file's, or a page.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tandem_kit::http::BoxError;

use super::Activity;
use crate::static_files::FileBody;
use crate::table::Lease;
use crate::thread::Thread;
use crate::upstream::{Answer, Connection, Pool, Progress};

/// The body of an answer to a client. Its end is the end of the request.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    source: Source,
    activity: Arc<Activity>,
}

#[derive(Debug)]
enum Source {
    Bytes(Option<Bytes>),
    File(FileBody),
    Instance(Incoming, Option<Return>),
}

/// What goes back once an instance's answer has been read: the connection to the pool, the request out of the count.
#[derive(Debug)]
struct Return {
    thread: Rc<Thread>,
    connection: Connection,
    lease: Lease,
    progress: Option<Rc<Progress>>,
    answered: StatusCode,
}

impl ResponseBody {
    /// Some bytes.
    pub(crate) fn bytes(bytes: Bytes, activity: &Arc<Activity>) -> Self {
        Self::new(Source::Bytes(Some(bytes).filter(|bytes| !bytes.is_empty())), activity)
    }

    /// A file or a part of one.
    pub(crate) fn file(file: FileBody, activity: &Arc<Activity>) -> Self {
        Self::new(Source::File(file), activity)
    }

    /// An instance's answer; returns its head beside it.
    pub(crate) fn instance(
        thread: &Rc<Thread>,
        answer: Answer,
        activity: &Arc<Activity>,
    ) -> (http::response::Parts, Self) {
        let Answer { response, connection, lease, progress } = answer;
        let (parts, incoming) = response.into_parts();
        let back = Return { thread: Rc::clone(thread), connection, lease, progress, answered: parts.status };
        let mut body = Self::new(Source::Instance(incoming, Some(back)), activity);
        body.give_back_at_end();
        (parts, body)
    }

    fn new(source: Source, activity: &Arc<Activity>) -> Self {
        Self { source, activity: Arc::clone(activity) }
    }

    fn give_back_at_end(&mut self) {
        if let Source::Instance(incoming, back) = &mut self.source
            && incoming.is_end_stream()
            && let Some(Return { thread, connection, lease, progress, answered }) = back.take()
        {
            Pool::keep(&thread, connection, lease.instance(), (progress, answered));
        }
    }

    fn poll_instance(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Source::Instance(incoming, back) = &mut self.source else { return Poll::Ready(None) };
        let frame = Pin::new(incoming).poll_frame(context);
        match &frame {
            // Broken off: neither the connection nor what came so far is of use.
            Poll::Ready(Some(Err(_))) => drop(back.take()),
            Poll::Ready(_) => self.give_back_at_end(),
            Poll::Pending => {}
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.activity.request_ended();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.source {
            Source::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::File(file) => file.poll_frame(context).map(|part| part.map(|part| part.map(Frame::data))),
            Source::Instance(..) => self.poll_instance(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Bytes(bytes) => bytes.is_none(),
            Source::File(file) => file.left() == 0,
            Source::Instance(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Bytes(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Source::File(file) => SizeHint::with_exact(file.left()),
            Source::Instance(incoming, _) => incoming.size_hint(),
        }
    }
}
