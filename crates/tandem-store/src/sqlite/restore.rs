//! Puts a snapshot in the place of the store, in such a way that a cut at any moment leaves the old store or the new.
//!
//! Steps: the snapshot is copied to `….new` and made a life of its own there; the old files get a second name aside; `….new`
//! becomes `….restored` (from here on the restore has happened); the old log is removed and `….restored` takes the store's
//! name. Whoever opens the store takes an unfinished last step up: a new file under an old log would be a mixture of both.
//!
//! The caller holds the lock of the data folder all the time.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use tandem_kit::ballast::is_want_of_room;
use tandem_kit::files;
use tandem_types::Revision;
use tandem_types::document::Document;

use super::failure::explain;
use super::open::{connect, new_incarnation};
use super::owner;
use super::read;
use super::snapshots::inspect;
use crate::Error;

/// Revisions left out after a restore: more than there may have been between the snapshot and the damage, so that a greater
/// revision is always a later state, whichever life it is of.
const REVISIONS_LEFT_OUT: u64 = 100_000;
/// The same for the fences of each lease; one is given at each start of the server.
const FENCES_LEFT_OUT: u64 = 1_000;

/// A store that is ready to take the place of another.
#[derive(Debug)]
pub struct Prepared {
    database: PathBuf,
    revision: Revision,
}

/// Copies a snapshot beside the store and gives it a new incarnation, a greater revision and greater fences.
///
/// # Errors
/// The snapshot is damaged or of a newer format, or the disk refuses. The store stays as it was.
pub fn prepare(database: &Path, snapshot: &Path) -> Result<Prepared, Error> {
    let new = beside(database, ".new");
    clear(&new)?;
    copy(snapshot, &new)?;
    owner::give(&new, database).map_err(|error| failed("hand over", database, error))?;
    inspect(&new)?;
    let failed = |source| explain(&new, "bring to life", source);
    let connection = connect(&new, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    let seen = readable_revision(database);
    let revision = begin_life(&connection, &new_incarnation(&new)?, seen).map_err(failed)?;
    Ok(Prepared { database: database.to_owned(), revision })
}

fn begin_life(connection: &Connection, incarnation: &str, seen: Revision) -> rusqlite::Result<Revision> {
    let revision = read::meta(connection)?.revision.max(seen);
    let revision = Revision(revision.0.saturating_add(REVISIONS_LEFT_OUT));
    let transaction = connection.unchecked_transaction()?;
    transaction.execute(
        "UPDATE meta SET incarnation = ?1, revision = ?2, floor = ?2",
        (incarnation, read::sql(revision)),
    )?;
    // Nobody has a cursor of this life, so nobody needs to be told what was deleted before it.
    transaction.execute_batch("DELETE FROM tombstones; DELETE FROM volatile_keys;")?;
    transaction.execute("UPDATE leases SET fence = fence + ?1", [read::sql(Revision(FENCES_LEFT_OUT))])?;
    transaction.commit()?;
    Ok(revision)
}

impl Prepared {
    /// The file of the new store, which may be opened and written to before it takes its place.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        beside(&self.database, ".new")
    }

    /// Where its history begins.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Takes the store's place. What was there stays under the name `aside`, if there was anything. Nobody has either of
    /// the two open.
    ///
    /// # Errors
    /// The disk refuses. Then the old store stands, or whoever opens the store next finishes this.
    pub fn take_place(self, aside: &Path) -> Result<(), Error> {
        let (database, new) = (&self.database, self.path());
        let restored = beside(database, ".restored");
        fold_log(&new)?;
        inspect(&new)?;
        let step =
            |doing: &'static str, done: io::Result<()>| done.map_err(|error| failed(doing, database, error));
        for suffix in ["", "-wal"] {
            let old = beside(database, suffix);
            if old.exists() {
                step("keep the damaged file of", std::fs::hard_link(old, beside(aside, suffix)))?;
            }
        }
        step("sync the new file of", File::open(&new).and_then(|file| file.sync_all()))?;
        step("restore", std::fs::rename(&new, &restored))?;
        step("restore", sync_folder(database))?;
        finish(database)
    }
}

/// Whether a restore was cut off after it had happened.
#[must_use]
pub fn is_cut_off(database: &Path) -> bool {
    beside(database, ".restored").exists()
}

/// Takes up a restore that was cut off after it had happened. Does nothing where there is none. Opening does it too; for
/// whoever looks at the file without opening the store.
///
/// # Errors
/// The disk refuses; whoever comes next takes it up.
pub fn finish(database: &Path) -> Result<(), Error> {
    if !is_cut_off(database) {
        return Ok(());
    }
    let restored = beside(database, ".restored");
    let step = |done: io::Result<()>| done.map_err(|error| failed("finish the restore of", database, error));
    for suffix in ["-wal", "-shm", "-journal"] {
        step(remove(&beside(database, suffix)))?;
    }
    // The log must be gone for good before the new file has its name.
    step(sync_folder(database))?;
    step(std::fs::rename(&restored, database))?;
    step(sync_folder(database))
}

/// Brings the write-ahead log into the file and leaves none.
fn fold_log(path: &Path) -> Result<(), Error> {
    let failed = |source| explain(path, "close", source);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "delete").map_err(failed)?;
    connection.close().map_err(|(_, source)| failed(source))
}

/// What can still be read of a damaged store: its documents from both ends of the table up to what is damaged.
#[must_use]
pub fn readable_documents(database: &Path) -> Vec<Document> {
    let Ok(connection) = connect(database, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return Vec::new() };
    let mut documents = Vec::new();
    for order in ["ASC", "DESC"] {
        let sql = format!("SELECT key, revision, kind, body FROM documents ORDER BY rowid {order}");
        let Ok(mut statement) = connection.prepare(&sql) else { continue };
        let Ok(rows) = statement.query_map([], read::to_document) else { continue };
        documents.extend(rows.map_while(Result::ok));
    }
    documents
}

/// The newest revision that can still be read of a damaged store.
fn readable_revision(database: &Path) -> Revision {
    let read = |connection: Connection| read::meta(&connection).map(|meta| meta.revision);
    let connection = connect(database, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let revision = connection.and_then(read).unwrap_or_default();
    // A damaged number must not use up all that there are.
    if revision.0 < 1 << 40 { revision } else { Revision::default() }
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let copied = (|| {
        let mut new = OpenOptions::new();
        let mut target = new.write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut File::open(from)?, &mut target)?;
        target.sync_all()
    })();
    copied.map_err(|error| failed("copy the snapshot for", to, error))
}

fn clear(path: &Path) -> Result<(), Error> {
    ["", "-wal", "-shm", "-journal"].into_iter().try_for_each(|suffix| {
        remove(&beside(path, suffix)).map_err(|error| failed("clear the place of", path, error))
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder(database: &Path) -> io::Result<()> {
    files::sync_dir(database.parent().unwrap_or(Path::new("."))).map_err(io::Error::from)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> Error {
    if is_want_of_room(&source) {
        return Error::Full { path: path.to_owned(), source: source.into() };
    }
    Error::Unavailable { doing: format!("{doing} the store {}", path.display()), source: source.into() }
}

#[cfg(test)]
mod tests;
