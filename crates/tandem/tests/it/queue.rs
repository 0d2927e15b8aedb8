//! Two rollouts of one environment: the second waits or refuses; and clients that leave.

use nix::sys::signal::Signal;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Running;
use tandem_testkit::wait::{PATIENCE, eventually};

use crate::screen::{PLAIN, current, instances, say, with_plain};

/// Starts a deploy whose instances take seconds to start, and returns when they are starting.
fn slow_deploy(installation: &Installation, folder: &AppFolder) -> Running {
    say(folder, "one", "two");
    folder.edit("server.py", "def main():\n", "def main():\n    time.sleep(4)\n");
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let client = installation.program(["deploy", &path, "-m", "the slow one"]);
    let client = client.output(&installation.data().root().join("../slow-client")).start();
    eventually("its instances start", || {
        (!instances(installation, "plain", "starting").is_empty()).then_some(())
    });
    client
}

fn client_text(installation: &Installation) -> String {
    std::fs::read_to_string(installation.data().root().join("../slow-client")).unwrap_or_default()
}

#[test]
fn a_second_deploy_waits_and_says_for_whom() {
    let (installation, folder) = with_plain();
    let mut first = slow_deploy(&installation, &folder);
    let other = AppFolder::fixture("plain");
    say(&other, "one", "three");
    let path = other.path().to_str().expect("a plain path").to_owned();
    let second = installation.tandem(["deploy", &path]).expect_success();
    assert!(second.stderr.contains("waiting for ro2"), "{second}");
    assert!(first.wait(PATIENCE).success(), "{}", client_text(&installation));
    assert_eq!(installation.site(PLAIN).text("/"), "three\n");
    assert_eq!(current(&installation, "plain"), "r3");
    installation.finish();
}

#[test]
fn no_wait_refuses_and_writes_nothing() {
    let (installation, folder) = with_plain();
    let mut first = slow_deploy(&installation, &folder);
    let other = AppFolder::fixture("plain");
    let path = other.path().to_str().expect("a plain path").to_owned();
    let refused = installation.tandem(["deploy", &path, "--no-wait"]).expect_code(1);
    assert!(refused.stderr.contains("ro2") && refused.stderr.contains("hint: "), "{refused}");
    let rollouts = installation.tandem(["rollout", "list", "--json"]).expect_success().json();
    assert_eq!(rollouts.as_array().map(Vec::len), Some(2), "{rollouts}");
    assert!(first.wait(PATIENCE).success(), "{}", client_text(&installation));
    installation.finish();
}

#[test]
fn ctrl_c_ends_the_client_and_not_the_deploy() {
    let (installation, folder) = with_plain();
    let mut client = slow_deploy(&installation, &folder);
    client.signal(Signal::SIGINT);
    assert_eq!(client.wait(PATIENCE).code(), Some(1));
    let told = client_text(&installation);
    assert!(told.contains("goes on without you") && told.contains("tandem rollout watch ro2"), "{told}");
    let _ = installation.tandem(["rollout", "watch"]).expect_success();
    assert_eq!(installation.site(PLAIN).text("/"), "two\n");
    installation.finish();
}

#[test]
fn an_aborted_rollout_leaves_the_old_release_untouched() {
    let (installation, folder) = with_plain();
    let mut client = slow_deploy(&installation, &folder);
    let outcome = installation.tandem(["rollout", "abort", "-m", "wrong branch"]).expect_success();
    assert!(outcome.stdout.contains("ro2 is aborted"), "{outcome}");
    assert_eq!(client.wait(PATIENCE).code(), Some(1), "{}", client_text(&installation));
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    assert_eq!(current(&installation, "plain"), "r1");
    eventually("the new instances are gone", || {
        (instances(&installation, "plain", "starting").is_empty()).then_some(())
    });
    installation.finish();
}
