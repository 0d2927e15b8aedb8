//! Snapshots: whole copies of the store beside it, of which `tandem store restore` puts one back.
//!
//! A snapshot is made by `VACUUM INTO` on a connection of its own: it reads one state while the writer goes on, and
//! what it writes is compact. It lies aside until it is checked and synced, then gets its name in one step; so what bears a
//! snapshot's name is one. The names say all that lists need to know; decision 014 says how many are kept.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::OpenFlags;
use serde::{Deserialize, Serialize};
use tandem_kit::ballast::is_want_of_room;
use tandem_kit::disk;
use tandem_kit::files::{self, LockGuard};
use tandem_kit::stamp::Stamp;
use tandem_kit::version::Version;
use tandem_types::{Revision, Timestamp};

pub use self::kept::MOST_BYTES;
use self::kept::surplus;
use super::failure::explain;
use super::open::{check_pages, connect};
use super::owner;
use super::read;
use super::schema::{self, Head};
use crate::Error;

/// Free room that one is begun with, in sizes of the store: half of it is there for what is written meanwhile.
const ROOM: u64 = 2;
/// Part of the disk's reserve below which none is begun: what is left is the store's own, as it is kept from logs.
const SMALL: u64 = 4;
/// Tries for the lock where somebody waits for this one: five seconds, in which a small store is copied many times.
const TRIES: u32 = 50;
/// End of a snapshot's name.
const SUFFIX: &str = ".sqlite3";
/// End of the name of one that is being made.
const PARTIAL: &str = ".partial";
/// What SQLite may lay beside that.
const BESIDE_PARTIAL: [&str; 4] = ["", "-journal", "-wal", "-shm"];
/// Time in a name.
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// Stands in a name before the generation. Names of generation 1 are of before generations were in them.
const GENERATION: &str = "_g";

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// An hour had passed in which something changed.
    Hourly,
    /// Another version of Tandem was about to open the store.
    Upgrade,
    /// Somebody asked for it.
    Manual,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Upgrade => "upgrade",
            Self::Manual => "manual",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Hourly, Self::Upgrade, Self::Manual].into_iter().find(|reason| reason.name() == name)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A snapshot, as its name tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// When it was taken, to the second.
    pub time: Timestamp,
    /// The newest transaction in it. A restored store goes on far above it, so a greater one is a later state.
    pub revision: Revision,
    /// Why it was taken.
    pub reason: Reason,
    /// The version of Tandem that wrote the store.
    pub version: String,
    /// Generation of the data folder that it was taken in.
    pub generation: u32,
    /// Its size.
    pub bytes: u64,
}

impl Snapshot {
    /// Reads the name of any file; none for whatever is not called as a snapshot is.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        Self::parse(path.to_owned(), path.metadata().ok()?.len())
    }

    /// Whether this program understands what is in it: a newer generation's would be served half, under a stamp that says
    /// otherwise.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.generation <= Version::current().generation
    }

    /// Reads a file's name; none for whatever is no snapshot.
    fn parse(path: PathBuf, bytes: u64) -> Option<Self> {
        let mut fields = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.splitn(4, '_');
        let time = fields.next()?.parse().ok()?;
        let revision = Revision(fields.next()?.parse().ok()?);
        let reason = Reason::parse(fields.next()?)?;
        let version = fields.next()?;
        let (version, generation) = match version.rsplit_once(GENERATION) {
            Some((version, generation)) => (version, generation.parse().ok()?),
            None => (version, 1),
        };
        let version = version.to_owned();
        Some(Self { path, time, revision, reason, version, generation, bytes })
    }

    fn file_name(
        time: Timestamp,
        revision: Revision,
        (reason, version, generation): (Reason, &str, u32),
    ) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let version: String = version.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        let generation = if generation > 1 { format!("{GENERATION}{generation}") } else { String::new() };
        format!("{}_{}_{reason}_{version}{generation}{SUFFIX}", time.strftime(TIME), revision.0)
    }
}

/// The snapshots of one store, in the folder `snapshots` beside its file.
#[derive(Debug, Clone)]
pub struct Snapshots {
    database: PathBuf,
    folder: PathBuf,
}

impl Snapshots {
    /// Those of the store in this file. Nothing is looked at yet.
    #[must_use]
    pub fn of(database: impl Into<PathBuf>) -> Self {
        let database = database.into();
        let folder = database.parent().unwrap_or(Path::new("")).join("snapshots");
        Self { database, folder }
    }

