//! Snapshots: whole copies of the store beside it, of which `tandem store restore` puts one back.
//!
//! A snapshot is made by `VACUUM INTO` on a connection of its own: it reads one state while the writer goes on, and
//! what it writes is compact. It lies aside until it is checked and synced, then gets its name in one step; so what bears a
//! snapshot's name is one. The names say all that lists need to know; decision 014 says how many are kept.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;
use serde::{Deserialize, Serialize};
use tandem_kit::files::{self, LockGuard};
use tandem_types::{Revision, Timestamp};

use super::failure::explain;
use super::open::connect;
use super::read;
use super::schema::{self, Head};
use crate::Error;

/// The newest ones of every hour that are kept.
const HOURLY: usize = 24;
/// Days of which the newest one of every hour is kept.
const DAILY: usize = 7;
/// Those from before upgrades that are kept.
const UPGRADES: usize = 5;
/// Those taken by hand that are kept.
const MANUAL: usize = 10;
/// Bytes over all snapshots, unless the newest ones alone are larger.
const MOST_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// The newest ones, which are kept however large they are.
const ALWAYS: usize = 3;
/// End of a snapshot's name.
const SUFFIX: &str = ".sqlite3";
/// End of the name of one that is being made.
const PARTIAL: &str = ".partial";

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
    /// Its size.
    pub bytes: u64,
}

impl Snapshot {
    /// Reads a file's name; none for whatever is no snapshot.
    fn parse(path: PathBuf, bytes: u64) -> Option<Self> {
        let mut fields = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.splitn(4, '_');
        let time = fields.next()?.parse().ok()?;
        let revision = Revision(fields.next()?.parse().ok()?);
        let reason = Reason::parse(fields.next()?)?;
        let version = fields.next()?.to_owned();
        Some(Self { path, time, revision, reason, version, bytes })
    }

    fn file_name(time: Timestamp, revision: Revision, (reason, version): (Reason, &str)) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let version: String = version.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        format!("{}_{}_{reason}_{version}{SUFFIX}", time.strftime("%Y%m%dT%H%M%SZ"), revision.0)
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

    /// Takes one, then removes those that need not be kept. Blocks for as long as it takes to copy the store, which
    /// goes on meanwhile; works beside a server that has the store open.
    ///
    /// # Errors
    /// The store cannot be read or is damaged, or there is no room. Nothing is left aside then.
    pub fn take(&self, reason: Reason, version: &str, now: Timestamp) -> Result<Snapshot, Error> {
        files::ensure_dir(&self.folder, 0o700).map_err(|error| self.failed("make room for", error))?;
        let _lock = self.lock()?;
        self.remove_partial()?;
        let partial = self.folder.join(format!("{}{PARTIAL}", now.strftime("%Y%m%dT%H%M%SZ")));
        let taken = self.copy(&partial).and_then(|revision| {
            let path = self.folder.join(Snapshot::file_name(now, revision, (reason, version)));
            std::fs::rename(&partial, &path).map_err(|error| self.failed("name", error))?;
            files::sync_dir(&self.folder).map_err(|error| self.failed("sync", error))?;
            let bytes = std::fs::metadata(&path).map_err(|error| self.failed("look at", error))?.len();
            Snapshot::parse(path, bytes).ok_or_else(|| self.failed("name", io::ErrorKind::InvalidInput))
        });
        if taken.is_err() {
            self.remove_partial()?;
        }
        let taken = taken?;
        self.prune()?;
        Ok(taken)
    }

    /// Takes one of every hour where something changed since the latest. None: nothing did, or an hour has not passed.
    ///
    /// # Errors
    /// As [`Snapshots::take`].
    pub fn take_hourly(
        &self,
        revision: Revision,
        (version, now): (&str, Timestamp),
    ) -> Result<Option<Snapshot>, Error> {
        let latest = self.list()?.into_iter().next();
        let is_due = latest.is_none_or(|latest| {
            let age = now.duration_since(latest.time);
            // One from the future is of a clock that was wrong: nothing is to be waited for then.
            latest.revision != revision && (age.as_mins() >= 60 || age.is_negative())
        });
        is_due.then(|| self.take(Reason::Hourly, version, now)).transpose()
    }

    /// Copies the store into a file aside, checked and on the disk. Returns its revision.
    fn copy(&self, partial: &Path) -> Result<Revision, Error> {
        let failed = |source| explain(&self.database, "copy", source);
        let mut new = OpenOptions::new();
        new.write(true).create_new(true).mode(0o600);
        new.open(partial).map_err(|error| self.failed("begin", error))?;
        let source = connect(&self.database, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        let target = partial.to_string_lossy();
        source.execute("VACUUM INTO ?1", [&target]).map_err(|error| self.explain_copy(partial, error))?;
        drop(source);
        let revision = inspect(partial)?;
        let synced = File::open(partial).and_then(|file| file.sync_all());
        synced.map_err(|error| self.failed("sync", error))?;
        Ok(revision)
    }

    /// One at a time: each clears away what others were cut off from.
    fn lock(&self) -> Result<LockGuard, Error> {
        let lock = files::lock_exclusive(&self.folder.join("lock"));
        let busy = || self.failed("take", io::Error::other("another one is being taken"));
        lock.map_err(|error| self.failed("lock", error))?.ok_or_else(busy)
    }

    /// A full disk is the snapshot's, damage is the store's.
    fn explain_copy(&self, partial: &Path, error: rusqlite::Error) -> Error {
        match explain(partial, "write", error) {
            Error::Corrupt { source, .. } => Error::Corrupt { path: self.database.clone(), source },
            other => other,
        }
    }

    fn remove_partial(&self) -> Result<(), Error> {
        let entries = std::fs::read_dir(&self.folder).map_err(|error| self.failed("list", error))?;
        let names = entries.flatten().map(|entry| entry.path());
        let is_partial = |path: &PathBuf| path.to_string_lossy().contains(PARTIAL);
        for path in names.filter(is_partial) {
            std::fs::remove_file(&path).map_err(|error| self.failed("clear away", error))?;
        }
        Ok(())
    }

    fn prune(&self) -> Result<(), Error> {
        for one in surplus(&self.list()?) {
            std::fs::remove_file(&one.path).map_err(|error| self.failed("remove old", error))?;
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str, source: impl Into<io::Error>) -> Error {
        let source = source.into();
        if source.kind() == io::ErrorKind::StorageFull {
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

/// Those that need not be kept, of a list with the latest first.
fn surplus(all: &[Snapshot]) -> Vec<&Snapshot> {
    let of = |reason: Reason| all.iter().filter(move |one| one.reason == reason);
    let mut days = BTreeSet::new();
    let first_of_its_day = |one: &&Snapshot| days.insert(one.time.strftime("%Y%m%d").to_string());
    let daily = of(Reason::Hourly).filter(first_of_its_day).take(DAILY).collect::<Vec<_>>();
    let hourly = of(Reason::Hourly).take(HOURLY);
    let upgrades = of(Reason::Upgrade).take(UPGRADES);
    let kept: BTreeSet<_> = hourly
        .chain(daily)
        .chain(upgrades)
        .chain(of(Reason::Manual).take(MANUAL))
        .map(|one| one.path.clone())
        .collect();
    let (mut bytes, mut number) = (0_u64, 0);
    let too_much = |one: &&Snapshot| {
        if !kept.contains(&one.path) {
            return true;
        }
        bytes = bytes.saturating_add(one.bytes);
        number += 1;
        number > ALWAYS && bytes > MOST_BYTES
    };
    all.iter().filter(too_much).collect()
}

#[cfg(test)]
mod tests;
