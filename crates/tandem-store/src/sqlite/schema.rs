//! Tables, and the marks in the file's head that say whose and how new they are.
//!
//! A change of the tables raises [`FORMAT`] and adds a step from the format before; `golden/` keeps one file per
//! format, which must stay readable.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// Format version of the tables, kept as `user_version`.
pub(super) const FORMAT: u32 = 1;

/// `application_id` of the file: "Tndm" in ASCII.
pub(super) const APPLICATION: u32 = 0x546e_646d;

const TABLES: &str = include_str!("golden/1.sql");

/// What the head of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Nothing: the file was just created.
    Empty,
    /// A store of this format.
    Store(u32),
    /// A database of somebody else.
    Foreign,
}

pub(super) fn read_head(connection: &Connection) -> rusqlite::Result<Head> {
    let application: u32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let format: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, tables) {
        (APPLICATION, _) => Head::Store(format),
        (0, 0) => Head::Empty,
        _ => Head::Foreign,
    })
}

/// Creates all tables in one transaction, so that a crash leaves an empty file or a whole store.
pub(super) fn create(connection: &mut Connection, incarnation: &str) -> rusqlite::Result<()> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction
        .execute("INSERT INTO meta (id, incarnation, revision, floor) VALUES (1, ?1, 0, 0)", [incarnation])?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}
