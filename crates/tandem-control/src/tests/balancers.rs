//! Balancers that are cut off while deploys go on and the server starts anew.

use tandem_types::assignment::{Assignment, Desired};
use tandem_types::routing::RoutingDocument;
use tandem_types::{BalancerId, ReleaseNumber, defaults, keys};

use super::actors::{alpha, cut_off};
use super::site::Site;

/// Releases whose web instances should not stop.
fn kept(site: &Site) -> Vec<ReleaseNumber> {
    let key = keys::assignment(&alpha(), &site.place.app, &site.place.environment);
    let assignment = site.handle.shared.value::<Assignment>(&key).expect("an assignment");
    let web = assignment.instances.iter().filter(|i| i.process.is_web() && i.desired != Desired::Stop);
    let mut releases: Vec<_> = web.map(|instance| instance.release).collect();
    releases.dedup();
    releases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_may_route_to_runs_over_restarts_until_a_person_removes_it() {
    let mut site = Site::start_after(defaults::BALANCER_LIVE).await;
    site.deploy().await;
    let far: BalancerId = "far".parse().expect("a name");
    site.handle.record_balancer_status(&far, cut_off("far")).await.expect("recorded");
    // Its report is gone with the server, before and after the deploys that it knows nothing of.
    site.restart().await;
    let deploy = site.deploy().await;
    assert!(deploy.warnings[0].starts_with("unconfirmed: far "), "{:?}", deploy.warnings);
    site.deploy().await;
    site.restart().await;
    let last = site.deploy().await;
    let all = [1, 2, 3, 4].map(ReleaseNumber);
    assert_eq!((last.to, kept(&site)), (Some(all[3]), all.to_vec()));
    let status = site.handle.status().await.expect("status");
    let told = status.balancers.iter().find(|balancer| balancer.status.balancer == far).expect("it is named");
    assert!(!told.live);
    let says = |text: &String| text.starts_with("the balancer far does not report");
    assert!(status.problems.iter().any(says), "{:?}", status.problems);
    site.handle.forget_balancer("unix:ana", &far).await.expect("removed");
    site.until("the rest is stopped", || kept(&site) == all[2..]).await;
    let again = site.handle.forget_balancer("unix:ana", &far).await.expect_err("unknown");
    assert_eq!(again.code, "balancer_not_found");
    let routing = site.handle.shared.value::<RoutingDocument>(keys::ROUTING_TABLE).expect("a table");
    assert_eq!(routing.balancers.keys().map(BalancerId::as_str).collect::<Vec<_>>(), ["edge"]);
}
