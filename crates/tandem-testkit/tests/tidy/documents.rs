//! Markdown: links that lead somewhere, and numbered records without gaps.

use std::path::{Component, Path, PathBuf};

use crate::work_tree::{File, WorkTree};

/// Links of one document that lead to no file of the work tree.
pub(crate) fn broken_links(tree: &WorkTree, document: &File) -> Vec<String> {
    let folder = Path::new(&document.path).parent().unwrap_or(Path::new(""));
    local_links(&document.text)
        .into_iter()
        .filter(|link| !tree.has(&resolve(folder, link)))
        .map(|link| format!("{}: {link} is not there", document.path))
        .collect()
}

/// Targets of links to other files, without their anchors. Code blocks and links to the world are left out.
fn local_links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            links.extend(links_of_line(line));
        }
    }
    links
}

fn links_of_line(line: &str) -> impl Iterator<Item = String> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty())
        .map(str::to_owned)
}

fn resolve(folder: &Path, link: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in folder.join(link).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path
}

/// Records are called `NNN-title.md`, with `digits` digits, from 1 and without gaps.
pub(crate) fn numbering_problems(names: &[String], digits: usize) -> Vec<String> {
    let expected = |index: usize| format!("{:0digits$}-", index + 1);
    names
        .iter()
        .enumerate()
        .filter(|(index, name)| !name.starts_with(&expected(*index)) || !name.ends_with(".md"))
        .map(|(index, name)| format!("{name}: expected {}<title>.md here", expected(index)))
        .collect()
}

#[test]
fn links_are_found_outside_of_code_only() {
    let text = "See [a](a.md), [b](../b.md#part) and [c](https://example.org/c.md).\n```\n[d](d.md)\n```\n[e](#here)";
    assert_eq!(local_links(text), ["a.md", "../b.md"]);
    assert_eq!(resolve(Path::new("docs/decisions"), "../b.md"), Path::new("docs/b.md"));
}

#[test]
fn a_gap_in_the_numbers_is_found() {
    let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(numbering_problems(&names(&["001-a.md", "002-b.md"]), 3).is_empty());
    assert_eq!(numbering_problems(&names(&["001-a.md", "003-b.md"]), 3).len(), 1);
    assert_eq!(numbering_problems(&names(&["1-a.md"]), 3).len(), 1);
}
