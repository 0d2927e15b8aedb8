//! What is kept and for how long: warm releases, and builds that can be rolled back to.

use std::collections::BTreeSet;

use tandem_types::release::{Release, ReleaseStatus};
use tandem_types::{BuildNumber, ReleaseNumber, Timestamp, defaults};

use crate::draft::Draft;
use crate::world::later;

/// Releases of one environment that a rollback can bring back: the one that serves and those that took traffic last. Who
/// falls out of this set never comes in again, since only taking traffic moves a release to the front.
#[must_use]
pub fn kept_releases<'a>(releases: impl IntoIterator<Item = &'a Release>) -> BTreeSet<ReleaseNumber> {
    // Who serves comes first whatever the times say: they are as good as the clocks were.
    let served = releases
        .into_iter()
        .filter_map(|r| Some((r.status == ReleaseStatus::Current, r.took_traffic?, r.number)));
    let mut served: Vec<_> = served.collect();
    served.sort_unstable_by(|a, b| b.cmp(a));
    // One more than is kept to go back to: the one that serves.
    served.into_iter().take(defaults::KEEP_RELEASES + 1).map(|(.., number)| number).collect()
}

/// Builds of one environment whose parts must stay: those of kept releases, of releases whose first rollout is
/// under way, and those that `in_use` names (assigned to hosts, or of unfinished rollouts).
#[must_use]
pub fn kept_builds<'a>(
    releases: impl IntoIterator<Item = &'a Release> + Clone,
    in_use: impl IntoIterator<Item = BuildNumber>,
) -> BTreeSet<BuildNumber> {
    let kept = kept_releases(releases.clone());
    let stays =
        |release: &&Release| kept.contains(&release.number) || release.status == ReleaseStatus::Pending;
    releases.into_iter().filter(stays).map(|release| release.build).chain(in_use).collect()
}

/// Whether the release took traffic so lately that its static files are served still: pages of it are open somewhere.
#[must_use]
pub fn is_served_besides(release: &Release, now: Timestamp) -> bool {
    release.lost_traffic.is_some_and(|lost| later(lost, defaults::STATIC_KEPT) > now)
}

/// Builds of one environment whose static files routing tables may name: those of the serving release and of all that
/// [`is_served_besides`]. Many deploys in a day make them far more than [`kept_builds`] are.
#[must_use]
pub fn named_builds<'a>(
    releases: impl IntoIterator<Item = &'a Release>,
    now: Timestamp,
) -> BTreeSet<BuildNumber> {
    let named =
        |release: &&Release| release.status == ReleaseStatus::Current || is_served_besides(release, now);
    releases.into_iter().filter(named).map(|release| release.build).collect()
}

/// Releases of one environment whose documents nobody needs any more, oldest first. Stays what is among the latest
/// `listed`, what a rollback can bring back, what is under way, what took traffic so lately that its static files are
/// served still, and what `named` says: the serving release, warm ones, those of assigned instances and of
/// unfinished rollouts.
#[must_use]
pub fn forgotten_releases<'a>(
    releases: impl IntoIterator<Item = &'a Release> + Clone,
    named: &BTreeSet<ReleaseNumber>,
    (listed, now): (usize, Timestamp),
) -> Vec<ReleaseNumber> {
    let kept = kept_releases(releases.clone());
    let mut numbers: Vec<_> = releases.clone().into_iter().map(|release| release.number).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    let latest: BTreeSet<_> = numbers.into_iter().take(listed).collect();
    let is_needed = |release: &Release| {
        kept.contains(&release.number)
            || latest.contains(&release.number)
            || named.contains(&release.number)
            || matches!(release.status, ReleaseStatus::Pending | ReleaseStatus::Current)
            || is_served_besides(release, now)
    };
    let mut forgotten: Vec<_> =
        releases.into_iter().filter(|release| !is_needed(release)).map(|release| release.number).collect();
    forgotten.sort_unstable();
    forgotten
}

/// Ends the time of warm releases that have had it. Their instances are stopped by upkeep.
pub(crate) fn expire_warm(draft: &mut Draft<'_>) {
    let now: Timestamp = draft.now;
    draft.environment.warm.retain(|warm| warm.until > now);
    if let Some(first) = draft.environment.warm.iter().map(|warm| warm.until).min() {
        draft.wake_at(first);
    }
}

#[cfg(test)]
mod tests {
    use tandem_types::{EnvironmentName, RolloutNumber};

    use super::*;

    /// A release that took traffic at that second, or never.
    fn release(number: u64, build: u64, second: Option<i64>) -> Release {
        Release {
            app: "guestbook".parse().unwrap(),
            environment: EnvironmentName::production(),
            number: ReleaseNumber(number),
            build: BuildNumber(build),
            config: tandem_types::environment::Config::default(),
            cause: tandem_types::document::Cause {
                actor: String::new(),
                action: String::new(),
                reason: String::new(),
                subject: String::new(),
            },
            message: String::new(),
            created: Timestamp::UNIX_EPOCH,
            rollout: RolloutNumber(number),
            status: if second.is_some() { ReleaseStatus::Superseded } else { ReleaseStatus::Failed },
            took_traffic: second.map(|second| Timestamp::from_second(second).unwrap()),
            lost_traffic: None,
        }
    }

