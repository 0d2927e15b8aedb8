//! Pauses: in the routing document, over whatever else changes it.

use tandem_rules::pause::paused;
use tandem_types::api::AskPause;
use tandem_types::keys;
use tandem_types::pause::Pause;
use tandem_types::rollout::RolloutState;
use tandem_types::routing::RoutingDocument;
use tandem_types::{BalancerId, defaults};

use super::actors::cut_off;
use super::site::Site;

fn routing(site: &Site) -> RoutingDocument {
    (*site.handle.shared.value::<RoutingDocument>(keys::ROUTING_TABLE).expect("a table")).clone()
}

fn pause_of(site: &Site) -> Option<Pause> {
    paused(&routing(site).serving, (&site.place.app, &site.place.environment)).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_lasts_over_releases_and_restarts_until_it_is_ended() {
    let mut site = Site::start_after(defaults::BALANCER_LIVE).await;
    let nothing = site.handle.pause("unix:ana", &site.place, AskPause::default()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    site.deploy().await;
    let asked = AskPause { reason: "move".to_owned(), allow: vec!["192.0.2.7".parse().expect("an address")] };
    let first = site.handle.pause("unix:ana", &site.place, asked.clone()).await.expect("paused");
    assert!(first.unconfirmed.is_empty() && first.pause.is_some(), "{first:?}");
    let again = site.handle.pause("unix:ana", &site.place, asked).await.expect("paused");
    assert_eq!(again, first, "twice is the same as once");
    site.deploy().await;
    site.restart().await;
    assert_eq!(pause_of(&site), first.pause);
    let status = site.handle.status().await.expect("status");
    assert!(status.problems.iter().any(|text| text.contains("is paused since")), "{:?}", status.problems);
    let resumed = site.handle.resume("unix:ana", &site.place, String::new()).await.expect("resumed");
    assert!(resumed.pause.is_none() && resumed.epoch > first.epoch, "{resumed:?}");
    assert_eq!(pause_of(&site), None);
}

/// One that does not answer keeps an epoch in preparation for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_being_prepared_comes_after_the_pause_and_has_it() {
    let site = Site::start_after(defaults::BALANCER_LIVE).await;
    site.deploy().await;
    let far: BalancerId = "far".parse().expect("a name");
    site.handle.record_balancer_status(&far, cut_off("far")).await.expect("recorded");
    let deploy = site.start_deploy().await;
    site.until_state(deploy, RolloutState::Preparing).await;
    site.until("the next table is prepared", || routing(&site).prepared.is_some()).await;
    let paused = site.handle.pause("unix:ana", &site.place, AskPause::default()).await.expect("paused");
    assert_eq!(paused.unconfirmed, [far]);
    let deploy = site.ended(deploy).await;
    assert_eq!(deploy.state, RolloutState::Completed, "{deploy:?}");
    assert!(routing(&site).serving.epoch > paused.epoch);
    assert_eq!((pause_of(&site), site.current()), (paused.pause, deploy.to));
}
