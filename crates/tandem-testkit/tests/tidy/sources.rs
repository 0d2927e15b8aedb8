//! Rules for each Rust file that no lint of the compiler covers.

/// Longest file.
const MOST_LINES: usize = 400;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 4] = ["utils", "helpers", "manager", "common"];

/// What is wrong with one file.
pub(crate) fn problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems.push(format!("{path}: begin with `//!`: what the file is for and what it leaves to others"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        problems.push(format!("{path}: {lines} lines, {MOST_LINES} allowed; split it by state or by verb"));
    }
    if let Some(name) = empty_name(path) {
        problems.push(format!("{path}: {name:?} says nothing; call the module after what it does"));
    }
    for (number, line) in text.lines().enumerate() {
        problems.extend(line_problem(line).map(|problem| format!("{path}:{}: {problem}", number + 1)));
    }
    problems
}

fn empty_name(path: &str) -> Option<&str> {
    let stem = |part: &str| EMPTY_NAMES.contains(&part.strip_suffix(".rs").unwrap_or(part));
    path.split('/').find(|part| stem(part))
}

fn line_problem(line: &str) -> Option<&'static str> {
    let code = line.trim_start();
    if code.starts_with("#[allow") || code.starts_with("#![allow") {
        return Some("write `#[expect(…, reason = …)]`: it complains when it is no longer needed");
    }
    if code.starts_with("#[ignore") {
        return Some("a test that does not run does not test; mend it or delete it");
    }
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let marked = code.contains("//") && marks.iter().any(|mark| code.contains(mark));
    marked.then_some("finish it now, or say in the issue what is missing")
}

#[test]
fn each_rule_finds_its_breach() {
    let good = "//! A file.\n\n#[expect(dead_code, reason = \"an example\")]\nfn f() {}\n";
    assert!(problems("crates/tandem-kit/src/clock.rs", good).is_empty());
    let long = format!("//! Long.\n{}", "\n".repeat(MOST_LINES));
    for (path, text, why) in [
        ("a.rs", "fn f() {}", "begin with"),
        ("a.rs", long.as_str(), "split it"),
        ("src/utils.rs", good, "says nothing"),
        ("src/helpers/mod.rs", good, "says nothing"),
        ("a.rs", "//! A.\n    #[allow(dead_code)]", "a.rs:2: write `#[expect"),
        ("a.rs", "//! A.\n#[ignore = \"slow\"]", "does not test"),
        ("a.rs", concat!("//! A.\n// TO", "DO later"), "finish it"),
    ] {
        let found = problems(path, text);
        assert!(found.iter().any(|problem| problem.contains(why)), "{path} {why}: {found:?}");
    }
}
