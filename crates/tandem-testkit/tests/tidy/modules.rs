//! Rust files that no module declares: the compiler never reads them, so nothing else finds them.

use std::collections::BTreeMap;

/// Files of crates that nobody declares. `files` are paths from the root with their content.
pub(crate) fn orphans<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let files: BTreeMap<_, _> = files.filter(|(path, _)| path.starts_with("crates/")).collect();
    let orphans = files.keys().filter(|path| !is_root(path) && !is_declared(path, &files));
    orphans.map(|path| format!("{path}: no `mod` leads here; declare it or delete it")).collect()
}

/// What cargo compiles by itself.
fn is_root(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = folder.rsplit('/').next().unwrap_or_default();
    matches!(name, "lib.rs" | "main.rs" | "build.rs")
        || matches!(folder, "tests" | "bin" | "benches" | "examples") && !path.contains("/src/tests/")
}

fn is_declared(path: &str, files: &BTreeMap<&str, &str>) -> bool {
    let module = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or(path);
    let Some((folder, name)) = module.rsplit_once('/') else { return false };
    let declares = |line: &str| {
        line.trim_end().strip_suffix(';').is_some_and(|line| line.ends_with(&format!("mod {name}")))
    };
    let parents = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"].map(|end| format!("{folder}{end}"));
    parents.iter().filter_map(|parent| files.get(parent.as_str())).any(|text| text.lines().any(declares))
}

#[test]
fn only_what_is_declared_is_kept() {
    let files = [
        ("crates/a/src/lib.rs", "pub mod kept;\n    mod folder;\n"),
        ("crates/a/src/kept.rs", "mod below;"),
        ("crates/a/src/kept/below.rs", ""),
        ("crates/a/src/kept/left.rs", ""),
        ("crates/a/src/folder/mod.rs", "#[cfg(test)]\nmod tests;"),
        ("crates/a/src/folder/tests.rs", ""),
        ("crates/a/src/lost.rs", "mod below;"),
        ("crates/a/tests/it.rs", ""),
    ];
    let orphans = orphans(files.into_iter());
    assert_eq!(orphans.len(), 2, "{orphans:?}");
    assert!(
        orphans[0].starts_with("crates/a/src/kept/left.rs") && orphans[1].starts_with("crates/a/src/lost.rs")
    );
}
