//! `tandem doctor`: what is lacking is found where it is hidden, with what it costs and the line to type.

use serde_json::Value;
use tandem_testkit::program::{Outcome, Program};

use crate::TANDEM;
use crate::needs::{Need, are_met};

fn finding(outcome: &Outcome, name: &str) -> Value {
    let answer = outcome.json();
    let found = answer["findings"].as_array().expect("a list").iter().find(|finding| finding["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is missing in {outcome}")).clone()
}

fn examined(program: Program) -> Outcome {
    let data = tempfile::tempdir().expect("the temporary folder takes files");
    let folder = data.path().join("data");
    let program = program.unset("TANDEM_SERVER").set("TANDEM_DATA", &folder);
    let outcome = program.run();
    assert!(!folder.exists(), "nothing is made only to look: {outcome}");
    outcome
}

#[test]
fn every_fact_has_its_words_and_nothing_is_changed() {
    // Without root there is something to tell on every machine.
    let nobody = ["--reuid=65533", "--regid=65533", "--clear-groups", TANDEM, "doctor", "--json"];
    let program = match nix::unistd::Uid::effective().is_root() {
        true => Program::new("setpriv").arguments(nobody).set("HOME", "/nonexistent"),
        false => Program::new(TANDEM).arguments(["doctor", "--json"]),
    };
    let outcome = examined(program);
    let answer = outcome.json();
    let findings = answer["findings"].as_array().expect("a list");
    let of = |state: &str| -> Vec<&Value> {
        findings.iter().filter(|finding| finding["state"] == state).collect()
    };
    let (lacking, notes) = (of("lacking"), of("note"));
    assert!(!lacking.is_empty() && notes.len() > 2, "{outcome}");
    for finding in lacking.iter().chain(&notes) {
        assert_ne!(finding["type"], "", "{finding}");
    }
    for finding in lacking {
        assert_ne!(finding["costs"], "", "{finding}");
    }
    let lacking = findings.iter().any(|finding| finding["state"] == "lacking");
    assert_eq!((answer["lacking"].as_bool(), outcome.code), (Some(lacking), Some(i32::from(lacking))));
    assert_eq!(finding(&outcome, "server")["type"], "tandem up");
}

#[test]
fn what_keeps_apps_apart_is_missed_when_it_is_hidden() {
    if !are_met(&[Need::Root, Need::Isolation]) {
        return;
    }
    // A mount namespace of its own, in which bubblewrap is no program.
    let hide = "mount --bind /dev/null /usr/bin/bwrap && exec \"$0\" doctor --json";
    let outcome = examined(Program::new("unshare").arguments(["--mount", "sh", "-c", hide, TANDEM]));
    let isolation = finding(&outcome, "isolation");
    assert_eq!((&isolation["state"], outcome.code), (&Value::from("lacking"), Some(1)), "{outcome}");
    assert!(isolation["costs"].as_str().is_some_and(|costs| costs.starts_with("APPS ARE NOT KEPT APART")));
    assert_eq!(isolation["type"], "apt-get install bubblewrap");
}

#[test]
fn a_laptop_without_root_is_told_loudly_what_that_means() {
    if !are_met(&[Need::Root]) {
        return;
    }
    let words = ["--reuid=65533", "--regid=65533", "--clear-groups", TANDEM, "doctor"];
    let outcome =
        examined(Program::new("setpriv").arguments(words).set("HOME", "/nonexistent")).expect_code(1);
    for words in ["APPS ARE NOT KEPT APART", "sudo tandem up", "not root"] {
        assert!(outcome.stdout.contains(words), "{words:?} is missing in {outcome}");
    }
}
