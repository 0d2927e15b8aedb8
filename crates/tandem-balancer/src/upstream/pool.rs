//! Kept connections to instances, private to one thread.
//!
//! What is kept is dropped before the app would do so ([`crate::serve::Limits::kept`]). Connections to instances that left
//! the table are dropped at once.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tandem_types::InstanceId;

use super::{Connection, Progress};
use crate::table::{Endpoint, Instance};
use crate::thread::Thread;

/// Longest body that an app reads or throws away in any case (gunicorn: 64 KiB).
const SHORT_BODY: u64 = 16 * 1024;
/// Most connections kept to one instance.
const MOST_KEPT: usize = 128;
/// How long a connection that is still busy with a request's body may go without moving it on, once the answer is
/// there.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// The kept connections of a thread.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Ticks after which an unused connection is dropped.
    limit: u32,
    kept: RefCell<HashMap<InstanceId, Kept>>,
}

#[derive(Debug)]
struct Kept {
    instance: Arc<Instance>,
    /// The longest kept in front, with the tick since when.
    connections: VecDeque<(u32, Connection)>,
}

impl Pool {
    /// Keeps unused connections for so many ticks.
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, kept: RefCell::default() }
    }

    /// A kept connection to this very endpoint that can take a request now, the one used last first.
    pub(crate) fn take(&self, endpoint: &Arc<Endpoint>, now: u32) -> Option<Connection> {
        let mut kept = self.kept.borrow_mut();
        let connections = &mut kept.get_mut(&endpoint.id)?.connections;
        while let Some((since, connection)) = connections.pop_back() {
            if is_usable(&connection, endpoint) && now - since < self.limit {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer has been read, unless the app may have left the request's body unread: some say that
    /// they keep such a connection and close it (gunicorn). One that still sends the body is left in peace until that is
    /// over.
    pub(crate) fn keep(
        thread: &Rc<Thread>,
        mut connection: Connection,
        instance: &Arc<Instance>,
        (progress, answered): (Option<Rc<Progress>>, StatusCode),
    ) {
        if connection.sender.is_closed() {
            return;
        }
        let read = progress.as_ref().is_none_or(|progress| is_read(progress, answered));
        connection.reused = true;
        if connection.sender.is_ready() {
            if read {
                thread.pool.insert(thread.now(), connection, instance);
            }
            return;
        }
        let (thread, instance) = (Rc::clone(thread), Arc::clone(instance));
        let context = Rc::clone(&thread);
        context.spawn("upstream-finish", async move {
            if until_ready(&mut connection, progress.as_deref()).await && read {
                thread.pool.insert(thread.now(), connection, &instance);
            }
        });
    }

    fn insert(&self, now: u32, connection: Connection, instance: &Arc<Instance>) {
        let current = instance.endpoint();
        let current = current.as_ref().is_some_and(|endpoint| Arc::ptr_eq(endpoint, &connection.endpoint));
        if !current || !instance.is_routed() {
            return;
        }
        let mut kept = self.kept.borrow_mut();
        let kept = kept
            .entry(instance.id())
            .or_insert_with(|| Kept { instance: Arc::clone(instance), connections: VecDeque::new() });
        if kept.connections.len() < MOST_KEPT {
            kept.connections.push_back((now, connection));
        }
    }

    /// Drops what is too old, closed, or leads to an instance that is no longer in the table.
    pub(crate) fn sweep(&self, now: u32) {
        self.kept.borrow_mut().retain(|_, kept| {
            if !kept.instance.is_routed() {
                return false;
            }
            kept.connections
                .retain(|(since, connection)| now - since < self.limit && !connection.sender.is_closed());
            !kept.connections.is_empty()
        });
    }

    /// Drops everything: the process ends.
    pub(crate) fn clear(&self) {
        self.kept.borrow_mut().clear();
    }
}

/// Whether the app has surely read a body before it answered: a short one, all handed out, and no refusal.
fn is_read(progress: &Progress, answered: StatusCode) -> bool {
    progress.is_over()
        && progress.moved() <= SHORT_BODY
        && !answered.is_client_error()
        && !answered.is_server_error()
}

fn is_usable(connection: &Connection, endpoint: &Arc<Endpoint>) -> bool {
    Arc::ptr_eq(&connection.endpoint, endpoint)
        && connection.sender.is_ready()
        && !connection.sender.is_closed()
}

/// Waits until the connection takes another request; false when it closed or its body got stuck.
async fn until_ready(connection: &mut Connection, progress: Option<&Progress>) -> bool {
    loop {
        let moved = progress.map(Progress::moved);
        match tokio::time::timeout(BUSY_LIMIT, connection.sender.ready()).await {
            Ok(ready) => return ready.is_ok(),
            Err(_) if progress.map(Progress::moved) == moved => return false,
            Err(_) => {}
        }
    }
}
