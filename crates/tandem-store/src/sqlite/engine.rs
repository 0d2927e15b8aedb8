//! The store as its users see it: each call a job for the writer, a read, or a look into memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::Value;
use tandem_kit::clock::Clock;
use tandem_types::document::{Cause, Change, Cursor, Document, JournalEntry, Lease};
use tandem_types::{Revision, Span, Timestamp};
use tokio::sync::watch;

use super::commit::{self, Prepared};
use super::leases::Leases;
use super::open::Opened;
use super::read::{self, Readers, sql, sql_limit};
use super::retention;
use super::volatile::Volatile;
use super::watch::{SIGN_OF_LIFE, Source, Watcher};
use super::writer::{Desk, Progress, Unit, Writer};
use crate::key::Prefixes;
use crate::{Error, JournalQuery, Listing, Store, Transaction, check_key, transaction};

/// Deletions remembered for watchers that come back; more than an installation makes in months.
const MOST_TOMBSTONES: i64 = 20_000;
/// They are counted, and the journal is cut, once in this many transactions: fifty deploys.
const COUNT_EVERY: u64 = 500;

/// The SQLite engine.
pub(super) struct Engine {
    path: PathBuf,
    incarnation: String,
    readers: Arc<Readers>,
    volatile: Arc<Volatile>,
    progress: Arc<watch::Sender<Progress>>,
    /// Dropped last of all users of the file, after what is queued is done.
    pub(super) writer: Writer,
}

impl Engine {
    pub(super) fn start(opened: Opened, clock: Clock) -> Result<Self, Error> {
        let Opened { path, connection, meta, volatile_keys, last_entry } = opened;
        let volatile = Arc::new(Volatile::new(volatile_keys));
        let progress = Arc::new(watch::Sender::new(Progress { revision: meta.revision, volatile: 0 }));
        let writer = Writer::start(Desk {
            path: path.clone(),
            connection,
            leases: Leases::new(clock).not_before(last_entry),
            volatile: Arc::clone(&volatile),
            progress: Arc::clone(&progress),
        })?;
        let readers = Readers::new(path.clone());
        Ok(Self { path, incarnation: meta.incarnation, readers, volatile, progress, writer })
    }

    fn cursor_at(&self, revision: Revision) -> Cursor {
        Cursor { incarnation: self.incarnation.clone(), revision }
    }

    pub(super) fn watcher(&self, prefixes: Vec<String>, after: Option<Cursor>, sign: Duration) -> Watcher {
        let source = Source {
            path: self.path.clone(),
            readers: Arc::clone(&self.readers),
            volatile: Arc::clone(&self.volatile),
            sign,
        };
        Watcher::new(source, Prefixes::new(prefixes), after, self.progress.subscribe())
    }

    /// Whether watchers may know a volatile document of this key.
    #[cfg(test)]
    pub(super) fn knows_volatile(&self, key: &str) -> bool {
        self.volatile.knows(key)
    }

    fn tell_volatile(&self, sequence: u64) {
        self.progress.send_modify(|progress| progress.volatile = progress.volatile.max(sequence));
    }

    /// Refuses a key of a lasting document, and remembers the key of a volatile one before it is first told.
    async fn admit_volatile(&self, key: &str) -> Result<(), Error> {
        if self.volatile.knows(key) {
            return Ok(());
        }
        let key = key.to_owned();
        let remember = move |unit: &mut Unit<'_>| {
            if read::document(unit.database, &key)?.is_some() {
                return Err(Error::Lasting { key: key.clone() }.into());
            }
            unit.database.execute("INSERT OR IGNORE INTO volatile_keys (key) VALUES (?1)", [&key])?;
            Ok(())
        };
        self.writer.write(remember).await
    }
}

