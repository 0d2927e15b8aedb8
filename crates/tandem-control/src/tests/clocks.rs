//! The wall clock jumps, and nothing that is under way minds.

use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_types::rollout::RolloutState;
use tandem_types::{BuildNumber, Span, Timestamp};

use super::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_jumps_an_hour_fails_no_rollout_and_time_that_passes_does() {
    for jump in ["2026-11-21T13:00:00Z", "2026-11-21T11:00:00Z"] {
        let noon: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let (clock, hands) = Clock::manual(noon);
        let mut site = Site::start_with(Span::seconds(0), clock).await;
        site.deploy().await;
        site.host.lock().expect("lock").stuck.insert(BuildNumber(2));
        let number = site.start_deploy().await;
        site.until_state(number, RolloutState::Starting).await;
        hands.set_wall(jump.parse().expect("a time"));
        let guestbook = site.place.clone();
        // Its reports have every environment looked at again, many times.
        site.place.app = "shop".parse().expect("a name");
        assert_eq!(site.deploy().await.state, RolloutState::Completed);
        site.place = guestbook;
        assert_eq!(site.rollout(number).state, RolloutState::Starting, "after {jump}");
        hands.advance(Duration::from_secs(90));
        let failed = site.ended(number).await;
        assert_eq!(failed.problem.map(|problem| problem.code).as_deref(), Some("never_healthy"));
        let story = site.events(number).await;
        assert!(story.len() > 5, "its story is whole: {story:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_release_has_its_half_hour_whatever_the_wall_clock_says() {
    for jump in ["2026-11-21T13:00:00Z", "2026-11-21T11:00:00Z"] {
        let noon: Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let (clock, hands) = Clock::manual(noon);
        let mut site = Site::start_with(Span::seconds(0), clock).await;
        site.deploy().await;
        site.deploy().await;
        let is_warm = |site: &Site| site.roles().contains(&"web.1 warm r1".to_owned());
        assert!(is_warm(&site));
        let guestbook = site.place.clone();
        for (passes, warm) in [(0, true), (25, true), (9, false)] {
            hands.advance(Duration::from_secs(60 * passes));
            if passes == 0 {
                hands.set_wall(jump.parse().expect("a time"));
            }
            // Its reports have every environment looked at again, many times.
            site.place.app = "shop".parse().expect("a name");
            assert_eq!(site.deploy().await.state, RolloutState::Completed);
            site.place = guestbook.clone();
            if warm {
                assert!(is_warm(&site), "after {jump}: {:?}", site.roles());
            } else {
                site.until("it is warm no more", || !is_warm(&site)).await;
            }
        }
    }
}
