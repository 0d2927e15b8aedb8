//! Which runner has an environment's volumes, and which names are volumes.

use std::path::PathBuf;

use tandem_types::instance::{Address, HostObservation, Isolation};
use tandem_types::{Fence, Timestamp};

use super::site::Site;
use crate::VolumePlace;

/// A host that runs nothing of the app, and comes before the one that does by its name.
fn another() -> HostObservation {
    HostObservation {
        host: "aaa".parse().expect("a host name"),
        boot_id: "another machine's".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        api: Address::Unix(PathBuf::from("/run/tandem/0/runner.sock")),
        isolation: Isolation::Sandbox,
        isolation_gaps: Vec::new(),
        staged: Vec::new(),
        stage_failures: Vec::new(),
        instances: Vec::new(),
        jobs: Vec::new(),
        fence: Fence(0),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_are_with_the_runner_that_runs_the_app_and_not_with_the_first_one() {
    let site = Site::start().await;
    site.deploy().await;
    let report = another();
    site.handle.record_host_observation(&report.host.clone(), report).await.expect("recorded");
    site.until("both to be known", || site.handle.volume_runners().len() == 2).await;
    let found = site.handle.volume_host(&site.place).expect("its runner is here");
    assert_eq!(found.runner.host.as_str(), "alpha");
    let all = site.handle.volume_runners();
    let here: Vec<_> = all.iter().map(|runner| (runner.host.as_str(), runner.here)).collect();
    assert_eq!(here, [("aaa", false), ("alpha", true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_of_another_machine_is_not_looked_for_at_the_same_path_of_this_one() {
    let site = Site::start().await;
    site.deploy().await;
    site.host.lock().expect("lock").boot = Some("another machine's".to_owned());
    site.deploy().await;
    site.until("its next report", || site.handle.volume_host(&site.place).is_err()).await;
    let problem = site.handle.volume_host(&site.place).expect_err("it is elsewhere");
    assert_eq!(problem.code, "runner_unreachable");
    assert_eq!(problem.title, "the runner of alpha is on another machine, and volumes lie with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_no_release_declares_is_told_with_the_name_that_was_meant() {
    let site = Site::start().await;
    site.builder.spec.lock().expect("lock").volumes.insert("data".to_owned(), "/data".to_owned());
    site.deploy().await;
    let at = |name: &str| VolumePlace { place: site.place.clone(), name: name.to_owned() };
    assert!(site.handle.declares_volume(&at("data")));
    assert!(!site.handle.declares_volume(&at("dtaa")));
    let problem = site.handle.volume_not_found(&at("dtaa"));
    assert_eq!(problem.code, "volume_not_found");
    assert!(problem.hint.starts_with("did you mean data?"), "{problem:?}");
}
