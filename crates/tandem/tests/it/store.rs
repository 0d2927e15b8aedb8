//! The store is gone, and put back: nobody who asks the apps notices.

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Outcome;
use tandem_testkit::wait::eventually;

use crate::screen::{PLAIN, ids, say};

/// Starts `tandem up` where it must be refused, and says what people are told.
fn refused(installation: &Installation) -> String {
    let addresses = ["up", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let outcome = installation.tandem(addresses).expect_code(1);
    let command = format!("tandem store restore --data {}", installation.data().root().display());
    assert!(outcome.stderr.contains(&command), "{outcome}");
    outcome.stderr
}

fn check(installation: &Installation) -> Value {
    installation.tandem(["store", "check", "--json"]).expect_success().json()
}

fn expect_told(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(outcome.stderr.contains(word), "{word:?} is missing in {outcome}");
    }
}

#[test]
fn a_lost_store_with_an_app_that_no_snapshot_knows_is_put_together_from_what_runs() {
    let mut installation = Installation::start(crate::TANDEM);
    let _ = installation.tandem(["store", "snapshot"]).expect_success();
    let folder = tandem_testkit::app_folder::AppFolder::fixture("plain");
    installation.deploy(folder.path());
    let serving = ids(&installation, "plain", "serving");
    installation.end(Signal::SIGTERM);
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", installation.data().database().display());
        // The log is gone already where the store was closed.
        let _ = std::fs::remove_file(file);
    }
    assert!(refused(&installation).contains("gone or empty"), "an empty store would stop everything");
    let _ = installation.tandem(["store", "restore"]).expect_success();
    installation.start_again();
    eventually("the same instances serve", || {
        (ids(&installation, "plain", "serving") == serving).then_some(())
    });
    let site = installation.site(PLAIN);
    assert_eq!(site.text("/"), "one\n");
    let _ = installation.tandem(["restart", "--app", "plain"]).expect_success();
    assert_eq!(site.text("/"), "one\n", "from the build as it was put together");
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    assert_eq!(site.text("/"), "two\n");
    assert_eq!(check(&installation)["problems"], serde_json::json!([]));

    // A store that is whole is not replaced by accident.
    installation.end(Signal::SIGTERM);
    let whole = installation.tandem(["store", "restore"]).expect_code(1);
    expect_told(&whole, &["the store is whole and was not replaced", "--confirm"]);
    let list = installation.tandem(["store", "restore", "--list", "--json"]).expect_success().json();
    let path = list[0]["path"].as_str().expect("a snapshot has a path");
    let name = path.rsplit('/').next().expect("a path has an end");
    let _ = installation.tandem(["store", "restore", name, "--confirm", name]).expect_success();
    installation.start_again();
    eventually("served by what runs", || (site.text("/") == "two\n").then_some(()));
    installation.finish();
}
