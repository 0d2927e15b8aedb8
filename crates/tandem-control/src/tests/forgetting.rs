//! What is forgotten with time, and that nobody misses it.

use std::sync::Arc;

use tandem_store::{Expect, Stored, Transaction, get_as};
use tandem_types::app::App;
use tandem_types::build::Build;
use tandem_types::environment::Environment;
use tandem_types::release::{Release, ReleaseStatus};
use tandem_types::rollout::RolloutState;
use tandem_types::{BuildNumber, ReleaseNumber, defaults, keys};

use super::site::Site;
use crate::housekeeping::Housekeeping;

async fn read<T: tandem_types::document::Kind>(site: &Site, key: &str) -> Stored<T> {
    get_as(&*site.store, key).await.expect("the store reads").expect("it is there")
}

/// Writes failed releases with builds of their own, as a busy team leaves them.
async fn fill(site: &Site, numbers: std::ops::RangeInclusive<u64>) {
    let (app, environment) = (&site.place.app, &site.place.environment);
    let release: Stored<Release> = read(site, &keys::release(app, environment, ReleaseNumber(1))).await;
    let build: Stored<Build> = read(site, &keys::build(app, BuildNumber(1))).await;
    let stored: Stored<Environment> = read(site, &keys::environment(app, environment)).await;
    let next = numbers.end() + 1;
    let counted = Environment { next_release: ReleaseNumber(next), ..stored.value.clone() };
    let mut all =
        Transaction::new(release.value.cause.clone()).put(&stored.key, &counted, stored.unchanged());
    let stored: Stored<App> = read(site, &keys::app(app)).await;
    let counted = App { next_build: BuildNumber(next), ..stored.value.clone() };
    all = all.put(&stored.key, &counted, stored.unchanged());
    for number in numbers {
        let failed = Release {
            number: ReleaseNumber(number),
            build: BuildNumber(number),
            status: ReleaseStatus::Failed,
            took_traffic: None,
            lost_traffic: None,
            ..release.value.clone()
        };
        let build = Build { number: BuildNumber(number), ..build.value.clone() };
        all = all.put(keys::release(app, environment, failed.number), &failed, Expect::Absent);
        all = all.put(keys::build(app, build.number), &build, Expect::Absent);
    }
    site.handle.shared.commit(all).await.expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_releases_shrink_to_the_bound_and_kept_ones_still_roll_back() {
    let site = Site::start().await;
    site.deploy().await;
    site.deploy().await;
    fill(&site, 3..=498).await;
    site.deploy().await;
    site.deploy().await;
    let housekeeping = Housekeeping::new(Arc::clone(&site.handle.shared));
    let releases = || site.handle.releases(&site.place).expect("releases");
    assert_eq!(releases().len(), 500);
    let mut rounds = 0;
    while housekeeping.forget_releases(defaults::LISTED_RELEASES).await {
        rounds += 1;
        assert!(rounds < 20, "it never comes to an end");
    }
    assert!(rounds > 3, "a round is bounded");
    let left: Vec<_> = releases().iter().map(|detail| detail.release.number.0).collect();
    let expected: Vec<_> = (301..=500).rev().chain([2, 1]).collect();
    assert_eq!(left, expected);
    let builds = site.store.list(&keys::builds(&site.place.app)).await.expect("a list").documents;
    assert_eq!(builds.len(), left.len());
    let rollback = site.rollback(Some(1)).await.expect("rolled back");
    assert_eq!((rollback.state, site.current()), (RolloutState::Completed, Some(ReleaseNumber(1))));
    assert_eq!(site.deploy().await.to, Some(ReleaseNumber(501)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rollout_begins_to_need_meanwhile_is_not_forgotten() {
    let site = Site::start().await;
    site.deploy().await;
    fill(&site, 2..=300).await;
    let shared = &site.handle.shared;
    let now = shared.now();
    let round = shared.look(|mirror| {
        crate::housekeeping::forgetting::transaction(mirror, &site.place.app, (200, now)).expect("a round")
    });
    site.start_deploy().await;
    let refused = shared.commit(round).await;
    assert!(matches!(refused, Err(tandem_store::Error::Conflict { .. })), "{refused:?}");
}
