//! When something of a body was taken last, so that one that nobody takes is told from one that is slow to be made.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::http::{Body, BoxError};

/// Whose turn it is. Clones see the same.
#[derive(Debug, Clone)]
pub(super) struct Flow(Arc<Mutex<Turn>>);

#[derive(Debug, Clone, Copy)]
enum Turn {
    /// The taker's, since then.
    Takes(Instant),
    /// The maker's.
    Makes,
}

impl Default for Flow {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Turn::Takes(Instant::now()))))
    }
}

impl Flow {
    /// Since when the taker has taken nothing; now, while there is nothing to take.
    pub(super) fn since(&self) -> Instant {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Turn::Takes(since) => since,
            Turn::Makes => Instant::now(),
        }
    }

    fn set(&self, turn: Turn) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }
}

/// A body that writes down whose turn it is.
pub(super) struct Counted {
    pub(super) body: Body,
    pub(super) flow: Flow,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.flow.set(if frame.is_pending() { Turn::Makes } else { Turn::Takes(Instant::now()) });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
