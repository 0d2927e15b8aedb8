//! Opening: the file is ours, whole and of a format we know, and nobody holds a lease.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tandem_kit::clock::Clock;
use tandem_kit::{ballast, files, tasks};
use tandem_types::Timestamp;

use super::engine::Engine;
use super::failure::explain;
use super::read::{self, Meta};
use super::restore;
use super::schema::{self, Head};
use super::snapshots::Snapshots;
use crate::{Error, SharedStore};

/// Files up to this size are checked whole at opening (a fraction of a second); larger ones with every snapshot, the first of
/// which is looked for a minute after the start.
const CHECKED_WHOLE_BYTES: u64 = 64 * 1024 * 1024;
/// Page cache of a connection, in KiB: the documents of an installation fit, and idle memory stays small.
const CACHE_KIB: i64 = 1024;
/// The log is cut back to this size after a burst of writes.
const LOG_BYTES: i64 = 8 * 1024 * 1024;
/// Pages (of 4 KiB) in the write-ahead log at which it is copied back and begun anew. SQLite's own 1,000 let it grow by
/// half a megabyte with each deploy until it has 4 MB; at 100 it stays at what one deploy writes.
const LOG_PAGES: u32 = 100;
/// Somebody looks at the file with the `sqlite3` tool: wait for him this long.
const BUSY: Duration = Duration::from_secs(5);
/// With more keys of volatile documents from earlier processes than this, watchers list anew instead.
const VOLATILE_KEYS: usize = 1_000;

/// Pieces of ballast that an opening is given: the log, its index and what is written at once take less.
const PIECES_GIVEN: usize = 3;

/// What the engine starts with.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) meta: Meta,
    pub(super) volatile_keys: Vec<String>,
    /// Time of the last entry of the journal.
    pub(super) last_entry: Option<Timestamp>,
}

/// Opens the store in a file, creating it (0600) where it is not there. The caller holds the lock of the data folder
/// for as long as the store lives: it is what makes all leases of earlier processes void.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::NewerStore`], [`Error::Full`] or [`Error::Unavailable`], each with the path.
pub async fn open(path: impl Into<PathBuf>, clock: Clock) -> Result<SharedStore, Error> {
    Ok(Arc::new(open_engine(path.into(), clock).await?))
}

pub(super) async fn open_engine(path: PathBuf, clock: Clock) -> Result<Engine, Error> {
    let opened = tasks::blocking("store-open", move || open_with_room(&path)).await?;
    Engine::start(opened, clock)
}

/// A server has to start on a full disk too: it is who can tell of it, and who stops what fills it.
fn open_with_room(path: &Path) -> Result<Opened, Error> {
    for _ in 0..PIECES_GIVEN {
        match open_file(path.to_owned()) {
            Err(Error::Full { .. }) if ballast::give(path) => {}
            result => return result,
        }
    }
    open_file(path.to_owned())
}

fn open_file(path: PathBuf) -> Result<Opened, Error> {
    restore::finish(&path)?;
    if !path.exists() {
        refuse_to_begin_anew(&path)?;
    }
    create_file(&path)?;
    let failed = |source| explain(&path, "open", source);
    let looked = look(&path)?;
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    let head = match looked {
        Some(head) => head,
        None => whole_head(&path, &connection)?,
    };
    match head {
        Head::Store(schema::FORMAT) => {}
        Head::Store(found) => {
            return Err(Error::NewerStore { path, found, known: schema::FORMAT });
        }
        Head::Foreign => {
            return Err(Error::Corrupt { path, source: "it is a database of another program".into() });
        }
        Head::Empty => {
            refuse_to_begin_anew(&path)?;
            configure_new(&connection).map_err(failed)?;
            schema::create(&mut connection, &new_incarnation(&path)?).map_err(failed)?;
        }
    }
    configure(&connection).map_err(failed)?;
    let volatile_keys = take_volatile_keys(&connection).map_err(failed)?;
    let meta = read::meta(&connection).map_err(failed)?;
    let last_entry = read::last_entry(&connection).map_err(failed)?;
    Ok(Opened { path, connection, meta, volatile_keys, last_entry })
}

