//! What is in a commit, as git lists it: submodules, and where they come from.

use std::collections::BTreeMap;

/// A submodule of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Submodule {
    /// Where it is in the source.
    pub(super) path: String,
    /// Its commit.
    pub(super) commit: String,
    /// As `.gitmodules` has it, perhaps relative; none where that does not name it.
    pub(super) url: Option<String>,
}

/// Submodules of a commit, from `git ls-tree -r -z` and `git config -z --list` of its `.gitmodules`. A path that is not
/// UTF-8 is none that could be deployed anyway.
pub(super) fn submodules(tree: &[u8], modules: &[u8]) -> Vec<Submodule> {
    let urls = urls(modules);
    let links = tree.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    let links = links.filter_map(|entry| {
        let (about, path) = entry.split_once('\t')?;
        let mut words = about.split(' ');
        let (mode, _, commit) = (words.next()?, words.next()?, words.next()?);
        (mode == "160000").then(|| (path.to_owned(), commit.to_owned()))
    });
    links.map(|(path, commit)| Submodule { url: urls.get(&path).cloned(), path, commit }).collect()
}

/// Path → URL. Entries are `KEY\nVALUE\0`; the key is `submodule.NAME.path` or `submodule.NAME.url`.
fn urls(modules: &[u8]) -> BTreeMap<String, String> {
    let (mut paths, mut urls) = (BTreeMap::new(), BTreeMap::new());
    for entry in modules.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok()) {
        let Some((key, value)) = entry.split_once('\n') else { continue };
        let Some(key) = key.strip_prefix("submodule.") else { continue };
        if let Some(name) = key.strip_suffix(".path") {
            paths.insert(name.to_owned(), value.trim_end_matches('/').to_owned());
        } else if let Some(name) = key.strip_suffix(".url") {
            urls.insert(name.to_owned(), value.to_owned());
        }
    }
    paths.into_iter().filter_map(|(name, path)| Some((path, urls.remove(&name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_are_found_by_their_paths_whatever_they_are_called() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let tree = format!(
            "100644 blob {a}\tREADME.md\u{0}160000 commit {a}\tvendor/a b\u{0}160000 commit {b}\tlost\u{0}"
        );
        let modules = "submodule.lib.v2.path\nvendor/a b/\u{0}submodule.lib.v2.url\n../lib.git\u{0}\
            submodule.lib.v2.update\n!id\u{0}";
        let found = submodules(tree.as_bytes(), modules.as_bytes());
        let expected = [
            Submodule { path: "vendor/a b".to_owned(), commit: a, url: Some("../lib.git".to_owned()) },
            Submodule { path: "lost".to_owned(), commit: b, url: None },
        ];
        assert_eq!(found, expected);
    }
}