    /// Where they lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All there are, the latest state first.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the folder is there and cannot be read.
    pub fn list(&self) -> Result<Vec<Snapshot>, Error> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
        };
        let entries = entries.map_err(|error| self.failed("list", error))?;
        let read = |entry: std::fs::DirEntry| Snapshot::parse(entry.path(), entry.metadata().ok()?.len());
        let mut all: Vec<_> = entries.into_iter().filter_map(read).collect();
        // By revision: the wall clock may have been wrong when one was taken, the revision only ever grows.
        all.sort_by_key(|one| std::cmp::Reverse((one.revision, one.time)));
        Ok(all)
    }

    /// The latest that this program understands, which is the one to put back where none is named.
    ///
    /// # Errors
    /// As [`Snapshots::list`].
    pub fn latest(&self) -> Result<Option<Snapshot>, Error> {
        Ok(self.list()?.into_iter().find(Snapshot::is_known))
    }

    /// Takes one, then removes those that need not be kept for their number, their age or [`MOST_BYTES`]; a smaller share is kept
    /// to by the server, which knows its budget ([`Snapshots::keep_within`]). Blocks for as long as it takes to copy the store, which
    /// goes on meanwhile; works beside a server that has it open. By hand and before an upgrade it waits for another one.
    ///
    /// # Errors
    /// The store cannot be read or is damaged, or there is no room: [`Error::Full`] before anything is written where less
    /// than twice the store's size is free. Nothing is left aside then. That an old one cannot be removed is none: the new
    /// one is there.
    pub fn take(&self, reason: Reason, version: &str, now: Timestamp) -> Result<Snapshot, Error> {
        files::ensure_dir(&self.folder, 0o700).map_err(|error| self.failed("make room for", error))?;
        self.own(&self.folder)?;
        let _lock = self.lock(tries(reason), pause)?;
        self.remove_partial()?;
        self.check_room()?;
        let partial = self.folder.join(format!("{}{PARTIAL}", now.strftime(TIME)));
        let of = (reason, version, self.generation());
        let taken = self.copy(&partial).and_then(|revision| {
            let path = self.folder.join(Snapshot::file_name(now, revision, of));
            std::fs::rename(&partial, &path).map_err(|error| self.failed("name", error))?;
            files::sync_dir(&self.folder).map_err(|error| self.failed("sync", error))?;
            let bytes = std::fs::metadata(&path).map_err(|error| self.failed("look at", error))?.len();
            Snapshot::parse(path, bytes).ok_or_else(|| self.failed("name", io::ErrorKind::InvalidInput))
        });
        if taken.is_err() {
            // The next one clears it away as well; what is told is why this one was not taken.
            let _ = self.remove_partial();
        } else if let Err(error) = self.prune(MOST_BYTES) {
            tracing::warn!(error = &error as &dyn std::error::Error, "took a snapshot, and old ones stay");
        }
        taken
    }

    /// Whether it is time for the one of every hour: something changed since the latest, and an hour has passed.
    ///
    /// # Errors
    /// As [`Snapshots::list`].
    pub fn is_due(&self, revision: Revision, now: Timestamp) -> Result<bool, Error> {
        let latest = self.list()?.into_iter().next();
        Ok(latest.is_none_or(|latest| {
            let age = now.duration_since(latest.time);
            // One from the future is of a clock that was wrong: nothing is to be waited for then.
            latest.revision != revision && (age.as_mins() >= 60 || age.is_negative())
        }))
    }

    /// Copies the store into a file aside, checked and on the disk. Returns its revision.
    fn copy(&self, partial: &Path) -> Result<Revision, Error> {
        let failed = |source| explain(&self.database, "copy", source);
        let mut new = OpenOptions::new();
        new.write(true).create_new(true).mode(0o600);
        new.open(partial).map_err(|error| self.failed("begin", error))?;
        self.own(partial)?;
        let source = connect(&self.database, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        // The copy reads tables alone, and makes indices anew.
        check_pages(&self.database, &source)?;
        let target = partial.to_string_lossy();
        source.execute("VACUUM INTO ?1", [&target]).map_err(|error| self.explain_copy(partial, error))?;
        drop(source);
        let revision = inspect(partial)?;
        let synced = File::open(partial).and_then(|file| file.sync_all());
        synced.map_err(|error| self.failed("sync", error))?;
        Ok(revision)
    }

    /// One at a time: each clears away what others were cut off from.
    fn lock(&self, tries: u32, mut pause: impl FnMut()) -> Result<LockGuard, Error> {
        for left in (0..tries).rev() {
            let lock = files::lock_exclusive(&self.folder.join("lock"));
            if let Some(lock) = lock.map_err(|error| self.failed("lock", error))? {
                self.own(&self.folder.join("lock"))?;
                return Ok(lock);
            }
            if left > 0 {
                pause();
            }
        }
        Err(self.failed("take", io::Error::other("another one is being taken")))
    }

    /// The generation of the folder as its stamp tells. Where that cannot be read, whoever started here has taken it for its
    /// own.
    fn generation(&self) -> u32 {
        let root = self.database.parent().unwrap_or(Path::new(""));
        let stamp = Stamp::read(root).ok().flatten();
        stamp.map_or_else(|| Version::current().generation, |stamp| stamp.generation)
    }

    /// Refuses to begin what would fill the disk: the room is the store's own and the ballast's before it is a copy's. A
    /// file system that does not answer refuses nothing.
    fn check_room(&self) -> Result<(), Error> {
        let Ok(space) = disk::space(&self.folder) else { return Ok(()) };
        let needed = needed(&self.database);
        if space.free_bytes >= needed && !space.is_below(SMALL) {
            return Ok(());
        }
        let free = space.free_bytes / 1024;
        let source = format!("{free} KiB are free; a snapshot is begun with {} KiB", needed / 1024);
        Err(Error::Full { path: self.folder.clone(), source: source.into() })
    }

    /// A full disk is the snapshot's, damage is the store's.
    fn explain_copy(&self, partial: &Path, error: rusqlite::Error) -> Error {
        match explain(partial, "write", error) {
            Error::Corrupt { source, .. } => Error::Corrupt { path: self.database.clone(), source },
            other => other,
        }
    }

    /// Typed by root, it serves whoever the store belongs to.
    fn own(&self, path: &Path) -> Result<(), Error> {
        owner::give(path, &self.database).map_err(|error| self.failed("hand over", error))
    }

    fn remove_partial(&self) -> Result<(), Error> {
        let entries = std::fs::read_dir(&self.folder).map_err(|error| self.failed("list", error))?;
        for entry in entries.flatten() {
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_file && entry.file_name().to_str().is_some_and(is_partial) {
                std::fs::remove_file(entry.path()).map_err(|error| self.failed("clear away", error))?;
            }
        }
        Ok(())
    }

    /// Removes those that need not be kept, down to this many bytes where the newest ones alone are not larger. Nothing
    /// happens while one is being taken: that ends with the same.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: the folder cannot be read, or one cannot be removed; the others are.
    pub fn keep_within(&self, most_bytes: u64) -> Result<(), Error> {
        if !self.folder.is_dir() {
            return Ok(());
        }
        let lock = files::lock_exclusive(&self.folder.join("lock"));
        match lock.map_err(|error| self.failed("lock", error))? {
            Some(_lock) => self.prune(most_bytes),
            None => Ok(()),
        }
    }

    fn prune(&self, most_bytes: u64) -> Result<(), Error> {
        let mut pruned = Ok(());
        // One that cannot be removed keeps none of the others.
        for one in surplus(&self.list()?, most_bytes) {
            let removed = std::fs::remove_file(&one.path).map_err(|error| self.failed("remove old", error));
            pruned = pruned.and(removed);
        }
        pruned
    }

    fn failed(&self, doing: &'static str, source: impl Into<io::Error>) -> Error {
        let source = source.into();
        if is_want_of_room(&source) {
            return Error::Full { path: self.folder.clone(), source: source.into() };
        }
        let doing = format!("{doing} snapshots in {}", self.folder.display());
        Error::Unavailable { doing, source: source.into() }
    }
}

