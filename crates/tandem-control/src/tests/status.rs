//! `status`: what a person should look at, and nothing else.

use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_types::api::{ConfigChange, RolloutAction};
use tandem_types::rollout::RolloutState;
use tandem_types::routing::BalancerStatus;
use tandem_types::{BuildNumber, Timestamp, keys};

use super::actors::cut_off;
use super::site::Site;

async fn problems(site: &Site) -> Vec<String> {
    site.handle.status().await.expect("status").problems
}

fn ago(seconds: u64) -> Timestamp {
    Clock::system().now() - Duration::from_secs(seconds)
}

/// Has the host report that `web.1` was started again twice, last at a time.
async fn report_restarts(site: &Site, started: Timestamp) {
    site.host.lock().expect("lock").restarted = Some(started);
    let number = site.ask(RolloutAction::Restart { processes: Vec::new() }).await.expect("started");
    site.ended(number).await;
    let lines = || site.handle.ps(&site.place).expect("lines");
    let told = || lines().iter().any(|line| line.role == "serving" && line.started == Some(started));
    site.until("the host tells of the restarts", told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_ends_again_and_again_is_told_of_while_it_is_well() {
    let site = Site::start().await;
    site.deploy().await;
    let started = ago(60);
    report_restarts(&site, started).await;
    let last = started.strftime("%H:%M:%S UTC");
    let text = format!(
        "web.1 of guestbook/production (r1) ended and was started again 2 times, last at {last} after exit code 1"
    );
    assert_eq!(problems(&site).await, [text]);
    report_restarts(&site, ago(301)).await;
    assert_eq!(problems(&site).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_a_balancer_leaves_out_is_named() {
    let site = Site::start().await;
    site.deploy().await;
    let lines = site.handle.ps(&site.place).expect("lines");
    let web = lines.iter().find(|line| line.role == "serving").expect("it serves");
    let status = BalancerStatus { left_out: vec![web.id], ..cut_off("far") };
    site.handle.record_balancer_status(&status.balancer, status.clone()).await.expect("recorded");
    let heard = || site.handle.shared.value::<BalancerStatus>(&keys::balancer(&status.balancer)).is_some();
    site.until("its report is heard", heard).await;
    let told = problems(&site).await;
    let text =
        format!("{} of guestbook/production (r1) gets no requests from the balancer far for now", web.name);
    assert!(told.iter().any(|problem| problem.starts_with(&text)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_cannot_keep_apart_is_told_of() {
    let site = Site::start().await;
    site.host.lock().expect("lock").isolation_gaps.push("nft is missing".to_owned());
    site.deploy().await;
    assert_eq!(problems(&site).await, ["instances on alpha: nft is missing"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_that_failed_is_told_of_until_it_is_unset() {
    let site = Site::start().await;
    site.deploy().await;
    site.host.lock().expect("lock").crashing.insert(BuildNumber(1));
    let set = [("BADCFG".to_owned(), "1".to_owned())].into();
    let change = ConfigChange { set, ..ConfigChange::default() };
    let changed = site.handle.change_config("unix:ana", &site.place, change).await.expect("set");
    let rollout = site.ended(changed.rollout.expect("a rollout")).await;
    assert_eq!(rollout.state, RolloutState::Failed);
    let hint = rollout.problem.expect("a problem").hint;
    assert!(hint.starts_with("BADCFG stays set and comes with the next release: "), "{hint}");
    let told = async || {
        let told = problems(&site).await;
        told.iter().any(|text| text.contains("differs from what r1 runs with: BADCFG; "))
    };
    assert!(told().await);
    let unset = ConfigChange { unset: vec!["BADCFG".to_owned()], ..ConfigChange::default() };
    let changed = site.handle.change_config("unix:ana", &site.place, unset).await.expect("unset");
    if let Some(rollout) = changed.rollout {
        site.ended(rollout).await;
    }
    assert!(!told().await);
}
