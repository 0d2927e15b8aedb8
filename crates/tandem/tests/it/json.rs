//! `--json`: whatever the verb and however it ends, standard output has one JSON value and nothing else; streams have one
//! object a line.

use std::collections::BTreeSet;

use serde_json::Value;
use tandem_testkit::installation::Installation;
use tandem_testkit::program::{Outcome, Program};
use tandem_testkit::wait::eventually;

use crate::TANDEM;
use crate::screen::with_plain;

/// What standard output must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One object with these fields.
    Object(&'static [&'static str]),
    /// One list.
    List,
    /// At least one object, each on a line of its own.
    Stream,
}

use Form::{List, Object, Stream};

const ROLLOUT: Form = Object(&[
    "app",
    "environment",
    "rollout",
    "release",
    "build",
    "state",
    "verdict",
    "duration_ms",
    "addresses",
]);
const PROBLEM: Form = Object(&["problem"]);

/// Verbs in an order in which they work, with their exit codes. `deploy` goes before, `up` and `down` behind.
const TABLE: &[(&str, i32, Form)] = &[
    ("app create second", 0, Object(&["name", "created", "environments"])),
    ("app create second", 1, PROBLEM),
    ("app list", 0, List),
    ("app show plain", 0, Object(&["name", "created", "environments"])),
    ("app show nosuch", 1, PROBLEM),
    ("app destroy second", 1, PROBLEM),
    ("app destroy second --confirm second", 0, Object(&["name", "state"])),
    ("balancer remove nosuch", 1, PROBLEM),
    ("token create ci", 0, Object(&["name", "token"])),
    ("token list", 0, List),
    ("token revoke ci", 0, Object(&["name", "state"])),
    ("token revoke ci", 1, PROBLEM),
    ("key create", 0, Object(&["app", "public", "fingerprint", "created"])),
    ("key create", 1, PROBLEM),
    ("key show", 0, Object(&["app", "public", "fingerprint", "created"])),
    ("key remove", 0, Object(&["app", "public", "fingerprint", "created"])),
    ("key show", 1, PROBLEM),
    ("key trust nosuch.example", 1, PROBLEM),
    ("deploy http://nosuch.example/x.git", 1, PROBLEM),
    ("config set COLOR=teal --no-deploy", 0, Object(&["changed", "rollout"])),
    ("config set COLOR=red", 0, Object(&["changed", "rollout"])),
    ("config unset COLOR", 0, Object(&["changed", "rollout"])),
    ("config list", 0, Object(&["values", "pending"])),
    ("config set COLOR", 2, PROBLEM),
    ("rollback r1", 0, ROLLOUT),
    ("rollback r999", 1, PROBLEM),
    ("restart worker", 0, ROLLOUT),
    ("pause --allow 192.0.2.0/24", 0, Object(&["app", "environment", "pause", "epoch", "unconfirmed"])),
    ("pause --allow nobody", 2, PROBLEM),
    ("resume", 0, Object(&["app", "environment", "pause", "epoch", "unconfirmed"])),
    ("pause --env nosuch", 1, PROBLEM),
    ("scale", 0, Object(&["web", "worker"])),
    ("scale web=1", 0, ROLLOUT),
    ("scale web=-1", 2, PROBLEM),
    ("releases", 0, List),
    ("release show r1", 0, Object(&["release", "build"])),
    ("rollout list", 0, List),
    ("rollout watch ro1", 0, ROLLOUT),
    ("rollout abort ro1", 1, PROBLEM),
    ("ps", 0, List),
    ("logs -n 3", 0, Stream),
    ("logs --release r999", 1, PROBLEM),
    ("run", 2, PROBLEM),
    ("sessions", 0, List),
    ("sessions --end j999", 1, PROBLEM),
    ("attach j999", 2, PROBLEM),
    ("journal -n 3", 0, Stream),
    ("status", 0, Object(&["version", "hosts", "balancers", "apps", "problems"])),
    ("trust --out /nonexistent/tandem.pem", 1, PROBLEM),
    ("top", 0, Object(&["time", "window_ms", "releases", "slowest", "latest"])),
    ("volume list", 0, List),
    ("volume export data /nonexistent/data.tar", 1, PROBLEM),
    ("volume import data /nonexistent", 1, PROBLEM),
    // What it finds is the machine's; its own tests look at that.
    ("init nosuch", 1, PROBLEM),
    ("doctor --nosuch", 2, PROBLEM),
    ("deploy /nonexistent", 1, PROBLEM),
    ("completions bash", 0, Object(&["shell", "script"])),
    ("store check", 0, Object(&["problems", "documents", "journal_entries", "snapshots"])),
    ("store snapshot", 0, Object(&["path", "time", "revision", "bytes"])),
    ("store restore --list", 0, List),
    ("store restore", 1, PROBLEM),
    ("up --http 127.0.0.1:0 --api 127.0.0.1:0", 1, PROBLEM),
    ("server", 1, PROBLEM),
    ("runner", 1, PROBLEM),
    ("nosuch", 2, PROBLEM),
    ("down", 0, Object(&["state"])),
];

