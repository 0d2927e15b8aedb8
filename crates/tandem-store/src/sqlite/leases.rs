//! Who holds which lease, and until when.
//!
//! Fences are in the database; the ends are in memory and counted by monotonic time, so that a wall clock that jumps
//! neither lengthens a lease nor brings one back. The deadline that is told to people is wall time. The journal bears a time
//! that never goes back: see [`Steady`].

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};
use tandem_kit::clock::{Clock, Moment};
use tandem_kit::steady::Steady;
use tandem_types::document::Lease;
use tandem_types::{Fence, Span, Timestamp};

use super::read;
use crate::Error;

/// The leases of this process, kept by the writer.
pub(super) struct Leases {
    clock: Clock,
    /// For the journal.
    steady: Steady,
    held: BTreeMap<String, Holding>,
    /// Whether the transaction under way grants one.
    granting: bool,
}

#[derive(Debug, Clone)]
struct Holding {
    holder: String,
    fence: Fence,
    length: Span,
    until: Moment,
}

impl Leases {
    /// None is held: earlier holders died with the lock of the data folder.
    pub(super) fn new(clock: Clock) -> Self {
        Self { steady: Steady::new(clock.clone()), clock, held: BTreeMap::new(), granting: false }
    }

    /// Goes on from the time of the last entry of the journal, be it ahead of the wall clock.
    pub(super) fn not_before(self, last: Option<Timestamp>) -> Self {
        last.map(|last| self.steady.not_before(last));
        self
    }

    /// Time for an entry of the journal; never before that of an earlier one.
    pub(super) fn now(&self) -> Timestamp {
        self.steady.now()
    }

    /// Grants a lease unless another holder has it.
    pub(super) fn acquire(
        &mut self,
        database: &Connection,
        (name, holder): (&str, &str),
        length: Span,
    ) -> rusqlite::Result<Option<Lease>> {
        if self.current(name).is_some_and(|held| held.holder != holder) {
            return Ok(None);
        }
        let fence = next_fence(database, name, holder)?;
        let until = self.clock.monotonic() + length.as_duration();
        let holding = Holding { holder: holder.to_owned(), fence, length, until };
        let lease = self.told(name, &holding);
        self.held.insert(name.to_owned(), holding);
        self.granting = true;
        Ok(Some(lease))
    }

    /// Moves the end of a lease that is still held.
    pub(super) fn renew(&mut self, lease: &Lease) -> Result<Lease, Error> {
        self.check(&lease.name, lease.fence)?;
        let now = self.clock.monotonic();
        let held = self.held.get_mut(&lease.name).ok_or_else(|| fenced(&lease.name))?;
        held.until = now + held.length.as_duration();
        let held = held.clone();
        Ok(self.told(&lease.name, &held))
    }

    /// Ends a lease if this is still the one that is held.
    pub(super) fn release(&mut self, lease: &Lease) {
        if self.held.get(&lease.name).is_some_and(|held| held.fence == lease.fence) {
            self.held.remove(&lease.name);
        }
    }

    /// Refuses a fence that is not the one of the present holder.
    pub(super) fn check(&self, name: &str, fence: Fence) -> Result<(), Error> {
        let holds = self.current(name).is_some_and(|held| held.fence == fence);
        if holds { Ok(()) } else { Err(fenced(name)) }
    }

    /// The transaction under way has ended. If it granted a lease and failed, the fence is not on the disk: then all
    /// leases end, and their holders take them anew.
    pub(super) fn settle(&mut self, committed: bool) {
        if std::mem::take(&mut self.granting) && !committed {
            self.held.clear();
        }
    }

    fn current(&self, name: &str) -> Option<&Holding> {
        self.held.get(name).filter(|held| self.clock.monotonic() < held.until)
    }

    fn told(&self, name: &str, held: &Holding) -> Lease {
        let deadline = self.clock.now().checked_add(held.length.as_duration()).unwrap_or(Timestamp::MAX);
        Lease { name: name.to_owned(), holder: held.holder.clone(), fence: held.fence, deadline }
    }
}

fn fenced(name: &str) -> Error {
    Error::Fenced { lease: name.to_owned() }
}

/// Fences grow for ever, also over restarts.
fn next_fence(database: &Connection, name: &str, holder: &str) -> rusqlite::Result<Fence> {
    let mut last = database.prepare_cached("SELECT fence FROM leases WHERE name = ?1")?;
    let last = last.query_row([name], |row| read::revision(row, 0)).optional()?.unwrap_or_default();
    let fence = Fence(last.0 + 1);
    let sql = "INSERT OR REPLACE INTO leases (name, holder, fence) VALUES (?1, ?2, ?3)";
    database.prepare_cached(sql)?.execute((name, holder, read::sql(tandem_types::Revision(fence.0))))?;
    Ok(fence)
}
