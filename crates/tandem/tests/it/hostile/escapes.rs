//! Every try is refused to the app, and gets in as root outside of the sandbox: a try that never works says nothing.

use std::collections::BTreeMap;

use serde_json::Value;
use tandem_testkit::app_folder::repository;
use tandem_testkit::program::Program;

use super::context::Context;
use super::{HOSTILE, ask, installation, tell};
use crate::needs::{Need, are_met};

/// All that there are, each made in the sandbox and outside of it: fewer would mean that some were lost on the way.
const TRIES: usize = 142;
/// What a kernel lacks cannot be reached outside either.
const ABSENT: [&str; 5] = ["ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "EADDRNOTAVAIL", "ENODEV"];

#[test]
fn nothing_that_a_hostile_app_tries_gets_it_anywhere() {
    if cfg!(not(target_arch = "x86_64")) {
        return tell("left out: the tries use numbers of calls of x86-64");
    }
    if !are_met(&[Need::Isolation]) {
        return;
    }
    let installation = installation();
    let context = Context::of(&installation);
    let site = installation.site(HOSTILE);
    let inside = ask(&site, "/try/all", &context.inside);
    let inside: BTreeMap<String, String> = serde_json::from_value(inside).expect("a text for each try");
    let outside = controls(&context.outside);
    let mut wrong = Vec::new();
    for (name, outcome) in &inside {
        let control = outside.get(name).map_or("broken: it has no control", String::as_str);
        tell(&format!("{name:45} | {:40} | {}", short(outcome), short(control)));
        if !outcome.starts_with("refused: ") {
            wrong.push(format!("{name} in the sandbox: {outcome}"));
        }
        let works = control.starts_with("got in: ") || control.starts_with("alone: ");
        if !works && !ABSENT.iter().any(|error| control.starts_with(&format!("refused: {error} "))) {
            wrong.push(format!("{name} outside of it: {control}"));
        }
    }
    tell(&format!("{} tries", inside.len()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((inside.len(), outside.len()), (TRIES, TRIES));
    installation.finish();
}

/// The same tries as root, without a sandbox.
fn controls(context: &Value) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("context.json");
    tandem_kit::files::write_json(&file, context, 0o600).expect("there is room");
    let hostile = repository().join("crates/tandem-testkit/fixtures/hostile");
    let python = Program::new("/usr/bin/python3").arguments(["-B", "-m", "tries"]).arguments([&file]);
    let output = python.folder(&hostile).run().expect_success().stdout;
    let lines = output.lines().filter_map(|line| line.strip_prefix("TRY ")?.split_once(' '));
    lines.map(|(name, outcome)| (name.to_owned(), outcome.to_owned())).collect()
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
