//! The table of moments and outcomes, for people and, as JSON lines, for whoever measures.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;

use serde::Serialize;

use super::case::{Case, Moment};
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
}

impl Line {
    pub(super) fn new(case: Case, outcome: String) -> Self {
        let moment = match case.moment {
            Moment::At(point) => point.to_string(),
            Moment::Sight => "seen".to_owned(),
            Moment::After(time) => format!("after {} ms", time.as_millis()),
        };
        let name = |value: &dyn std::fmt::Debug| format!("{value:?}");
        let line = Self { operation: name(&case.operation), moment, victim: name(&case.victim), outcome };
        // At once: where a later case fails, the table so far is worth something.
        say(&format!("{:<14} {:<22} {:<13} {}", line.operation, line.moment, line.victim, line.outcome));
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

/// Prints the count of each outcome, and appends the lines to the file that the environment names.
pub(super) fn tell(lines: &[Line]) {
    let mut count: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in lines {
        *count.entry((&line.victim, &line.outcome)).or_default() += 1;
    }
    for ((victim, outcome), count) in count {
        say(&format!("{count:>5} {victim:<13} {outcome}"));
    }
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
