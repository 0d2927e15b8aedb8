//! The store is damaged or gone, and put back: nobody who asks the apps notices.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::Outcome;
use tandem_testkit::wait::eventually;

use crate::screen::{PLAIN, current, ids, instances, release_phases, say, with_plain};

/// Overwrites the heads of the store's file and of its log: of the two, the log alone could still give the file back.
fn damage(installation: &Installation) {
    let database = installation.data().database();
    for name in [database.clone(), database.with_extension("sqlite3-wal")] {
        let file = OpenOptions::new().write(true).open(name).expect("a killed store has both");
        file.write_all_at(&[0xa5; 4096], 0).expect("it can be written to");
    }
}

/// Starts `tandem up` where it must be refused, and says what people are told.
fn refused(installation: &Installation) -> String {
    let addresses = ["up", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let outcome = installation.tandem(addresses).expect_code(1);
    let command = format!("tandem store restore --data {}", installation.data().root().display());
    assert!(outcome.stderr.contains(&command), "{outcome}");
    outcome.stderr
}

fn snapshot(installation: &Installation) -> PathBuf {
    let taken = installation.tandem(["store", "snapshot", "--json"]).expect_success().json();
    taken["path"].as_str().expect("a snapshot has a path").into()
}

fn check(installation: &Installation) -> Value {
    installation.tandem(["store", "check", "--json"]).expect_success().json()
}

fn expect_told(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(outcome.stderr.contains(word), "{word:?} is missing in {outcome}");
    }
}

fn number(name: &str) -> u64 {
    name.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse().expect("a number behind letters")
}

#[test]
fn a_damaged_store_is_put_back_while_the_apps_go_on_and_deploys_go_on_after_it() {
    let (mut installation, folder) = with_plain();
    let _ = installation.tandem(["config", "set", "COLOR=green"]).expect_success();
    snapshot(&installation);
    // All this the snapshot does not know.
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    let _ = installation.tandem(["config", "set", "COLOR=blue"]).expect_success();
    let (serving, release) = (ids(&installation, "plain", "serving"), current(&installation, "plain"));
    let (before, released) = (check(&installation), release_phases(&installation));

    let running = installation.tandem(["store", "restore"]).expect_code(1);
    expect_told(&running, &["runs on the data folder", "hint: ", "`kill "]);
    installation.end(Signal::SIGKILL);
    damage(&installation);
    let site = installation.site(PLAIN);
    assert_eq!(site.text("/"), "two\n", "served without a server and without a store");
    assert!(refused(&installation).contains("damaged"));
    let _ = installation.tandem(["store", "check"]).expect_code(1);
    assert_eq!(site.text("/"), "two\n", "a start that is refused ends nothing");
    let restored = installation.tandem(["store", "restore"]).expect_success();
    expect_told(&restored, &["the store that was there is now", "serves and was left serving"]);
    installation.start_again();

    eventually("the same instances serve", || {
        (ids(&installation, "plain", "serving") == serving).then_some(())
    });
    for line in instances(&installation, "plain", "serving") {
        assert_eq!(line["restarts"], 0, "{line}");
    }
    assert_eq!((site.text("/"), current(&installation, "plain")), ("two\n".to_owned(), release.clone()));
    assert_eq!(release_phases(&installation), released, "none was run again");
    let after = check(&installation);
    assert_ne!(after["incarnation"], before["incarnation"]);
    assert!(after["revision"].as_u64() > before["revision"].as_u64(), "{after} follows {before}");

    say(&folder, "two", "three");
    let deployed = installation.deploy(folder.path());
    let name = deployed["release"].as_str().expect("a release has a number");
    assert!(number(name) > number(&release), "{name} follows {release}");
    assert_eq!(site.text("/"), "three\n");
    let _ = installation.tandem(["rollback"]).expect_success();
    assert_eq!((site.text("/"), ids(&installation, "plain", "serving")), ("two\n".to_owned(), serving));
    installation.finish();
}

#[test]
fn a_lost_store_with_an_app_that_no_snapshot_knows_is_put_together_from_what_runs() {
    let mut installation = Installation::start(crate::TANDEM);
    snapshot(&installation);
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
