//! Kept connections: a few, newest first, none for longer than a while.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use super::connection::Connection;
use crate::http::BoxError;
use crate::tasks::{self, Owned};

/// Connections kept for the next request.
const KEPT: usize = 4;
/// How long an unused connection is kept; below the idle limit of the server.
pub(super) const IDLE: Duration = Duration::from_secs(10);
/// A kept connection that is not ready for a request by then is given up.
const READY_LIMIT: Duration = Duration::from_secs(1);

/// The kept connections of one client.
pub(super) struct Pool {
    /// How long an unused connection is kept.
    idle_limit: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<(Instant, Connection)>,
    /// Drops what was kept too long; there while something is kept.
    sweeper: Option<Owned<()>>,
}

impl Pool {
    pub(super) fn new(idle_limit: Duration) -> Self {
        Self { idle_limit, state: Mutex::default() }
    }

    /// A kept connection that is open and ready, newest first.
    pub(super) async fn take(&self) -> Option<Connection> {
        loop {
            let (_, mut connection) = self.lock().idle.pop()?;
            let ready = tokio::time::timeout(READY_LIMIT, connection.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer has been read.
    fn keep(self: &Arc<Self>, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut state = self.lock();
        state.idle.push((Instant::now(), connection));
        let surplus = state.idle.len().saturating_sub(KEPT);
        state.idle.drain(..surplus);
        if state.sweeper.as_ref().is_none_or(Owned::is_finished) {
            state.sweeper = Some(tasks::owned("api-pool", sweep(Arc::downgrade(self), self.idle_limit)));
        }
    }

    /// Drops what was kept too long; returns when to look again, if anything is left.
    fn expire(&self) -> Option<Instant> {
        let mut state = self.lock();
        let now = Instant::now();
        state.idle.retain(|(since, _)| *since + self.idle_limit > now);
        if state.idle.is_empty() {
            // Cleared under the lock, so that the next connection kept starts a new one.
            drop(state.sweeper.take());
        }
        state.idle.first().map(|(since, _)| *since + self.idle_limit)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(pool: Weak<Pool>, idle_limit: Duration) {
    let mut next = Instant::now() + idle_limit;
    loop {
        tokio::time::sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        match pool.expire() {
            Some(when) => next = when,
            None => return,
        }
    }
}

/// The body of an answer; hands its connection back once it was read to its end, and closes it otherwise.
pub(super) struct Answer {
    pub(super) body: Incoming,
    pub(super) connection: Option<Connection>,
    pub(super) pool: Arc<Pool>,
}

impl Answer {
    pub(super) fn new(body: Incoming, connection: Connection, pool: Arc<Pool>) -> Self {
        let mut answer = Self { body, connection: Some(connection), pool };
        if answer.body.is_end_stream() {
            answer.hand_back();
        }
        answer
    }

    fn hand_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.keep(connection);
        }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(None) => self.hand_back(),
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.hand_back(),
            Poll::Ready(Some(Err(_))) => drop(self.connection.take()),
            _ => {}
        }
        frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
