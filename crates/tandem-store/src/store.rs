//! The trait of every engine.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde_json::Value;
use tandem_types::document::{Change, Cursor, Document, JournalEntry, Lease};
use tandem_types::{Revision, Span};

use crate::{Error, Transaction};

/// Largest body of a document, in bytes of JSON; a watcher reads a document as one line.
pub const LARGEST_BODY: usize = 8 * 1024 * 1024;

/// A store that its users share.
pub type SharedStore = Arc<dyn Store>;

/// Documents under a prefix, and the place in history at which they stood so.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// In order of their keys, volatile ones included.
    pub documents: Vec<Document>,
    /// Where a watch goes on from here.
    pub cursor: Cursor,
}

/// Which lines of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalQuery {
    /// Only entries after this revision.
    pub after: Revision,
    /// Only entries before this revision, if set: for pages backwards.
    pub before: Option<Revision>,
    /// Only entries of this subject or below it: `guestbook` also finds `guestbook/production`.
    pub subject: Option<String>,
    /// Most entries returned; none: all.
    pub limit: Option<usize>,
    /// The newest first, instead of the oldest.
    pub newest_first: bool,
}

/// Versioned documents, their journal and leases.
///
/// What holds for every engine:
/// - One revision counter over all documents, growing by one at each transaction. A transaction is whole or not there,
///   with its journal entry, and is on the disk when it is acknowledged.
/// - What a reader sees is the state at one revision.
/// - Dropping the future of a call does not take back what it asked for.
/// - Volatile documents live in memory: no revision, no journal, gone with the server. They are listed and watched
///   like others, with the revision of the store at the time they were written.
#[async_trait]
pub trait Store: Send + Sync {
    /// One document.
    async fn get(&self, key: &str) -> Result<Option<Document>, Error>;

    /// All documents whose key begins with `prefix`.
    async fn list(&self, prefix: &str) -> Result<Listing, Error>;

    /// Writes several documents and a journal entry, or nothing. Returns the revision of the transaction.
    async fn transact(&self, transaction: Transaction) -> Result<Revision, Error>;

    /// Writes a volatile document.
    async fn put_volatile(&self, key: &str, kind: &str, body: Value) -> Result<(), Error>;

    /// Deletes a volatile document; none there is fine.
    async fn delete_volatile(&self, key: &str) -> Result<(), Error>;

    /// Changes under some prefixes, for ever.
    ///
    /// Without a cursor, or with one of another life of the store, from the future or from before the last
    /// [`Store::compact`]: `Reset`, all documents as `Put`, `Live`. Otherwise what changed since, volatile
    /// documents whole, `Live`. Then changes as they come, in the order of their revisions; of several changes of one
    /// document only the last may come. `Live` follows each batch and comes at least every 15 s. A slow reader
    /// holds nobody up. The stream ends when the store is closed or fails.
    async fn watch(
        &self,
        prefixes: Vec<String>,
        after: Option<Cursor>,
    ) -> Result<BoxStream<'static, Change>, Error>;

    /// Lines of the journal.
    async fn journal(&self, query: JournalQuery) -> Result<Vec<JournalEntry>, Error>;

    /// Waits until there is a transaction after `after`, and returns the newest revision.
    async fn wait_past(&self, after: Revision) -> Result<Revision, Error>;

    /// Where history stands.
    async fn cursor(&self) -> Result<Cursor, Error>;

    /// Takes a lease unless somebody else holds it. Whoever holds it already gets it anew, with a greater fence, so that
    /// a restarted part of the same process fences off its predecessor. Nobody holds a lease after the store was opened.
    ///
    /// The holder counts `length` by its own monotonic clock from before it asked, see [`crate::lease::Held`].
    async fn acquire(&self, name: &str, holder: &str, length: Span) -> Result<Option<Lease>, Error>;

    /// Lets a lease that is still held last its length from now. [`Error::Fenced`] when it has ended, even
    /// if nobody took it since.
    async fn renew(&self, lease: &Lease) -> Result<Lease, Error>;

    /// Ends a lease; one that has ended is left alone.
    async fn release(&self, lease: &Lease) -> Result<(), Error>;

    /// Forgets deletions up to and including a revision; watchers whose cursor is older list anew. The journal stays.
    async fn compact(&self, up_to: Revision) -> Result<(), Error>;
}
