//! Config, scale and restarts.

use std::collections::BTreeMap;

use tandem_types::ReleaseNumber;
use tandem_types::api::{ConfigChange, RolloutAction};
use tandem_types::rollout::RolloutState;

use super::actors::alpha;
use super::site::Site;

fn set(name: &str, value: &str) -> ConfigChange {
    ConfigChange { set: [(name.to_owned(), value.to_owned())].into(), ..ConfigChange::default() }
}

fn scale(name: &str, count: u32) -> RolloutAction {
    RolloutAction::Scale { scale: [(name.parse().expect("a process type"), count)].into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setting_config_rolls_a_new_release_of_the_same_build_out() {
    let site = Site::start().await;
    site.deploy().await;
    let changed =
        site.handle.change_config("unix:ana", &site.place, set("COLOR", "blue")).await.expect("set");
    assert_eq!(changed.changed, ["COLOR"]);
    let rollout = site.ended(changed.rollout.expect("a rollout")).await;
    assert_eq!((rollout.state, rollout.to), (RolloutState::Completed, Some(ReleaseNumber(2))));
    let release = site.handle.release(&site.place, ReleaseNumber(2)).expect("a release");
    assert_eq!(release.config_changes, ["COLOR"]);
    assert_eq!(
        release.build.number,
        site.handle.release(&site.place, ReleaseNumber(1)).expect("r1").build.number
    );
    let config = site.handle.instance_config(&alpha(), &site.place, ReleaseNumber(2)).await.expect("config");
    let told = |name: &str| config.environment.get(name).map(String::as_str);
    assert_eq!(
        (told("COLOR"), told("TANDEM_RELEASE"), told("TANDEM_BUILD")),
        (Some("blue"), Some("r2"), Some("b1"))
    );
    assert_eq!((told("TANDEM_APP"), told("TANDEM_ENVIRONMENT")), (Some("guestbook"), Some("production")));
    assert_eq!(told("SENTRY_RELEASE"), Some("guestbook@r2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_value_makes_no_release_and_no_deploy_waits_for_the_next_one() {
    let site = Site::start().await;
    site.deploy().await;
    let first = site.handle.change_config("unix:ana", &site.place, set("COLOR", "blue")).await.expect("set");
    site.ended(first.rollout.expect("a rollout")).await;
    let again = site.handle.change_config("unix:ana", &site.place, set("COLOR", "blue")).await.expect("set");
    assert_eq!((again.changed, again.rollout), (Vec::<String>::new(), None));
    let later = ConfigChange { no_deploy: true, ..set("COLOR", "red") };
    let later = site.handle.change_config("unix:ana", &site.place, later).await.expect("set");
    assert_eq!((later.changed.as_slice(), later.rollout), (["COLOR".to_owned()].as_slice(), None));
    let listing = site.handle.config("unix:ana", &site.place, false).await.expect("a list");
    assert_eq!((listing.pending, listing.values[0].value.as_ref()), (vec!["COLOR".to_owned()], None));
    site.deploy().await;
    let listing = site.handle.config("unix:ana", &site.place, true).await.expect("a list");
    assert_eq!((listing.pending, listing.values[0].value.as_deref()), (Vec::<String>::new(), Some("red")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_cannot_be_set_are_refused_and_slips_are_told() {
    let site = Site::start().await;
    site.deploy().await;
    for (name, code) in [
        ("TANDEM_APP", "config_name_reserved"),
        ("PORT", "config_name_reserved"),
        ("HOME", "config_name_reserved"),
        ("A B", "config_name_invalid"),
        ("1A", "config_name_invalid"),
    ] {
        let refused = site.handle.change_config("unix:ana", &site.place, set(name, "x")).await;
        assert_eq!(refused.expect_err("refused").code, code, "{name}");
    }
    let quiet = ConfigChange { no_deploy: true, ..set("DATABASE_URL", "x") };
    site.handle.change_config("unix:ana", &site.place, quiet).await.expect("set");
    let unset = ConfigChange { unset: vec!["DATABSE_URL".to_owned()], ..ConfigChange::default() };
    let refused = site.handle.change_config("unix:ana", &site.place, unset).await.expect_err("refused");
    assert_eq!(
        (refused.code.as_str(), refused.hint.as_str()),
        ("config_not_found", "did you mean DATABASE_URL?")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_brings_the_config_back_and_says_so() {
    let site = Site::start().await;
    site.deploy().await;
    let changed =
        site.handle.change_config("unix:ana", &site.place, set("COLOR", "blue")).await.expect("set");
    site.ended(changed.rollout.expect("a rollout")).await;
    let rollback = site.rollback(None).await.expect("rolled back");
    let text = "config of r1 comes back: COLOR differs from r2; the next deploy brings the newer COLOR";
    assert_eq!(rollback.warnings, [text]);
    let listing = site.handle.config("unix:ana", &site.place, false).await.expect("a list");
    assert_eq!(listing.pending, ["COLOR"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_changes_only_the_difference_and_lasts_over_deploys() {
    let site = Site::start().await;
    site.deploy().await;
    let before = site.handle.ps(&site.place).expect("lines");
    let number = site.ask(scale("web", 3)).await.expect("scaled");
    assert_eq!(site.ended(number).await.state, RolloutState::Completed);
    let after = site.handle.ps(&site.place).expect("lines");
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|line| after.iter().any(|other| other.id == line.id)));
    site.deploy().await;
    let serving = site.roles().into_iter().filter(|role| role.contains("serving r2")).count();
    assert_eq!(serving, 3);
    for (action, code) in [
        (scale("wbe", 1), "process_not_found"),
        (scale("clock", 2), "singleton"),
        (scale("web", 100_000), "too_many_instances"),
        (RolloutAction::Scale { scale: BTreeMap::new() }, "process_missing"),
    ] {
        assert_eq!(site.ask(action).await.expect_err("refused").code, code);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_brings_new_instances_of_the_same_release() {
    let site = Site::start().await;
    site.deploy().await;
    let before: Vec<_> = site.handle.ps(&site.place).expect("lines").iter().map(|line| line.id).collect();
    let number = site.ask(RolloutAction::Restart { processes: Vec::new() }).await.expect("restarted");
    assert_eq!(site.ended(number).await.state, RolloutState::Completed);
    assert_eq!(site.current(), Some(ReleaseNumber(1)));
    let serving = |line: &&tandem_types::api::ProcessLine| line.role == "serving";
    let after = site.handle.ps(&site.place).expect("lines");
    assert_eq!(after.iter().filter(serving).count(), 2);
    assert!(after.iter().filter(serving).all(|line| !before.contains(&line.id)));
}
