//! Config: a change makes a release; every value is a secret.

use std::fs;

use tandem_testkit::program::Program;

use crate::screen::{PLAIN, current, with_plain};

#[test]
fn a_config_change_makes_a_release_of_the_same_build() {
    let (installation, _folder) = with_plain();
    let outcome = installation.tandem(["config", "set", "COLOR=teal", "--json"]).expect_success().json();
    assert_eq!(outcome["changed"][0], "COLOR");
    assert_eq!(outcome["rollout"]["release"], "r2");
    assert_eq!(outcome["rollout"]["build"], "b1", "nothing is built");
    let site = installation.site(PLAIN);
    assert_eq!(site.text("/environment?COLOR"), "teal\n");
    let _ = installation.tandem(["config", "unset", "COLOR"]).expect_success();
    assert_eq!(site.text("/environment?COLOR"), "(not set)\n");
    assert_eq!(current(&installation, "plain"), "r3");
    installation.finish();
}

#[test]
fn a_value_that_is_to_wait_comes_with_the_next_release() {
    let (installation, folder) = with_plain();
    let _ = installation.tandem(["config", "set", "COLOR=teal", "--no-deploy"]).expect_success();
    let site = installation.site(PLAIN);
    assert_eq!(site.text("/environment?COLOR"), "(not set)\n");
    let listing = installation.tandem(["config", "list", "--json"]).expect_success().json();
    assert_eq!(listing["pending"][0], "COLOR");
    installation.deploy(folder.path());
    assert_eq!(site.text("/environment?COLOR"), "teal\n");
    installation.finish();
}

#[test]
fn values_are_shown_to_who_asks_and_written_nowhere_in_the_clear() {
    let secret = "correct-horse-battery-staple";
    let (installation, _folder) = with_plain();
    let _ = installation.tandem(["config", "set", &format!("KEY={secret}")]).expect_success();
    let listed = installation.tandem(["config", "list"]).expect_success().stdout;
    assert!(listed.contains("KEY") && !listed.contains(secret), "{listed}");
    let revealed = installation.tandem(["config", "list", "--reveal"]).expect_success().stdout;
    assert!(revealed.contains(secret), "{revealed}");
    for verb in [&["journal"][..], &["release", "show", "r2", "--json"], &["rollout", "list", "--json"]] {
        let text = installation.tandem(verb).expect_success().stdout;
        assert!(!text.contains(secret), "{verb:?} shows the value:\n{text}");
    }
    assert!(!installation.log().contains(secret), "the log shows the value");
    for process in installation.traces().processes() {
        assert!(!process.words.contains(secret), "{process}");
    }
    // Instances need it in the open: in memory, in a folder that only Tandem's user can enter. A disk never has it.
    let holders = |folder: &std::path::Path| {
        let folder = folder.to_str().expect("a plain path").to_owned();
        let found = Program::new("grep").arguments(["-r", "-l", "-a", "-D", "skip", secret, &folder]).run();
        found.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(holders(installation.data().root()), [""; 0]);
    let held = holders(installation.data().runtime());
    assert!(!held.is_empty(), "it is looked for in the right way");
    for path in held {
        let mode = fs::metadata(&path).expect("grep has just read it").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600, "{path}");
    }
    installation.finish();
}
