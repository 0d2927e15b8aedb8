//! Going back: at once to a warm release, by a start to a cold one, with its config and under its own number.

use tandem_testkit::installation::Installation;

use crate::screen::{PLAIN, current, ids, release_phases, say, with_plain};

fn statuses(installation: &Installation) -> Vec<(String, String)> {
    let releases = installation.tandem(["releases", "--json"]).expect_success().json();
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let row =
        |detail: &serde_json::Value| (text(&detail["release"]["number"]), text(&detail["release"]["status"]));
    releases.as_array().expect("a list").iter().map(row).collect()
}

#[test]
fn a_rollback_returns_to_the_very_instances_that_served_before() {
    let (installation, folder) = with_plain();
    let first = ids(&installation, "plain", "serving");
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    let second = ids(&installation, "plain", "serving");

    let result = installation.tandem(["rollback", "--json", "-m", "two is wrong"]).expect_success().json();
    assert_eq!(result["release"], "r1");
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    assert_eq!(ids(&installation, "plain", "serving"), first);
    assert_eq!(ids(&installation, "plain", "warm"), second, "the bad release stays warm");
    assert_eq!(release_phases(&installation), 2, "a rollback has no release phase");
    let expected = [("r2", "rolled_back"), ("r1", "current")];
    assert_eq!(statuses(&installation), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let journal = installation.tandem(["journal", "--app", "plain"]).expect_success().stdout;
    assert!(journal.contains("two is wrong"), "{journal}");
    installation.finish();
}

#[test]
fn a_named_release_brings_back_its_config() {
    let (installation, folder) = with_plain();
    let _ = installation.tandem(["config", "set", "COLOR=teal"]).expect_success();
    let _ = installation.tandem(["config", "set", "COLOR=red"]).expect_success();
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    let site = installation.site(PLAIN);
    assert_eq!(site.text("/environment?COLOR"), "red\n");
    let result = installation.tandem(["rollback", "r2", "--json"]).expect_success().json();
    assert_eq!(result["release"], "r2", "reactivated under its own number");
    assert_eq!(site.text("/environment?COLOR"), "teal\n");
    assert_eq!(site.text("/"), "one\n");
    installation.finish();
}

#[test]
fn there_and_back_again_any_number_of_times() {
    let (installation, folder) = with_plain();
    say(&folder, "one", "two");
    installation.deploy(folder.path());
    let site = installation.site(PLAIN);
    for _ in 0..5 {
        let _ = installation.tandem(["rollback", "r1"]).expect_success();
        assert_eq!(site.text("/"), "one\n");
        let _ = installation.tandem(["rollback", "r2"]).expect_success();
        assert_eq!(site.text("/"), "two\n");
    }
    installation.finish();
}

#[test]
fn a_rollback_to_nowhere_is_refused_with_a_way_out() {
    let (installation, _folder) = with_plain();
    let outcome = installation.tandem(["rollback"]).expect_code(1);
    assert!(outcome.stderr.contains("error: ") && outcome.stderr.contains("hint: "), "{outcome}");
    let outcome = installation.tandem(["rollback", "r9"]).expect_code(1);
    assert!(outcome.stderr.contains("r9"), "{outcome}");
    assert_eq!(current(&installation, "plain"), "r1");
    assert_eq!(installation.site(PLAIN).text("/"), "one\n");
    installation.finish();
}