#[async_trait]
impl Store for Engine {
    async fn get(&self, key: &str) -> Result<Option<Document>, Error> {
        if let Some(document) = self.volatile.get(key) {
            return Ok(Some(document));
        }
        let key = key.to_owned();
        self.readers.read(move |database| read::document(database, &key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, Error> {
        let range = prefix.to_owned();
        let (mut documents, meta) =
            self.readers.read(move |database| read::listing(database, &range)).await?;
        let volatile = self.volatile.list(prefix);
        if !volatile.is_empty() {
            documents.extend(volatile);
            documents.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        }
        Ok(Listing { documents, cursor: self.cursor_at(meta.revision) })
    }

    async fn transact(&self, transaction: Transaction) -> Result<Revision, Error> {
        let prepared = Prepared::new(transaction)?;
        let apply = move |unit: &mut Unit<'_>| {
            let revision = prepared.apply(unit)?;
            if revision.0.is_multiple_of(COUNT_EVERY) {
                commit::compact_surplus(unit, MOST_TOMBSTONES)?;
                retention::forget_entries(unit, retention::KEPT)?;
            }
            Ok(revision)
        };
        self.writer.write(apply).await
    }

    async fn put_volatile(&self, key: &str, kind: &str, body: Value) -> Result<(), Error> {
        check_key(key)?;
        transaction::encode(key, kind, &body)?;
        self.admit_volatile(key).await?;
        let revision = self.progress.borrow().revision;
        let document = Document { key: key.to_owned(), revision, kind: kind.to_owned(), body };
        self.tell_volatile(self.volatile.put(document));
        Ok(())
    }

    async fn delete_volatile(&self, key: &str) -> Result<(), Error> {
        if let Some(sequence) = self.volatile.delete(key) {
            self.tell_volatile(sequence);
        }
        Ok(())
    }

    async fn watch(
        &self,
        prefixes: Vec<String>,
        after: Option<Cursor>,
    ) -> Result<BoxStream<'static, Change>, Error> {
        Ok(self.watcher(prefixes, after, SIGN_OF_LIFE).into_stream())
    }

    async fn journal(&self, query: JournalQuery) -> Result<Vec<JournalEntry>, Error> {
        self.readers.read(move |database| read_journal(database, &query)).await
    }

    async fn wait_past(&self, after: Revision) -> Result<Revision, Error> {
        let mut progress = self.progress.subscribe();
        let past = progress.wait_for(|progress| progress.revision > after).await;
        let past = past.map(|progress| progress.revision);
        past.map_err(|error| Error::Unavailable {
            doing: "wait for the store".to_owned(),
            source: error.into(),
        })
    }

    async fn cursor(&self) -> Result<Cursor, Error> {
        let revision = self.progress.borrow().revision;
        Ok(self.cursor_at(revision))
    }

    async fn acquire(&self, name: &str, holder: &str, length: Span) -> Result<Option<Lease>, Error> {
        check_key(name)?;
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let acquire =
            move |unit: &mut Unit<'_>| Ok(unit.leases.acquire(unit.database, (&name, &holder), length)?);
        self.writer.write(acquire).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, Error> {
        let lease = lease.clone();
        self.writer.write(move |unit| Ok(unit.leases.renew(&lease)?)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        let lease = lease.clone();
        let release = move |unit: &mut Unit<'_>| {
            unit.leases.release(&lease);
            Ok(())
        };
        self.writer.write(release).await
    }

    async fn compact(&self, up_to: Revision) -> Result<(), Error> {
        self.writer.write(move |unit| commit::compact(unit, up_to)).await
    }
}

fn read_journal(database: &Connection, query: &JournalQuery) -> rusqlite::Result<Vec<JournalEntry>> {
    let mut conditions = "revision > ? AND revision < ?".to_owned();
    let before = query.before.map_or(i64::MAX, sql);
    let mut values = vec![SqlValue::from(sql(query.after)), SqlValue::from(before)];
    if let Some(subject) = &query.subject {
        conditions.push_str(" AND (subject = ? OR (subject > ? AND subject < ?))");
        // What is below a subject begins with it and a slash; the character after the slash ends that range.
        let below = [subject.clone(), format!("{subject}/"), format!("{subject}0")];
        values.extend(below.map(SqlValue::from));
    }
    let order = if query.newest_first { "DESC" } else { "ASC" };
    values.push(SqlValue::from(sql_limit(query.limit)));
    let text = format!(
        "SELECT revision, time, actor, action, reason, subject, keys FROM journal
         WHERE {conditions} ORDER BY revision {order} LIMIT ?"
    );
    database.prepare_cached(&text)?.query_map(params_from_iter(values), to_entry)?.collect()
}

fn to_entry(row: &Row<'_>) -> rusqlite::Result<JournalEntry> {
    let time: String = row.get(1)?;
    let time: Timestamp = time.parse().map_err(|error: jiff::Error| read::unreadable(1, error.into()))?;
    let cause = Cause { actor: row.get(2)?, action: row.get(3)?, reason: row.get(4)?, subject: row.get(5)? };
    Ok(JournalEntry { revision: read::revision(row, 0)?, time, cause, keys: read::json(row, 6)? })
}
