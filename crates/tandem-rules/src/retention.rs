//! What is kept and for how long: warm releases, and builds that can be rolled back to.

use std::collections::BTreeSet;

use tandem_types::release::Release;
use tandem_types::{BuildNumber, ReleaseNumber, Timestamp, defaults};

use crate::draft::Draft;

/// Releases of one environment that a rollback can bring back: those that took traffic last. Who falls out of this
/// set never comes in again, since only taking traffic moves a release to the front.
#[must_use]
pub fn kept_releases<'a>(releases: impl IntoIterator<Item = &'a Release>) -> BTreeSet<ReleaseNumber> {
    let served = releases.into_iter().filter_map(|r| Some((r.took_traffic?, r.number)));
    let mut served: Vec<_> = served.collect();
    served.sort_unstable_by(|a, b| b.cmp(a));
    // One more than is kept to go back to: the one that serves.
    served.into_iter().take(defaults::KEEP_RELEASES + 1).map(|(_, number)| number).collect()
}

/// Builds of one environment whose parts must stay: those of kept releases, of releases whose first rollout is
/// under way, and those that `in_use` names (assigned to hosts, or of unfinished rollouts).
#[must_use]
pub fn kept_builds<'a>(
    releases: impl IntoIterator<Item = &'a Release> + Clone,
    in_use: impl IntoIterator<Item = BuildNumber>,
) -> BTreeSet<BuildNumber> {
    let kept = kept_releases(releases.clone());
    let stays = |release: &&Release| {
        kept.contains(&release.number) || release.status == tandem_types::release::ReleaseStatus::Pending
    };
    releases.into_iter().filter(stays).map(|release| release.build).chain(in_use).collect()
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
    use tandem_types::release::ReleaseStatus;
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
    fn a_build_stays_while_a_kept_release_or_anything_running_uses_it() {
        let mut releases: Vec<_> = (1..=8).map(|n| release(n, n, Some(i64::try_from(n).unwrap()))).collect();
        releases[7].build = BuildNumber(1);
        let kept: Vec<_> = kept_builds(&releases, [BuildNumber(2)]).into_iter().map(|b| b.0).collect();
        assert_eq!(kept, [1, 2, 3, 4, 5, 6, 7]);
    }
}
