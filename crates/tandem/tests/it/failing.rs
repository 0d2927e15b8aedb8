//! Deploys that must fail: clearly, with a hint, and with the old release untouched.

use tandem_testkit::program::Outcome;

use crate::screen::{PLAIN, current, ids, say, with_plain};

/// Deploys `plain` with these changes to its files, after a deploy that went well.
fn failed_deploy(edits: &[(&str, &str, &str)]) -> Outcome {
    let (installation, folder) = with_plain();
    let web = ids(&installation, "plain", "serving");
    say(&folder, "one", "two");
    for (file, old, new) in edits {
        folder.edit(file, old, new);
    }
    let path = folder.path().to_str().expect("a plain path").to_owned();
    let outcome = installation.tandem(["deploy", &path]).expect_code(1);
    assert!(outcome.stderr.contains("error: "), "{outcome}");
    assert!(outcome.stderr.contains("hint: "), "{outcome}");
    assert_eq!(installation.site(PLAIN).text("/"), "one\n", "the old release serves");
    assert_eq!(ids(&installation, "plain", "serving"), web, "by the instances it had");
    assert_eq!(current(&installation, "plain"), "r1");

    folder.edit("server.py", "TEXT = \"two\"", "TEXT = \"three\"");
    for (file, old, new) in edits {
        folder.edit(file, new, old);
    }
    installation.deploy(folder.path());
    assert_eq!(installation.site(PLAIN).text("/"), "three\n", "the next deploy is free to go");
    installation.finish();
    outcome
}

fn expect_words(outcome: &Outcome, words: &[&str]) {
    for word in words {
        assert!(outcome.stderr.contains(word), "{word:?} is missing in {outcome}");
    }
}

#[test]
fn an_app_that_never_gets_healthy_says_why() {
    let outcome = failed_deploy(&[("server.py", "HEALTH = 200", "HEALTH = 503")]);
    expect_words(&outcome, &["web", "503", "listening, text two"]);
}

#[test]
fn an_app_that_never_listens_shows_its_last_twenty_lines() {
    let silent = "def main():\n    for number in range(1, 26):\n        print(\"line\", number, flush=True)\n    \
        time.sleep(3600)\n";
    let outcome = failed_deploy(&[("server.py", "def main():\n", silent)]);
    expect_words(&outcome, &["web", "nothing listens on port", "connection refused"]);
    let shown = outcome.stderr.lines().filter_map(|line| line.trim().strip_prefix("line "));
    let expected: Vec<String> = (6..=25).map(|number| number.to_string()).collect();
    assert_eq!(shown.collect::<Vec<_>>(), expected, "{outcome}");
}

#[test]
fn an_app_that_ends_at_its_start_shows_its_last_lines() {
    let broken = "def main():\n    raise SystemExit(\"the moon is missing\")\n";
    let outcome = failed_deploy(&[("server.py", "def main():\n", broken)]);
    expect_words(&outcome, &["the moon is missing", "exit code 1"]);
}

#[test]
fn an_app_that_listens_nowhere_is_not_taken_for_healthy() {
    let outcome = failed_deploy(&[("server.py", "int(os.environ[\"PORT\"])", "int(0)")]);
    expect_words(&outcome, &["web", "PORT"]);
}

#[test]
fn a_release_phase_that_fails_shows_its_output() {
    let command = "echo released >> /data/releases";
    let outcome = failed_deploy(&[("tandem.toml", command, "echo the table is locked; exit 3")]);
    expect_words(&outcome, &["release", "exit code 3", "the table is locked"]);
}

#[test]
fn a_release_phase_that_takes_too_long_is_ended() {
    let command = "command = \"echo released >> /data/releases\"";
    let slow = "command = \"echo begun; sleep 600\"\ntimeout = \"1s\"";
    let outcome = failed_deploy(&[("tandem.toml", command, slow)]);
    expect_words(&outcome, &["ran out of its time", "begun", "timeout"]);
}
