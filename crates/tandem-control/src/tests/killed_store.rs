//! A store that stops answering at a chosen transaction, before or after it is carried out: how a kill looks from
//! inside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde_json::Value;
use tandem_store::{Error, JournalQuery, Listing, SharedStore, Store, Transaction};
use tandem_types::document::{Change, Cursor, Document, JournalEntry, Lease};
use tandem_types::{Revision, Span};
use tokio::sync::Notify;

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kill {
    /// At which transaction of the executor, from 1.
    pub(super) at: usize,
    /// Whether that transaction is carried out.
    pub(super) after: bool,
}

/// See the module.
pub(super) struct KilledStore {
    inner: SharedStore,
    kill: Kill,
    seen: AtomicUsize,
    pub(super) dead: Notify,
}

impl KilledStore {
    pub(super) fn new(inner: SharedStore, kill: Kill) -> Arc<Self> {
        Arc::new(Self { inner, kill, seen: AtomicUsize::new(0), dead: Notify::new() })
    }
}

#[async_trait]
impl Store for KilledStore {
    async fn transact(&self, transaction: Transaction) -> Result<Revision, Error> {
        if transaction.fence.is_none() || self.seen.fetch_add(1, Ordering::SeqCst) + 1 < self.kill.at {
            return self.inner.transact(transaction).await;
        }
        if self.kill.after && self.seen.load(Ordering::SeqCst) == self.kill.at {
            self.inner.transact(transaction).await?;
        }
        self.dead.notify_one();
        std::future::pending().await
    }

    async fn get(&self, key: &str) -> Result<Option<Document>, Error> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        self.inner.list(prefix).await
    }

    async fn put_volatile(&self, key: &str, kind: &str, body: Value) -> Result<(), Error> {
        self.inner.put_volatile(key, kind, body).await
    }

    async fn delete_volatile(&self, key: &str) -> Result<(), Error> {
        self.inner.delete_volatile(key).await
    }

    async fn watch(
        &self,
        prefixes: Vec<String>,
        after: Option<Cursor>,
    ) -> Result<BoxStream<'static, Change>, Error> {
        self.inner.watch(prefixes, after).await
    }

    async fn journal(&self, query: JournalQuery) -> Result<Vec<JournalEntry>, Error> {
        self.inner.journal(query).await
    }

    async fn wait_past(&self, after: Revision) -> Result<Revision, Error> {
        self.inner.wait_past(after).await
    }

    async fn cursor(&self) -> Result<Cursor, Error> {
        self.inner.cursor().await
    }

    async fn acquire(&self, name: &str, holder: &str, length: Span) -> Result<Option<Lease>, Error> {
        self.inner.acquire(name, holder, length).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, Error> {
        self.inner.renew(lease).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.inner.release(lease).await
    }

    async fn compact(&self, up_to: Revision) -> Result<(), Error> {
        self.inner.compact(up_to).await
    }
}
