//! How much room Tandem takes for what nobody needs, and what it gives back first.
//!
//! What is kept only to be quicker the next time (downloads, copies, parts of earlier builds) or to look back (logs,
//! snapshots of the store) has one budget for each data folder; what a release needs that can be rolled back to, and
//! what runs, is in none.
//!
//! The budget is divided by fixed shares, so that a runner and a server keep it without asking each other: logs and
//! snapshots may take theirs, and what builds keep has all that these two leave, a quarter at the least.

use tandem_types::disk::Space;

/// Without a setting, the budget is this part of the file system.
const BUDGET_PART: u64 = 10;
/// Logs have this part of the budget at most.
const LOGS_PART: u64 = 2;
/// Snapshots of the store have this part of the budget at most; the newest ones stay however large they are.
const SNAPSHOTS_PART: u64 = 4;
/// Builds may keep this part of the budget in any case: the newest snapshots and the chunks that are being written, which
/// are in no budget, may take all of it.
const BUILDS_PART: u64 = 4;
/// Divides what logs may take where room is short.
const SHORT_LOGS: u64 = 4;

/// Why something is kept, those that are given back first first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// A copy of what is elsewhere too: laying it out again costs a second.
    Copies,
    /// Downloads: they come again from the index.
    Downloads,
    /// Parts of earlier builds: they are made again, which takes minutes.
    Parts,
    /// A release, an instance or a rollout needs it.
    Needed,
}

/// Something that takes room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<K> {
    /// By which whoever removes it knows it.
    pub key: K,
    /// Why it is kept.
    pub used: Use,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When it was used last.
    pub last_used: tandem_types::Timestamp,
}

/// Bytes that all may take together of what nobody needs: what a person set, or a part of the file system.
#[must_use]
pub fn budget(space: &Space, set: Option<u64>) -> u64 {
    set.unwrap_or(space.total_bytes / BUDGET_PART)
}

/// Bytes that builds may keep only to be quicker, where they keep `kept` now and logs and snapshots take `beside` of the
/// same budget: what these leave of it, a quarter at the least, and less where deploys are about to be refused for want of room.
#[must_use]
pub fn allowance(space: &Space, (kept, beside): (u64, u64), budget: u64) -> u64 {
    let wanted = 2 * space.reserve_bytes();
    let left = budget.saturating_sub(beside).max(budget / BUILDS_PART);
    left.min(kept.saturating_sub(wanted.saturating_sub(space.free_bytes)))
}

/// What to remove so that no more than `allowed` bytes are left of what nobody needs: cheap things first, and of those
/// what was not used for longest.
#[must_use]
pub fn plan_removals<K: Ord + Clone>(kept: &[Kept<K>], allowed: u64) -> Vec<K> {
    let mut removable: Vec<_> = kept.iter().filter(|kept| kept.used != Use::Needed).collect();
    let mut left = removable.iter().fold(0_u64, |sum, kept| sum.saturating_add(kept.bytes));
    removable.sort_by(|a, b| (a.used, a.last_used, &a.key).cmp(&(b.used, b.last_used, &b.key)));
    let mut removed = Vec::new();
    for kept in removable {
        if left <= allowed {
            break;
        }
        left = left.saturating_sub(kept.bytes);
        removed.push(kept.key.clone());
    }
    removed
}

/// Bytes that logs of one host may take together: their share of the budget, no more than `most`, and much less where room
/// is short.
#[must_use]
pub fn logs_allowed(space: &Space, budget: u64, most: u64) -> u64 {
    let usual = most.min(budget / LOGS_PART);
    if space.is_low() { usual / SHORT_LOGS } else { usual }
}