/// Looks at the file without a way to write to it: the last connection that could would play the log of a damaged file
/// into it and remove the log, and with them what might still be read.
///
/// None: a change was cut off in the old way of SQLite, as while a new store is made, and has to be taken back first.
fn look(path: &Path) -> Result<Option<Head>, Error> {
    let looked = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|connection| {
        let head = schema::read_head(&connection)?;
        Ok((connection, head))
    });
    match looked {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => Ok(None),
        Err(error) => Err(explain(path, "open", error)),
        Ok((connection, _)) => whole_head(path, &connection).map(Some),
    }
}

fn whole_head(path: &Path, connection: &Connection) -> Result<Head, Error> {
    let head = schema::read_head(connection).map_err(|source| explain(path, "open", source))?;
    if head == Head::Store(schema::FORMAT) {
        check_whole(path, connection)?;
    }
    Ok(head)
}

/// A store that is gone, or empty, though there are snapshots of it was lost. A new one would say that nothing should run,
/// and everything would be stopped.
fn refuse_to_begin_anew(path: &Path) -> Result<(), Error> {
    if Snapshots::of(path).list()?.is_empty() {
        return Ok(());
    }
    let source = "the file is gone or empty, and there are snapshots of it".into();
    Err(Error::Corrupt { path: path.to_owned(), source })
}

/// Made by us, so that its mode is right from the first byte (SQLite gives its log the same) and its name is on the disk.
fn create_file(path: &Path) -> Result<(), Error> {
    let failed = |source: std::io::Error| match source {
        source if ballast::is_want_of_room(&source) => {
            Error::Full { path: path.to_owned(), source: source.into() }
        }
        source => {
            let doing = format!("create the store {}", path.display());
            Error::Unavailable { doing, source: source.into() }
        }
    };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => match path.parent() {
            Some(folder) => files::sync_dir(folder).map_err(|error| failed(error.into())),
            None => Ok(()),
        },
    }
}

/// A connection to an existing file, for one thread at a time.
pub(super) fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

fn configure_new(connection: &Connection) -> rusqlite::Result<()> {
    // The log mode is kept in the file; 4 KiB pages are the block size of most disks.
    connection.pragma_update(None, "page_size", 4096)?;
    connection.pragma_update(None, "journal_mode", "wal")
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)
}

fn check_whole(path: &Path, connection: &Connection) -> Result<(), Error> {
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size > CHECKED_WHOLE_BYTES { Ok(()) } else { check_pages(path, connection) }
}

/// Reads every page of tables and indices, some hundred megabytes a second.
///
/// # Errors
/// [`Error::Corrupt`] at the first that makes no sense.
pub(super) fn check_pages(path: &Path, connection: &Connection) -> Result<(), Error> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| explain(path, "check", source))?;
    if found == "ok" { Ok(()) } else { Err(Error::Corrupt { path: path.to_owned(), source: found.into() }) }
}

/// Keys of volatile documents that watchers may know. Too many (their names were not stable) are dropped, and
/// watchers that could know them list anew.
fn take_volatile_keys(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT key FROM volatile_keys")?;
    let keys: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if keys.len() <= VOLATILE_KEYS {
        return Ok(keys);
    }
    // A revision in which nothing happened, so that a cursor at the one before is below the floor.
    connection.execute_batch(
        "BEGIN IMMEDIATE; DELETE FROM volatile_keys;
         UPDATE meta SET revision = revision + 1; UPDATE meta SET floor = revision; COMMIT;",
    )?;
    Ok(Vec::new())
}

pub(super) fn new_incarnation(path: &Path) -> Result<String, Error> {
    let random = getrandom::u64().map_err(|error| Error::Unavailable {
        doing: format!("draw a random name for the store {}", path.display()),
        source: error.to_string().into(),
    })?;
    Ok(format!("{random:016x}"))
}
