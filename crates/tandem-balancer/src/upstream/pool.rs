//! Kept connections to instances, private to one thread.
//!
//! What is kept is dropped before the app would do so ([`crate::serve::WaitLimits::kept`]). Connections to instances that left
//! the table are dropped at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use http::StatusCode;
use rustc_hash::FxHashMap;
use tandem_types::InstanceId;

use super::Connection;
use crate::table::{Endpoint, Instance};

/// Longest body that an app reads or throws away in any case (gunicorn: 64 KiB).
const SHORT_BODY: u64 = 16 * 1024;
/// Most connections kept to one instance.
const MOST_KEPT: usize = 128;

/// The kept connections of a thread.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Ticks after which an unused connection is dropped.
    limit: u32,
    /// No client has a hand in the keys, so they may be hashed quickly.
    kept: RefCell<FxHashMap<InstanceId, Kept>>,
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
            if Arc::ptr_eq(&connection.endpoint, endpoint)
                && connection.is_usable()
                && now - since < self.limit
            {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn keep(&self, now: u32, mut connection: Connection, instance: &Arc<Instance>) {
        connection.reused = true;
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
            kept.connections.retain(|(since, connection)| now - since < self.limit && connection.is_usable());
            !kept.connections.is_empty()
        });
    }

    /// Drops everything: the process ends.
    pub(crate) fn clear(&self) {
        self.kept.borrow_mut().clear();
    }
}

/// Whether an app has surely read a body of so many bytes, all of which it was sent, before it gave an answer with this
/// status. Some that have not say that they keep the connection and close it (gunicorn).
pub(crate) fn is_read(moved: u64, answered: StatusCode) -> bool {
    moved == 0 || moved <= SHORT_BODY && !answered.is_client_error() && !answered.is_server_error()
}