/// Bytes that snapshots of the store may take together, beyond the newest ones. Not less where room is short: they are a
/// way back, and that is the hour in which somebody may need it.
#[must_use]
pub fn snapshots_allowed(budget: u64, most: u64) -> u64 {
    most.min(budget / SNAPSHOTS_PART)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tandem_types::Timestamp;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn space(free: u64) -> Space {
        Space { free_bytes: free, total_bytes: 100 * GIB, ..Space::default() }
    }

    #[test]
    fn the_budget_is_a_tenth_or_what_was_set_and_shrinks_before_deploys_are_refused() {
        let allowed = |free: u64, kept: u64, set: Option<u64>| {
            allowance(&space(free), (kept, 0), budget(&space(free), set))
        };
        assert_eq!(allowed(50 * GIB, 30 * GIB, None), 10 * GIB);
        assert_eq!(allowed(50 * GIB, 30 * GIB, Some(GIB)), GIB);
        assert_eq!(allowed(50 * GIB, GIB, None), GIB);
        // Half a gibibyte short of twice the reserve.
        assert_eq!(allowed(3 * GIB / 2, 2 * GIB, None), 3 * GIB / 2);
        assert_eq!(allowed(0, GIB, None), 0);
    }

    #[test]
    fn builds_have_what_logs_and_snapshots_leave() {
        assert_eq!(allowance(&space(50 * GIB), (30 * GIB, 3 * GIB), 10 * GIB), 7 * GIB);
        assert_eq!(
            allowance(&space(50 * GIB), (30 * GIB, 11 * GIB), 10 * GIB),
            10 * GIB / 4,
            "the newest snapshots stay however large they are"
        );
    }

    #[test]
    fn logs_take_little_where_room_is_short() {
        assert_eq!(logs_allowed(&space(50 * GIB), 10 * GIB, GIB), GIB);
        assert_eq!(logs_allowed(&space(GIB), 10 * GIB, GIB), GIB / 4);
        assert_eq!(logs_allowed(&space(50 * GIB), GIB, GIB), GIB / 2);
        let small = Space { free_bytes: GIB, total_bytes: GIB, ..Space::default() };
        assert_eq!(logs_allowed(&small, budget(&small, None), GIB), GIB / 20);
    }

    fn kept() -> impl Strategy<Value = Vec<Kept<usize>>> {
        let used = prop::sample::select(vec![Use::Copies, Use::Downloads, Use::Parts, Use::Needed]);
        prop::collection::vec((used, 0..1_000_u64, 0..50_i64), 0..30).prop_map(|all| {
            let kept = |(key, (used, bytes, second)): (usize, (Use, u64, i64))| Kept {
                key,
                used,
                bytes,
                last_used: Timestamp::from_second(second).unwrap(),
            };
            all.into_iter().enumerate().map(kept).collect()
        })
    }

    proptest! {
        #[test]
        fn shares_never_exceed_the_budget_and_leave_a_quarter_of_it_to_builds(
            free in 0..=100 * GIB,
            set in prop::option::of(0..200 * GIB),
            kept in 0..200 * GIB,
            (logs, snapshots) in (0..10 * GIB, 0..10 * GIB),
        ) {
            let space = space(free);
            let budget = budget(&space, set);
            let logs = logs.min(logs_allowed(&space, budget, GIB));
            let snapshots = snapshots.min(snapshots_allowed(budget, 2 * GIB));
            let builds = allowance(&space, (kept, logs + snapshots), budget).min(kept);
            prop_assert!(logs + snapshots + builds <= budget);
            if !space.is_low() {
                prop_assert!(builds >= kept.min(budget / 4));
            }
        }

        #[test]
        fn nothing_needed_goes_no_more_than_must_and_cheap_and_old_things_first(
            all in kept(),
            allowed in 0..8_000_u64,
        ) {
            let removed = plan_removals(&all, allowed);
            let sum = |wanted: &dyn Fn(&&Kept<usize>) -> bool| -> u64 {
                all.iter().filter(wanted).map(|kept| kept.bytes).sum()
            };
            prop_assert!(removed.iter().all(|key| all[*key].used != Use::Needed));
            let spare = |kept: &&Kept<usize>| kept.used != Use::Needed;
            let left = sum(&|kept| spare(kept) && !removed.contains(&kept.key));
            prop_assert!(left <= allowed);
            if let Some(last) = removed.last() {
                prop_assert!(left + all[*last].bytes > allowed, "the last one had to go too");
            }
            for gone in &removed {
                for stays in all.iter().filter(spare).filter(|kept| !removed.contains(&kept.key)) {
                    let gone = &all[*gone];
                    prop_assert!((gone.used, gone.last_used) <= (stays.used, stays.last_used));
                }
            }
            // What a crash left undone is done by the next round, and no more.
            for done in 0..removed.len() {
                let rest: Vec<_> = all.iter().filter(|k| !removed[..done].contains(&k.key)).cloned().collect();
                prop_assert_eq!(plan_removals(&rest, allowed), &removed[done..]);
            }
        }
    }
}
