//! Scale and restart: the same release with more, fewer or new instances.

use tandem_testkit::load::Mix;

use crate::screen::{ask, current, ids, instances, say, with_plain};

#[test]
fn only_the_difference_is_started_or_stopped() {
    let (installation, folder) = with_plain();
    let two = ids(&installation, "plain", "serving");
    let _ = installation.tandem(["scale", "web=3", "worker=0"]).expect_success();
    let three = ids(&installation, "plain", "serving");
    assert_eq!(three.len(), 3);
    assert!(two.iter().all(|id| three.contains(id)), "{two:?} go on in {three:?}");
    assert_eq!(instances(&installation, "plain", "running").len(), 0);
    let _ = installation.tandem(["scale", "web=1"]).expect_success();
    let one = ids(&installation, "plain", "serving");
    assert!(one.len() == 1 && three.contains(&one[0]), "{one:?} of {three:?}");
    assert_eq!(current(&installation, "plain"), "r1", "a change of scale is no release");

    say(&folder, "one", "two");
    installation.deploy(folder.path());
    assert_eq!(ids(&installation, "plain", "serving").len(), 1, "the scale holds over deploys");
    installation.finish();
}

#[test]
fn a_process_that_is_not_there_cannot_be_scaled() {
    let (installation, _folder) = with_plain();
    let outcome = installation.tandem(["scale", "wrker=2"]).expect_code(1);
    assert!(outcome.stderr.contains("wrker") && outcome.stderr.contains("worker"), "{outcome}");
    installation.finish();
}

#[test]
fn a_restart_replaces_every_instance_and_no_request_fails() {
    let (installation, _folder) = with_plain();
    let (web, worker) = (ids(&installation, "plain", "serving"), ids(&installation, "plain", "running"));
    let load = ask(installation.ready().http, Mix::gets());
    let _ = installation.tandem(["restart"]).expect_success();
    load.stop().expect_nothing_lost();
    for id in ids(&installation, "plain", "serving") {
        assert!(!web.contains(&id), "{id} was not replaced");
    }
    assert_ne!(ids(&installation, "plain", "running"), worker);
    assert_eq!(current(&installation, "plain"), "r1", "a restart is no release");
    installation.finish();
}

#[test]
fn a_restart_of_the_only_instance_loses_nothing() {
    let (installation, _folder) = with_plain();
    let _ = installation.tandem(["scale", "web=1"]).expect_success();
    let web = ids(&installation, "plain", "serving");
    let load = ask(installation.ready().http, Mix::gets());
    let _ = installation.tandem(["restart", "web"]).expect_success();
    load.stop().expect_nothing_lost();
    assert_ne!(ids(&installation, "plain", "serving"), web);
    installation.finish();
}
