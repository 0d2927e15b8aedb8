//! How long the journal is kept. It says who changed what for more than a year, and must not grow for ever.
//!
//! Only the record goes: documents, revisions and watches do not depend on it (decision 014).

use rusqlite::{Connection, OptionalExtension as _};
use tandem_types::document::PASSING_ACTIONS;
use tandem_types::{Revision, Span, Timestamp};

use super::read::{self, sql, sql_limit};
use super::writer::{Refusal, Unit};

/// Bounds of the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// The newest ones among which also those of passing actions stay.
    pub(super) passing: usize,
    /// The newest ones stay however old they are, but for those of passing actions.
    pub(super) at_least: usize,
    /// No more than these stay however young they are.
    pub(super) at_most: usize,
    /// Younger ones stay as long as there is room for them.
    pub(super) young: Span,
    /// Most that go at a time: a rollback waits behind it.
    pub(super) step: usize,
}

/// More than a year, so that one can look at the same week of last year. A deploy leaves eleven entries of 200 bytes, nine of
/// them of passing actions, which stay among the newest 2,000 of all apps alone; at a hundred deploys a week the others are
/// 11,000 entries, 3 MB, and the greatest number takes 60.
pub(super) const KEPT: Kept = Kept {
    passing: 2_000,
    at_least: 20_000,
    at_most: 250_000,
    young: Span::minutes(400 * 24 * 60),
    step: 5_000,
};

/// Forgets some of the oldest entries, if there are any to forget.
pub(super) fn forget_entries(unit: &Unit<'_>, kept: Kept) -> Result<(), Refusal> {
    forget_passing(unit, kept)?;
    let newest = |offset: usize| newest(unit.database, offset).map(|found| found.map(sql));
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

/// The revision from which on no entry of a passing action is gone; none: there are so few that none ever was.
///
/// The oldest of those that nothing cuts, and not the one behind it: which that is, is another one after a cut.
pub(super) fn whole_since(connection: &Connection, kept: Kept) -> rusqlite::Result<Option<Revision>> {
    newest(connection, kept.passing - 1)
}

fn forget_passing(unit: &Unit<'_>, kept: Kept) -> Result<(), Refusal> {
    let Some(up_to) = newest(unit.database, kept.passing)? else { return Ok(()) };
    let [upkeep, releases, rollouts, steps, sessions] = PASSING_ACTIONS;
    // Before ends of rollouts had an action of their own they were written as steps: those stay as well.
    let text = "DELETE FROM journal WHERE revision IN (
                  SELECT revision FROM journal WHERE revision <= ?1 AND action IN (?3, ?4, ?5, ?6, ?7)
                    AND NOT (action = 'rollout.step' AND (
                      reason LIKE '%→ completed' OR reason LIKE '%→ reverted'
                      OR reason LIKE '%→ failed' OR reason LIKE '%→ aborted'))
                  ORDER BY revision LIMIT ?2)";
    let row = (sql(up_to), sql_limit(Some(kept.step)), upkeep, releases, rollouts, steps, sessions);
    unit.database.prepare_cached(text)?.execute(row)?;
    Ok(())
}

/// Revision of the entry that so many newer ones follow.
fn newest(connection: &Connection, offset: usize) -> rusqlite::Result<Option<Revision>> {
    let text = "SELECT revision FROM journal ORDER BY revision DESC LIMIT 1 OFFSET ?1";
    let mut statement = connection.prepare_cached(text)?;
    statement.query_row([sql_limit(Some(offset))], |row| read::revision(row, 0)).optional()
}
