//! The contract on SQLite, and what only SQLite promises.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tandem_kit::clock::{Clock, ManualClock};

use super::engine::Engine as SqliteEngine;
use super::open::{open, open_engine};
use crate::SharedStore;
use crate::contract::{self, Engine};

mod clock;
mod damage;
mod disk;
mod disk_model;
mod faults;
mod format;
mod power_cut;
mod upkeep;
mod vfs;

/// A database in a folder of its own, by a clock of its own.
pub(crate) struct Sqlite {
    pub(super) folder: tempfile::TempDir,
    clock: Clock,
    hands: ManualClock,
}

impl Sqlite {
    pub(crate) fn new() -> Self {
        let (clock, hands) = Clock::manual("2026-11-21T12:00:00Z".parse().unwrap());
        Self { folder: tempfile::tempdir().unwrap(), clock, hands }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("tandem.sqlite3")
    }

    /// Makes the first page of the file unreadable.
    pub(crate) fn damage(&self) {
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::OpenOptions::new().write(true).open(self.path()).unwrap();
        file.write_all_at(&[0xa5; 4096], 0).unwrap();
    }

    async fn open_engine(&self) -> SqliteEngine {
        open_engine(self.path(), self.clock.clone()).await.unwrap()
    }

    /// The file as any SQLite program sees it, while no store has it open.
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

#[async_trait]
impl Engine for Sqlite {
    async fn open(&self) -> SharedStore {
        open(self.path(), self.clock.clone()).await.unwrap()
    }

    fn advance(&self, length: Duration) {
        self.hands.advance(length);
    }
}

mod suite {
    use super::Sqlite;

    super::contract::suite!(Sqlite::new());
}
