//! Looks at a whole store: is the file whole, does every document make sense, does the journal tell the same story.
//!
//! Reads one state and writes nothing, so it may run beside a server that has the store open.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use serde::Serialize;
use tandem_types::document::Document;
use tandem_types::{Revision, Timestamp};

use super::failure::explain;
use super::open::connect;
use super::read::{self, Meta};
use super::retention;
use super::schema::{self, Head};
use crate::{Error, check_key};

/// Problems of one sort that are told; more would tell nothing new.
const MOST: usize = 20;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// What is wrong, for people; empty: nothing is.
    pub problems: Vec<String>,
    /// Name of this life of the store.
    pub incarnation: String,
    /// The newest transaction.
    pub revision: Revision,
    /// Deletions up to here are forgotten.
    pub floor: Revision,
    /// Documents by kind and format version.
    pub documents: BTreeMap<String, u64>,
    /// Deletions that are remembered.
    pub deletions: u64,
    /// Entries of the journal.
    pub journal_entries: u64,
    /// When the oldest of them was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_since: Option<Timestamp>,
    /// Bytes of the file and of its write-ahead log.
    pub bytes: u64,
}

/// Checks the store in a file. `understand` says what is wrong with a document as one of its kind.
///
/// # Errors
/// The file cannot be read at all: [`Error::Corrupt`], [`Error::NewerStore`] or [`Error::Unavailable`].
pub fn check(path: &Path, understand: impl Fn(&Document) -> Result<(), String>) -> Result<Checked, Error> {
    let failed = |source| explain(path, "check", source);
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    match schema::read_head(&connection).map_err(failed)? {
        Head::Store(schema::FORMAT) => {}
        Head::Store(found) => {
            return Err(Error::NewerStore { path: path.to_owned(), found, known: schema::FORMAT });
        }
        Head::Foreign | Head::Empty => {
            let source = "it is no store of Tandem".into();
            return Err(Error::Corrupt { path: path.to_owned(), source });
        }
    }
    let whole = file_problems(&connection).map_err(failed)?;
    let seen = Transaction::new(&mut connection, TransactionBehavior::Deferred).map_err(failed)?;
    let mut checked = counts(&seen).map_err(failed)?;
    checked.bytes = size(path) + size(Path::new(&format!("{}-wal", path.display())));
    checked.problems = whole;
    // Rows of a file that is not whole may be anything.
    if checked.problems.is_empty() {
        let written = last_written(&seen, &mut checked).map_err(failed)?;
        documents(&seen, &written, (&mut checked, &understand)).map_err(failed)?;
        deletions(&seen, &written, &mut checked).map_err(failed)?;
    }
    Ok(checked)
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn file_problems(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MOST})"))?;
    let found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

fn counts(connection: &Connection) -> rusqlite::Result<Checked> {
    let Meta { incarnation, revision, floor } = read::meta(connection)?;
    let count = |table: &str| -> rusqlite::Result<u64> {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    };
    let mut kinds = connection.prepare("SELECT kind, count(*) FROM documents GROUP BY kind")?;
    let kinds = kinds.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
    Ok(Checked {
        problems: Vec::new(),
        incarnation,
        revision,
        floor,
        documents: kinds.collect::<Result<_, _>>()?,
        deletions: count("tombstones")?,
        journal_entries: count("journal")?,
        journal_since: None,
        bytes: 0,
    })
}

/// What the journal says: which revision wrote a key last, and from where on it tells everything.
struct Written {
    by_key: BTreeMap<String, Revision>,
    since: Revision,
}

impl Written {
    /// What is wrong with a key that says it was last written at a revision.
    fn problem(&self, key: &str, revision: Revision) -> Option<String> {
        match self.by_key.get(key) {
            Some(last) if *last == revision => None,
            // Who wrote it last may have been forgotten; nobody wrote it later.
            Some(last) if *last < revision && revision < self.since => None,
            Some(last) => {
                Some(format!("{key} is of revision {revision}, the journal wrote it last at {last}"))
            }
            None if revision < self.since => None,
            None => Some(format!("{key} is of revision {revision}, of which the journal knows nothing")),
        }
    }
}

fn last_written(connection: &Connection, checked: &mut Checked) -> rusqlite::Result<Written> {
    let mut written = Written { by_key: BTreeMap::new(), since: Revision(u64::MAX) };
    let whole_since = retention::whole_since(connection, retention::KEPT)?;
    let mut statement = connection.prepare("SELECT revision, time, keys FROM journal ORDER BY revision")?;
    let mut rows = statement.query([])?;
    let mut wrong = Vec::new();
    while let Some(row) = rows.next()? {
        let revision = read::revision(row, 0)?;
        written.since = written.since.min(revision);
        let time: Option<Timestamp> = row.get::<_, String>(1)?.parse().ok();
        let keys = read::json::<Vec<String>>(row, 2);
        match (time, keys) {
            (Some(time), Ok(keys)) => {
                checked.journal_since.get_or_insert(time);
                written.by_key.extend(keys.into_iter().map(|key| (key, revision)));
            }
            _ => wrong.push(format!("the journal's entry {revision} makes no sense")),
        }
        if revision > checked.revision {
            wrong.push(format!("the journal tells of {revision}, the store is at {}", checked.revision));
        }
    }
    // Between older ones some may be gone.
    written.since = written.since.max(whole_since.unwrap_or(Revision(0)));
    add(checked, wrong);
    Ok(written)
}

fn documents(
    connection: &Connection,
    written: &Written,
    (checked, understand): (&mut Checked, &impl Fn(&Document) -> Result<(), String>),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("SELECT key, revision, kind, body FROM documents ORDER BY key")?;
    let mut rows = statement.query([])?;
    let mut wrong = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, revision): (String, _) = (row.get(0)?, read::revision(row, 1)?);
        wrong.extend(written.problem(&key, revision));
        if revision > checked.revision {
            wrong.push(format!("{key} is of revision {revision}, the store is at {}", checked.revision));
        }
        if check_key(&key).is_err() {
            wrong.push(format!("{key:?} is no key"));
        }
        match read::to_document(row) {
            Ok(document) => {
                wrong.extend(understand(&document).err().map(|why| format!("{key} makes no sense: {why}")));
            }
            Err(_) => wrong.push(format!("the body of {key} is no JSON")),
        }
    }
    add(checked, wrong);
    Ok(())
}

fn deletions(connection: &Connection, written: &Written, checked: &mut Checked) -> rusqlite::Result<()> {
    let sql = "SELECT key, revision, key IN (SELECT key FROM documents) FROM tombstones ORDER BY key";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut wrong = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, revision): (String, _) = (row.get(0)?, read::revision(row, 1)?);
        wrong.extend(written.problem(&key, revision).map(|problem| format!("the deletion of {problem}")));
        if row.get::<_, bool>(2)? {
            wrong.push(format!("{key} is there, and deleted"));
        }
    }
    add(checked, wrong);
    Ok(())
}

fn add(checked: &mut Checked, mut problems: Vec<String>) {
    if problems.len() > MOST {
        let more = problems.len() - MOST;
        problems.truncate(MOST);
        problems.push(format!("and {more} more of this sort"));
    }
    checked.problems.extend(problems);
}
