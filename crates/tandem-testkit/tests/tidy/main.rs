//! The tidy test: what reviewers would otherwise have to remember. Each rule says what to do instead.
//!
//! The checks are functions over text, tried on bad examples beside them; here they run over the whole work tree.

mod arrows;
mod budgets;
mod documents;
mod formats;
mod modules;
mod sources;
mod work_tree;

use work_tree::WorkTree;

/// Fails with one problem a line.
fn expect_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} to mend:\n  {}", problems.len(), problems.join("\n  "));
}

#[test]
fn crates_import_only_what_the_table_allows() {
    expect_none(arrows::problems(&WorkTree::open().manifests()));
}

#[test]
fn crates_and_the_whole_build_stay_within_their_budgets() {
    let tree = WorkTree::open();
    expect_none(budgets::line_problems(&tree.lines_by_crate()));
    expect_none(budgets::build_problems(&tree.crates_built_for_linux()));
}

#[test]
fn rust_files_keep_the_rules_of_style() {
    let sources = WorkTree::open().files_with("rs");
    assert!(sources.len() > 20, "the work tree was not found: {} Rust files", sources.len());
    expect_none(sources.iter().flat_map(|file| sources::problems(&file.path, &file.text)).collect());
}

#[test]
fn every_rust_file_belongs_to_a_module() {
    let sources = WorkTree::open().files_with("rs");
    expect_none(modules::orphans(sources.iter().map(|file| (file.path.as_str(), file.text.as_str()))));
}

#[test]
fn what_is_stored_stays_readable_as_it_was() {
    let tree = WorkTree::open();
    let sources = tree.files_with("rs");
    let sources = sources.iter().map(|file| (file.path.as_str(), file.text.as_str()));
    expect_none(formats::kinds_without_file(sources, |path| tree.has(path.as_ref())));
    let list = formats::list_of_generation(&tree.text(formats::VERSION));
    expect_none(formats::problems((&list, &tree.text(&list)), &tree.golden_files()));
}

#[test]
fn documents_lead_where_they_say() {
    let tree = WorkTree::open();
    let documents = tree.files_with("md");
    expect_none(documents.iter().flat_map(|file| documents::broken_links(&tree, file)).collect());
    expect_none(documents::numbering_problems(&tree.names_in("docs/decisions"), 3));
    expect_none(documents::numbering_problems(&tree.names_in("notes/unreleased"), 4));
}
