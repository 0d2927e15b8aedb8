//! The wall clock was set back while nobody was there to notice: control goes on from the times it wrote down.

use std::time::Duration;

use tandem_kit::clock::{Clock, ManualClock};
use tandem_types::rollout::RolloutState;
use tandem_types::{BuildNumber, ReleaseNumber, Timestamp, defaults};

use super::site::Site;

const HOUR: Duration = Duration::from_secs(3600);

async fn at_noon() -> (Site, ManualClock, Timestamp) {
    let noon: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
    let (clock, hands) = Clock::manual(noon);
    (Site::start_with(defaults::BALANCER_LIVE, clock).await, hands, noon)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_goes_to_the_release_before_and_not_to_the_one_with_the_latest_time() {
    for back in [HOUR, HOUR * 24 * 9] {
        let (mut site, hands, noon) = at_noon().await;
        site.deploy().await;
        hands.advance(Duration::from_secs(5));
        site.deploy().await;
        // Nothing is under way when it happens.
        hands.set_wall(noon - back);
        site.restart().await;
        hands.advance(Duration::from_secs(5));
        site.deploy().await;
        let rollback = site.rollback(None).await.expect("rolled back");
        assert_eq!(rollback.to, Some(ReleaseNumber(2)), "set back by {back:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_served_since_is_kept_before_what_served_earlier() {
    let (mut site, hands, noon) = at_noon().await;
    for _ in 0..=defaults::KEEP_RELEASES {
        site.deploy().await;
        hands.advance(Duration::from_secs(1));
    }
    hands.set_wall(noon - HOUR);
    site.restart().await;
    for _ in 0..2 {
        site.deploy().await;
        hands.advance(Duration::from_secs(1));
    }
    let rolls_back = || {
        let releases = site.handle.releases(&site.place).expect("releases").into_iter();
        let rolls_back = releases.filter(|detail| detail.can_roll_back);
        rolls_back.map(|detail| detail.release.number.0).collect::<Vec<_>>()
    };
    // What still ends on the host is kept a moment longer.
    site.until("the five before roll back", || rolls_back() == [7, 6, 5, 4, 3]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_began_days_ahead_of_the_wall_clock_ends_when_its_time_is_up() {
    let (mut site, hands, noon) = at_noon().await;
    site.host.lock().expect("lock").stuck.insert(BuildNumber(1));
    let number = site.start_deploy().await;
    site.until_state(number, RolloutState::Starting).await;
    hands.set_wall(noon - HOUR * 24 * 3);
    site.restart().await;
    assert_eq!(site.rollout(number).state, RolloutState::Starting);
    hands.advance(Duration::from_secs(90));
    let failed = site.ended(number).await;
    assert_eq!(failed.problem.map(|problem| problem.code).as_deref(), Some("never_healthy"));
}