/// Looks whether a copy is a whole store of a format known here; returns its revision.
pub(super) fn inspect(path: &Path) -> Result<Revision, Error> {
    let failed = |source| explain(path, "check", source);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    match schema::read_head(&connection).map_err(failed)? {
        Head::Store(found) if found > schema::FORMAT => {
            let path = path.to_owned();
            return Err(Error::NewerStore { path, found, known: schema::FORMAT });
        }
        Head::Store(_) => {}
        Head::Foreign | Head::Empty => {
            let source = "it is no store of Tandem".into();
            return Err(Error::Corrupt { path: path.to_owned(), source });
        }
    }
    let found: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found != "ok" {
        return Err(Error::Corrupt { path: path.to_owned(), source: found.into() });
    }
    Ok(read::meta(&connection).map_err(failed)?.revision)
}

/// How often the lock is tried for. The hour's is looked for again in a minute.
fn tries(reason: Reason) -> u32 {
    match reason {
        Reason::Upgrade | Reason::Manual => TRIES,
        Reason::Hourly => 1,
    }
}

/// Between two tries.
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}

/// Free bytes that a snapshot of this store is begun with.
fn needed(database: &Path) -> u64 {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let length = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    ROOM.saturating_mul(length(database).saturating_add(length(Path::new(&log))))
}

/// Whether a file is called as [`Snapshots::take`] calls what it makes aside, or as SQLite calls what lies beside that.
fn is_partial(name: &str) -> bool {
    let Some((time, rest)) = name.split_once(PARTIAL) else { return false };
    let is_time = |read: Timestamp| read.strftime(TIME).to_string() == time;
    BESIDE_PARTIAL.contains(&rest) && time.parse().is_ok_and(is_time)
}

mod kept;
#[cfg(test)]
mod tests;
