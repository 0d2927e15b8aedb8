//! Formats: every stored kind has a golden file, and no golden file of what is stored changes within a generation of data
//! folders. What is only sent (`golden/sent`) may grow.

use std::collections::BTreeMap;

/// Where the generation is counted.
pub(crate) const VERSION: &str = "crates/tandem-kit/src/version.rs";
/// Where golden files of kinds lie.
const KINDS: &str = "crates/tandem-types/src/golden";

/// The list of the present generation, as a path from the root.
pub(crate) fn list_of_generation(version: &str) -> String {
    let generation = version.lines().find_map(|line| line.strip_prefix("const GENERATION: u32 = "));
    let generation = generation.expect("the generation is counted there").trim_end_matches(';');
    format!("crates/tandem-kit/src/stamp/generation-{generation}.txt")
}

/// Kinds that no golden file has. `sources` are paths with their content.
pub(crate) fn kinds_without_file<'a>(
    sources: impl Iterator<Item = (&'a str, &'a str)>,
    exists: impl Fn(&str) -> bool,
) -> Vec<String> {
    let lines = sources.filter(|(path, _)| path.starts_with("crates/tandem-types/src/"));
    let lines = lines.flat_map(|(path, text)| text.lines().map(move |line| (path, line)));
    let kinds = lines.filter_map(|(path, line)| {
        let kind = line.trim().strip_prefix("const KIND: &'static str = \"")?.strip_suffix("\";")?;
        Some((path, kind, kind.replace('/', "-")))
    });
    kinds
        .filter(|(_, _, name)| {
            !["stored", "sent"].iter().any(|folder| exists(&format!("{KINDS}/{folder}/{name}.jsonl")))
        })
        .map(|(path, kind, name)| {
            format!("{path}: {kind} has no golden file; write {KINDS}/stored/{name}.jsonl and test it in formats.rs")
        })
        .collect()
}

/// Differences between the golden files of what is stored and the list of the generation.
pub(crate) fn problems(list: (&str, &str), files: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let (list_path, list) = list;
    let listed: BTreeMap<&str, &str> =
        list.lines().filter_map(|line| line.split_once(' ').map(|(sum, path)| (path, sum))).collect();
    let stored = || files.iter().filter(|(path, _)| !path.contains("/golden/sent/"));
    let unlisted = stored().filter(|(path, _)| !listed.contains_key(path.as_str())).map(|(path, content)| {
        format!(
            "{list_path}: `{} {path}` is missing; where it is a new version of something stored, count GENERATION in \
             {VERSION} up and begin the next list with it",
            sum(content)
        )
    });
    let changed = listed
        .iter()
        .filter(|(path, listed)| files.get(**path).is_none_or(|content| sum(content) != **listed));
    let changed = changed.map(|(path, _)| {
        format!("{path}: it is what a version has written, so it stays as it is; add the new form in a file of its own")
    });
    unlisted.chain(changed).collect()
}

/// FNV-1a of 64 bits: tells a change, which is all that is asked of it.
fn sum(content: &[u8]) -> String {
    let sum = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{sum:016x}")
}

#[test]
fn a_changed_a_lost_and_a_new_golden_file_are_found() {
    let files = |pairs: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
        pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    };
    let list = format!("{} a/golden/stored/x-1\n{} a/golden/y", sum(b"x"), sum(b"y"));
    let whole = [("a/golden/stored/x-1", "x"), ("a/golden/y", "y"), ("a/golden/sent/z", "z")];
    assert_eq!(problems(("list", &list), &files(&whole)), [""; 0]);
    let found = problems(("list", &list), &files(&[("a/golden/stored/x-1", "X"), ("a/golden/new", "a")]));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("`af63dc4c8601ec8c a/golden/new` is missing"), "{found:?}");
    assert!(
        found[1].starts_with("a/golden/stored/x-1: ") && found[2].starts_with("a/golden/y: "),
        "{found:?}"
    );
}

#[test]
fn a_kind_without_a_golden_file_is_found() {
    let text = "    const KIND: &'static str = \"thing/2\";";
    let sources = || [("crates/tandem-types/src/thing.rs", text)].into_iter();
    assert_eq!(kinds_without_file(sources(), |path| path.ends_with("golden/stored/thing-1.jsonl")).len(), 1);
    assert_eq!(kinds_without_file(sources(), |path| path.ends_with("golden/sent/thing-2.jsonl")), [""; 0]);
}

#[test]
fn the_list_is_that_of_the_generation() {
    let list = list_of_generation("//! Which.\nconst GENERATION: u32 = 12;\n");
    assert_eq!(list, "crates/tandem-kit/src/stamp/generation-12.txt");
}
