//! How long the journal is kept. It says who changed what for more than a year, and must not grow for ever.
//!
//! Only the record goes: documents, revisions and watches do not depend on it (decision 014).

use rusqlite::OptionalExtension as _;
use tandem_types::{Span, Timestamp};

use super::read::sql_limit;
use super::writer::{Refusal, Unit};

/// Bounds of the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// The newest ones stay however old they are.
    pub(super) at_least: usize,
    /// No more than these stay however young they are.
    pub(super) at_most: usize,
    /// Younger ones stay as long as there is room for them.
    pub(super) young: Span,
    /// Most that go at a time: a rollback waits behind it.
    pub(super) step: usize,
}

/// More than a year, so that one can look at the same week of last year. A deploy leaves about 20 entries of 250 bytes: at a
/// hundred deploys a week that is 110,000 entries, 30 MB; the greatest number takes 60.
pub(super) const KEPT: Kept =
    Kept { at_least: 20_000, at_most: 250_000, young: Span::minutes(400 * 24 * 60), step: 5_000 };

/// Forgets some of the oldest entries, if there are any to forget.
pub(super) fn forget_entries(unit: &Unit<'_>, kept: Kept) -> Result<(), Refusal> {
    let newest = |offset: usize| {
        let sql = "SELECT revision FROM journal ORDER BY revision DESC LIMIT 1 OFFSET ?1";
        let mut statement = unit.database.prepare_cached(sql)?;
        statement.query_row([sql_limit(Some(offset))], |row| row.get::<_, i64>(0)).optional()
    };
    let Some(spare) = newest(kept.at_least)? else { return Ok(()) };
    let beyond = newest(kept.at_most)?.unwrap_or(0);
    let oldest_young = unit.leases.now().checked_sub(kept.young.as_duration()).unwrap_or(Timestamp::MIN);
    // Times as they are written sort as text, but for the fraction of a second.
    let sql = "DELETE FROM journal WHERE revision IN (
                 SELECT revision FROM (SELECT revision, time FROM journal ORDER BY revision LIMIT ?4)
                 WHERE revision <= ?1 OR (revision <= ?2 AND time < ?3))";
    let row = (beyond, spare, oldest_young.to_string(), sql_limit(Some(kept.step)));
    unit.database.prepare_cached(sql)?.execute(row)?;
    Ok(())
}