    #[test]
    fn five_releases_beside_the_serving_one_still_roll_back() {
        let releases: Vec<_> = (1..=9).map(|n| release(n, n, Some(i64::try_from(n).unwrap()))).collect();
        let kept: Vec<_> = kept_releases(&releases).into_iter().map(|number| number.0).collect();
        assert_eq!(kept, [4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_release_that_was_rolled_back_to_counts_as_new_and_failed_ones_do_not_count() {
        let mut releases: Vec<_> = (1..=8).map(|n| release(n, n, Some(i64::try_from(n).unwrap()))).collect();
        releases[2] = release(3, 3, Some(100));
        releases.push(release(9, 9, None));
        let kept: Vec<_> = kept_releases(&releases).into_iter().map(|number| number.0).collect();
        assert_eq!(kept, [3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn the_serving_release_is_kept_also_where_its_time_was_taken_from_a_clock_set_back() {
        let mut releases: Vec<_> = (1..=8).map(|n| release(n, n, Some(i64::try_from(n).unwrap()))).collect();
        releases.push(release(9, 9, Some(0)));
        assert!(!kept_releases(&releases).contains(&ReleaseNumber(9)));
        releases[8].status = ReleaseStatus::Current;
        let kept: Vec<_> = kept_releases(&releases).into_iter().map(|number| number.0).collect();
        assert_eq!(kept, [4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn static_files_are_promised_for_a_day_however_many_releases_that_makes() {
        let day = 24 * 60 * 60;
        let mut releases: Vec<_> = (1..=50).map(|n| release(n, n, Some(i64::try_from(n).unwrap()))).collect();
        for release in &mut releases[..49] {
            // The next one took it.
            release.lost_traffic =
                release.took_traffic.map(|took| later(took, tandem_types::Span::seconds(1)));
        }
        releases[49].status = ReleaseStatus::Current;
        let named = |second| {
            let now = Timestamp::from_second(second).unwrap();
            named_builds(&releases, now).into_iter().map(|build| build.0).collect::<Vec<_>>()
        };
        assert_eq!(named(50), (1..=50).collect::<Vec<_>>());
        assert_eq!(named(day + 1), (1..=50).collect::<Vec<_>>());
        assert_eq!(named(day + 2), (2..=50).collect::<Vec<_>>());
        assert_eq!(named(day + 49), [49, 50]);
        assert_eq!(named(day * 9), [50]);
    }

    #[test]
    fn a_build_stays_while_a_kept_release_or_anything_running_uses_it() {
        let mut releases: Vec<_> = (1..=8).map(|n| release(n, n, Some(i64::try_from(n).unwrap()))).collect();
        releases[7].build = BuildNumber(1);
        let kept: Vec<_> = kept_builds(&releases, [BuildNumber(2)]).into_iter().map(|b| b.0).collect();
        assert_eq!(kept, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn what_nobody_needs_is_forgotten_and_nothing_else() {
        let day = 24 * 60 * 60;
        let now = Timestamp::from_second(100 * day).unwrap();
        let mut releases: Vec<_> = (1..=500).map(|n| release(n, n, None)).collect();
        for (number, second) in [(2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (7, 6), (8, 7)] {
            releases[number - 1] = release(number as u64, number as u64, Some(second));
        }
        // Lost its traffic yesterday, a second too long ago and a second less.
        releases[9].lost_traffic = Some(Timestamp::from_second(99 * day).unwrap());
        releases[10].lost_traffic = Some(Timestamp::from_second(99 * day + 1).unwrap());
        releases[11].status = ReleaseStatus::Pending;
        let named = [ReleaseNumber(20)].into();
        let forgotten = forgotten_releases(&releases, &named, (200, now));
        // r2 took traffic before the six that roll back.
        let expected: Vec<_> = (1..=300).filter(|n| ![3, 4, 5, 6, 7, 8, 11, 12, 20].contains(n)).collect();
        assert_eq!(forgotten.iter().map(|number| number.0).collect::<Vec<_>>(), expected);
        let left: Vec<_> = releases.iter().filter(|r| !forgotten.contains(&r.number)).cloned().collect();
        assert_eq!(kept_releases(&left), kept_releases(&releases), "what rolls back rolls back still");
        assert_eq!(forgotten_releases(&left, &named, (200, now)), [], "once is enough");
    }

    proptest::proptest! {
        #[test]
        fn forgetting_never_changes_what_rolls_back_nor_touches_what_is_named(
            seconds in proptest::collection::vec(proptest::option::of(0..1_000_i64), 0..40),
            named in proptest::collection::btree_set(1..40_u64, 0..4),
            listed in 0..20_usize,
        ) {
            let releases: Vec<_> = (1..).zip(&seconds).map(|(n, second)| release(n, n, *second)).collect();
            let named: BTreeSet<_> = named.into_iter().map(ReleaseNumber).collect();
            let now = Timestamp::from_second(1_000_000).unwrap();
            let forgotten = forgotten_releases(&releases, &named, (listed, now));
            let left: Vec<_> = releases.iter().filter(|r| !forgotten.contains(&r.number)).cloned().collect();
            proptest::prop_assert_eq!(kept_releases(&left), kept_releases(&releases));
            proptest::prop_assert!(forgotten.iter().all(|number| !named.contains(number)));
            proptest::prop_assert!(left.len() <= listed + defaults::KEEP_RELEASES + 1 + named.len());
        }
    }
}
