//! Applying one transaction: checks, writes, journal.

use rusqlite::OptionalExtension as _;
use tandem_types::Revision;
use tandem_types::document::Cause;

use super::read::{self, sql};
use super::writer::{Refusal, Unit};
use crate::{Check, Error, Expect, Transaction, Write, kind, transaction};

/// A transaction whose bodies are JSON text already: made by the caller's thread, applied by the writer's.
pub(super) struct Prepared {
    transaction: Transaction,
    /// One for each write; none for a deletion.
    bodies: Vec<Option<String>>,
}

impl Prepared {
    /// Refuses what no state of the store would accept.
    pub(super) fn new(transaction: Transaction) -> Result<Self, Error> {
        transaction.validate()?;
        let encode = |write: &Write| match write {
            Write::Put { key, kind, body } => transaction::encode(key, kind, body).map(Some),
            Write::Delete { .. } => Ok(None),
        };
        let bodies = transaction.writes.iter().map(encode).collect::<Result<_, _>>()?;
        Ok(Self { transaction, bodies })
    }

    /// Does all of it; an error takes all of it back.
    pub(super) fn apply(&self, unit: &mut Unit<'_>) -> Result<Revision, Refusal> {
        if let Some((lease, fence)) = &self.transaction.fence {
            unit.leases.check(lease, *fence)?;
        }
        for check in &self.transaction.checks {
            self.check(unit, check)?;
        }
        let revision = next_revision(unit)?;
        for (write, body) in self.transaction.writes.iter().zip(&self.bodies) {
            if unit.volatile.holds(write.key()) {
                return Err(Error::Volatile { key: write.key().to_owned() }.into());
            }
            match (write, body) {
                (Write::Put { key, kind, .. }, Some(body)) => put(unit, revision, (key, kind, body))?,
                _ => delete(unit, revision, write.key())?,
            }
        }
        self.note(unit, revision, &self.transaction.cause)?;
        Ok(revision)
    }

    fn check(&self, unit: &Unit<'_>, check: &Check) -> Result<(), Refusal> {
        let mut statement = unit.database.prepare_cached("SELECT revision FROM documents WHERE key = ?1")?;
        let found = statement.query_row([&check.key], |row| read::revision(row, 0)).optional()?;
        let holds = match check.expected {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Revision(revision) => found == Some(revision),
        };
        if holds { Ok(()) } else { Err(Error::Conflict { key: check.key.clone() }.into()) }
    }

    fn note(&self, unit: &Unit<'_>, revision: Revision, cause: &Cause) -> Result<(), Refusal> {
        let keys: Vec<_> = self.transaction.writes.iter().map(Write::key).collect();
        let keys = serde_json::Value::from(keys).to_string();
        let sql_text = "INSERT INTO journal (revision, time, actor, action, reason, subject, keys)
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let time = unit.leases.now().to_string();
        let row = (sql(revision), time, &cause.actor, &cause.action, &cause.reason, &cause.subject, keys);
        unit.database.prepare_cached(sql_text)?.execute(row)?;
        Ok(())
    }
}

fn next_revision(unit: &Unit<'_>) -> Result<Revision, Refusal> {
    let mut statement =
        unit.database.prepare_cached("UPDATE meta SET revision = revision + 1 RETURNING revision")?;
    Ok(statement.query_row([], |row| read::revision(row, 0))?)
}

fn put(unit: &Unit<'_>, revision: Revision, (key, kind, body): (&str, &str, &str)) -> Result<(), Refusal> {
    let mut stored = unit.database.prepare_cached("SELECT kind FROM documents WHERE key = ?1")?;
    let stored: Option<String> = stored.query_row([key], |row| row.get(0)).optional()?;
    match stored {
        Some(stored) => kind::check_replacement(key, &stored, kind)?,
        None => forget_former(unit, key)?,
    }
    let sql_text = "INSERT INTO documents (key, revision, kind, body) VALUES (?1, ?2, ?3, ?4)
                    ON CONFLICT (key) DO UPDATE SET revision = ?2, kind = ?3, body = ?4";
    unit.database.prepare_cached(sql_text)?.execute((key, sql(revision), kind, body))?;
    Ok(())
}

/// Forgets that there was a document or a volatile one of this key: watchers are told of the new one instead.
fn forget_former(unit: &Unit<'_>, key: &str) -> Result<(), Refusal> {
    unit.database.prepare_cached("DELETE FROM tombstones WHERE key = ?1")?.execute([key])?;
    if unit.volatile.knows(key) {
        unit.database.execute("DELETE FROM volatile_keys WHERE key = ?1", [key])?;
        unit.volatile.forget(key);
    }
    Ok(())
}

fn delete(unit: &Unit<'_>, revision: Revision, key: &str) -> Result<(), Refusal> {
    let deleted = unit.database.prepare_cached("DELETE FROM documents WHERE key = ?1")?.execute([key])?;
    if deleted > 0 {
        let sql_text = "INSERT OR REPLACE INTO tombstones (key, revision) VALUES (?1, ?2)";
        unit.database.prepare_cached(sql_text)?.execute((key, sql(revision)))?;
    }
    Ok(())
}

/// Forgets deletions up to a revision (the newest at most), and remembers that they are forgotten.
pub(super) fn compact(unit: &Unit<'_>, up_to: Revision) -> Result<(), Refusal> {
    let up_to = up_to.min(read::meta(unit.database)?.revision);
    unit.database.execute("DELETE FROM tombstones WHERE revision <= ?1", [sql(up_to)])?;
    unit.database.execute("UPDATE meta SET floor = max(floor, ?1)", [sql(up_to)])?;
    Ok(())
}

/// Forgets the older half of the deletions once there are more than `most`; checked every now and then.
pub(super) fn compact_surplus(unit: &Unit<'_>, most: i64) -> Result<(), Refusal> {
    let count: i64 = unit.database.query_row("SELECT count(*) FROM tombstones", [], |row| row.get(0))?;
    if count <= most {
        return Ok(());
    }
    let sql_text = "SELECT revision FROM tombstones ORDER BY revision LIMIT 1 OFFSET ?1";
    let middle = unit.database.query_row(sql_text, [count / 2], |row| read::revision(row, 0))?;
    compact(unit, middle)
}
