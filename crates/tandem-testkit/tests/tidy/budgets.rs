//! Budgets: how much there may be before somebody must ask whether it belongs.

use std::collections::{BTreeMap, BTreeSet};

/// Crates that a build for Linux compiles, ours included: a clean build on two cores stays bearable.
const CRATES: usize = 380;
/// Lines of `tandem-types`: words, no logic.
const LINES_OF_TYPES: usize = 6_000;
/// Lines of any other crate, tests included: more is two crates. What is in a folder `tests` counts as one of its own.
const LINES: usize = 15_000;

/// Crates that have grown too large.
pub(crate) fn line_problems(lines: &BTreeMap<String, usize>) -> Vec<String> {
    let limit = |folder: &str| if folder == "tandem-types" { LINES_OF_TYPES } else { LINES };
    lines
        .iter()
        .filter(|(folder, lines)| **lines > limit(folder))
        .map(|(folder, lines)| format!("{folder}: {lines} lines, {} allowed", limit(folder)))
        .collect()
}

/// Too many crates in the build.
pub(crate) fn build_problems(crates: &BTreeSet<String>) -> Vec<String> {
    let excess = crates.len() > CRATES;
    let text = || format!("the build has {} crates, {CRATES} allowed; see `cargo tree`", crates.len());
    excess.then(text).into_iter().collect()
}

#[test]
fn a_budget_that_is_used_up_is_found() {
    let lines = BTreeMap::from([("tandem-types".to_owned(), 6_001), ("tandem-kit".to_owned(), 6_001)]);
    assert_eq!(line_problems(&lines), ["tandem-types: 6001 lines, 6000 allowed"]);
    let crates = (0..=CRATES).map(|number| format!("crate{number} v1.0.0")).collect();
    assert_eq!(build_problems(&crates).len(), 1);
}
