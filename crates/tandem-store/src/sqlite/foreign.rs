//! Copies of databases that are not the store's: those that apps keep in their volumes, and write to just then.
//!
//! SQLite itself copies them, within one reading transaction, so that a copy is the database as it was at one moment, with
//! all that had been committed before. In WAL mode nobody waits for that; in the other modes writers wait until it is done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

/// Longest wait for a writer that holds the whole database.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a database was not copied.
#[derive(Debug, thiserror::Error)]
#[error("copy the database {}", path.display())]
pub struct Error {
    path: PathBuf,
    #[source]
    source: rusqlite::Error,
}

/// Whether SQLite can read it, as far as its first page tells.
///
/// # Errors
/// It cannot.
pub fn check(path: &Path) -> Result<(), Error> {
    let look = || -> rusqlite::Result<()> {
        let _: i64 = open(path)?.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
        Ok(())
    };
    look().map_err(|source| Error { path: path.to_owned(), source })
}

/// Copies a database that may be in use into a file that is not there yet.
///
/// # Errors
/// It is none, is damaged, is locked for longer than a minute, or there is no room.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    copied(from, to).map_err(|source| Error { path: from.to_owned(), source })
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    // Writable where it may be: what a killed app left of a transaction has to be rolled back, and the WAL has an index.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(PATIENCE)?;
    // Where it runs there may be no folder for temporary files.
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

fn copied(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let source = open(from)?;
    let mut target = Connection::open(to)?;
    // Read once and thrown away: nothing of it has to outlive a crash.
    target.pragma_update(None, "journal_mode", "off")?;
    target.pragma_update(None, "synchronous", "off")?;
    let backup = Backup::new(&source, &mut target)?;
    // All pages in one step, and so in one transaction: a copy in parts begins anew with each write of the app's.
    match backup.step(-1)? {
        StepResult::Done => Ok(()),
        _ => {
            let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
            Err(rusqlite::Error::SqliteFailure(busy, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(path: &Path) -> i64 {
        let connection = Connection::open(path).unwrap();
        let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_was_committed_is_in_the_copy_and_what_was_not_is_not() {
        for mode in ["wal", "delete"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("db.sqlite3");
            let mut app = Connection::open(&path).unwrap();
            app.pragma_update(None, "journal_mode", mode).unwrap();
            app.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)").unwrap();
            let open = app.transaction().unwrap();
            open.execute("INSERT INTO t VALUES (3)", []).unwrap();
            check(&path).unwrap();
            let copy_path = folder.path().join("copy");
            copy(&path, &copy_path).unwrap();
            open.commit().unwrap();
            assert_eq!(rows(&copy_path), 2, "{mode}");
            assert_eq!(rows(&path), 3, "{mode}");
        }
    }

    #[test]
    fn what_is_no_database_is_told_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db.sqlite3");
        let text = [b"SQLite format 3\0".as_slice(), &[7; 4096]].concat();
        tandem_kit::files::write_atomic_unsynced(&path, &text, 0o600).unwrap();
        assert!(check(&path).unwrap_err().to_string().ends_with("db.sqlite3"));
        copy(&path, &folder.path().join("copy")).unwrap_err();
    }
}
