//! Reading: a few connections of their own, each read a look at one state.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::{FromSqlError, Type, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior};
use tandem_kit::tasks;
use tandem_types::document::Document;
use tandem_types::{Revision, Timestamp};
use tokio::sync::Semaphore;

use super::failure::explain;
use super::open::connect;
use crate::Error;
use crate::key::range_end;

/// Reads at once; more wait.
const READERS: usize = 4;

/// The one row of the table of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) incarnation: String,
    pub(super) revision: Revision,
    pub(super) floor: Revision,
}

/// Connections that only read.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, idle: Mutex::new(Vec::new()), permits: Semaphore::new(READERS) })
    }

    /// Runs `look` on a thread that may block; all it reads is of one revision.
    pub(super) async fn read<T, L>(self: &Arc<Self>, look: L) -> Result<T, Error>
    where
        T: Send + 'static,
        L: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let readers = Arc::clone(self);
        tasks::blocking("store-read", move || readers.read_now(look)).await
    }

    fn read_now<T>(&self, look: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let failed = |source| explain(&self.path, "read", source);
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?,
        };
        let seen = Transaction::new(&mut connection, TransactionBehavior::Deferred)
            .and_then(|transaction| look(&transaction))
            .map_err(failed)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(seen)
    }
}

pub(super) fn meta(connection: &Connection) -> rusqlite::Result<Meta> {
    let mut statement = connection.prepare_cached("SELECT incarnation, revision, floor FROM meta")?;
    statement.query_row([], |row| {
        Ok(Meta { incarnation: row.get(0)?, revision: revision(row, 1)?, floor: revision(row, 2)? })
    })
}

pub(super) fn document(connection: &Connection, key: &str) -> rusqlite::Result<Option<Document>> {
    let sql = "SELECT key, revision, kind, body FROM documents WHERE key = ?1";
    connection.prepare_cached(sql)?.query_row([key], to_document).optional()
}

/// Documents from one key (included) to another (excluded), in order.
pub(super) fn documents(
    connection: &Connection,
    range: (&str, &str),
    limit: Option<usize>,
) -> rusqlite::Result<Vec<Document>> {
    let sql =
        "SELECT key, revision, kind, body FROM documents WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map((range.0, range.1, sql_limit(limit)), to_document)?.collect()
}

/// All documents under a prefix, and the state they are of.
pub(super) fn listing(connection: &Connection, prefix: &str) -> rusqlite::Result<(Vec<Document>, Meta)> {
    Ok((documents(connection, (prefix, &range_end(prefix)), None)?, meta(connection)?))
}

/// Time of the last entry of the journal; none where there is none. One that cannot be read is told to whoever reads the
/// journal.
pub(super) fn last_entry(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let mut last = connection.prepare("SELECT time FROM journal ORDER BY revision DESC LIMIT 1")?;
    let time = last.query_row([], |row| row.get::<_, String>(0)).optional()?;
    Ok(time.and_then(|time| time.parse().ok()))
}

pub(super) fn to_document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document { key: row.get(0)?, revision: revision(row, 1)?, kind: row.get(2)?, body: json(row, 3)? })
}

pub(super) fn revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map(Revision).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A column of JSON text.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let ValueRef::Text(text) = row.get_ref(column)? else {
        return Err(unreadable(column, FromSqlError::InvalidType.into()));
    };
    serde_json::from_slice(text).map_err(|error| unreadable(column, error.into()))
}

pub(super) fn unreadable(column: usize, source: crate::error::BoxError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, source)
}

/// A number for SQLite, whose integers have a sign.
pub(super) fn sql(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// SQLite takes a negative limit for none.
pub(super) fn sql_limit(limit: Option<usize>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}
