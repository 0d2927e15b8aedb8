//! The table of moments and outcomes, for people and, as JSON lines, for whoever measures.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::case::Case;
use super::victim::Victim;

/// Names the file to which each line of the table is appended as JSON.
const FILE: &str = "TANDEM_KILL_MATRIX";

/// A case and what came of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    operation: String,
    moment: String,
    victim: String,
    outcome: String,
    /// Requests to the app that failed from the begin to the end of the case.
    lost: usize,
    /// How long the case took, with all questions, in milliseconds.
    took_ms: u128,
}

impl Line {
    pub(super) fn new(case: Case, outcome: String, (lost, took): (usize, Duration)) -> Self {
        let name = |value: &dyn std::fmt::Debug| format!("{value:?}");
        let (operation, victim) = (name(&case.operation), name(&case.victim));
        let moment = case.moment.to_string();
        let line = Self { operation, moment, victim, outcome, lost, took_ms: took.as_millis() };
        // At once: where a later case fails, the table so far is worth something.
        say(&format!(
            "{:<14} {:<22} {:<13} {:<10} lost {:<3} {:>6} ms",
            line.operation, line.moment, line.victim, line.outcome, line.lost, line.took_ms
        ));
        line
    }

    /// Whether this one was to be killed.
    pub(super) fn is_of(&self, victim: Victim) -> bool {
        self.victim == format!("{victim:?}")
    }

    /// Whether something was killed.
    pub(super) fn has_killed(&self) -> bool {
        !["no such victim", "moment never came"].contains(&self.outcome.as_str())
    }
}

/// Proves that most cases had their victim: a survey saw each at its point, so that one which is not there is chance.
pub(super) fn expect_most_killed(lines: &[Line]) {
    let killed = lines.iter().filter(|line| line.has_killed()).count();
    assert!(killed * 10 >= lines.len() * 9, "only {killed} of {} cases had their victim", lines.len());
}

/// Prints the count of each outcome with what was lost, and appends the lines to the file that the environment names.
pub(super) fn tell(lines: &[Line]) {
    let mut counts: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    for line in lines {
        let (count, lost) = counts.entry((&line.victim, &line.outcome)).or_default();
        (*count, *lost) = (*count + 1, *lost + line.lost);
    }
    for ((victim, outcome), (count, lost)) in counts {
        say(&format!("{count:>5} {victim:<13} {outcome:<18} lost {lost}"));
    }
    let took: u128 = lines.iter().map(|line| line.took_ms).sum();
    say(&format!("{:>5} cases, {} s", lines.len(), took / 1_000));
    let Some(file) = std::env::var_os(FILE) else { return };
    let file = OpenOptions::new().create(true).append(true).open(file);
    let mut file = file.expect("the file for the table can be opened");
    for line in lines {
        let text = serde_json::to_string(line).expect("a line is plain JSON");
        writeln!(file, "{text}").expect("the file for the table takes lines");
    }
}

/// Writes a line for whoever looks at the test's output.
#[expect(
    clippy::print_stdout,
    reason = "the table is what the test is run for; the test runner keeps it apart"
)]
pub(super) fn say(text: &str) {
    println!("{text}");
}