/// Checks the whole of standard output.
fn check(outcome: &Outcome, form: Form) {
    let text = &outcome.stdout;
    assert!(text.ends_with('\n'), "{outcome}");
    let parse = |text: &str| -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?} of {outcome}"))
    };
    match form {
        Object(fields) => {
            let value = parse(text);
            for field in fields {
                assert!(value.get(field).is_some(), "{field} is missing in {outcome}");
            }
        }
        List => assert!(parse(text).is_array(), "{outcome}"),
        Stream => assert!(text.lines().all(|line| parse(line).is_object()), "{outcome}"),
    }
}

/// The verbs that a help text lists.
fn verbs(arguments: &[&str]) -> Vec<String> {
    let help = Program::new(TANDEM).arguments(arguments).arguments(["--help"]).run().expect_success().stdout;
    let Some((_, commands)) = help.split_once("Commands:\n") else { return Vec::new() };
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().expect("a verb").to_owned()).collect()
}

#[test]
fn the_table_of_verbs_is_complete() {
    let mut expected = BTreeSet::new();
    for verb in verbs(&[]).into_iter().filter(|verb| verb != "help") {
        let below: Vec<_> = verbs(&[&verb]).into_iter().filter(|below| below != "help").collect();
        match below.is_empty() {
            true => drop(expected.insert(verb)),
            false => expected.extend(below.iter().map(|below| format!("{verb} {below}"))),
        }
    }
    assert!(expected.len() > 20, "{expected:?}");
    let missing = expected.iter().filter(|verb| !TABLE.iter().any(|(line, ..)| line.starts_with(*verb)));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0], "verbs without a row");
}

#[test]
fn every_verb_answers_with_one_value_and_nothing_else() {
    let (mut installation, folder) = with_plain();
    let path = folder.path().to_str().expect("a plain path").to_owned();
    check(&installation.tandem(["deploy", &path, "--json"]).expect_success(), ROLLOUT);
    for (line, code, form) in TABLE {
        let target = if line.starts_with("up ") { &[][..] } else { &["--app", "plain"] };
        let words = line.split(' ').chain(target.iter().copied()).chain(["--json"]);
        check(&installation.tandem(words).expect_code(*code), *form);
    }
    installation.wait_for_end();
    installation.finish();
}

/// Starts a verb that goes on, waits for lines on its standard output and gives them back.
fn beginning(installation: &Installation, words: &[&str]) -> Outcome {
    let output = installation.data().root().join("../stream");
    let shell = ["-c", "exec \"$@\" 2>/dev/null", "sh", TANDEM];
    let program = Program::new("sh").arguments(shell).arguments(words).arguments(["--json", "--data"]);
    let program = program.arguments([installation.data().root()]).unset("TANDEM_SERVER");
    let _running = program.output(&output).start();
    let stdout = eventually("a whole line comes", || {
        let text = std::fs::read_to_string(&output).ok()?;
        text.ends_with('\n').then_some(text)
    });
    std::fs::remove_file(&output).expect("it was just read");
    Outcome { line: words.join(" "), code: None, stdout, stderr: String::new() }
}

#[test]
fn what_goes_on_prints_one_object_a_line() {
    let (mut installation, _folder) = with_plain();
    check(&beginning(&installation, &["logs", "-f", "--app", "plain"]), Stream);
    check(&beginning(&installation, &["journal", "-f"]), Stream);
    let _ = installation.tandem(["down"]).expect_success();
    installation.wait_for_end();
    let up = ["up", "--http", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    check(&beginning(&installation, &up), Object(&["http", "api", "socket"]));
    installation.finish();
}
