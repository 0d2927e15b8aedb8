//! Which snapshots are kept. Decision 014 says why these.

use std::collections::BTreeSet;

use super::{Reason, Snapshot};

/// The newest ones of every hour that are kept.
const HOURLY: usize = 24;
/// Days of which the newest one of every hour is kept.
const DAILY: usize = 7;
/// Those from before upgrades that are kept.
const UPGRADES: usize = 5;
/// Those taken by hand that are kept.
const MANUAL: usize = 10;
/// Bytes over all snapshots, unless the newest ones alone are larger.
pub const MOST_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// The newest ones, which are kept however large they are.
pub(super) const ALWAYS: usize = 3;

/// Those that need not be kept, of a list with the latest first; what is kept takes `most_bytes`.
pub(super) fn surplus(all: &[Snapshot], most_bytes: u64) -> Vec<&Snapshot> {
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
    let (mut rest, surplus): (Vec<_>, Vec<_>) = all.iter().partition(|one| kept.contains(&one.path));
    // Hours come again. What somebody took on purpose does not; the way back over an upgrade goes last.
    let tail = rest.len().min(ALWAYS);
    rest[tail..].sort_by_key(|one| match one.reason {
        Reason::Upgrade => 0,
        Reason::Manual => 1,
        Reason::Hourly => 2,
    });
    let (mut bytes, mut number) = (0_u64, 0);
    let too_much = |one: &&Snapshot| {
        bytes = bytes.saturating_add(one.bytes);
        number += 1;
        number > ALWAYS && bytes > most_bytes
    };
    surplus.into_iter().chain(rest.into_iter().filter(too_much)).collect()
}
