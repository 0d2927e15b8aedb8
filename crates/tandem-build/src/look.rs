//! Looking into a finished build.

use std::collections::{BTreeMap, BTreeSet};

use tandem_blobs::BlobStore;
use tandem_blobs::store::Error;
use tandem_types::Digest;
use tandem_types::build::{Build, Subtree};
use tandem_types::tree::Entry;

use crate::recipe::APP;

/// Absolute path of the interpreter that links in the dependencies may target.
#[must_use]
pub fn interpreter_path(build: &Build) -> Option<&str> {
    // The data folder, and with it Tandem's own interpreters, may have a space in its path.
    let text = build.interpreter.as_deref()?;
    text.find('/').map(|start| &text[start..])
}

/// URL prefix → root tree of the files that the balancer serves under it. Folders that are not there are left out; the
/// build has warned of them.
///
/// # Errors
/// A folder's listing is missing or damaged.
pub fn static_trees(build: &Build, store: &BlobStore) -> Result<BTreeMap<String, Digest>, Error> {
    let mut trees = BTreeMap::new();
    for (prefix, folder) in &build.spec.static_folders {
        let Some((part, rest)) = part_with(build, folder) else { continue };
        if let Some(Entry::Folder { digest }) = store.lookup(&part.tree, &rest)? {
            trees.insert(prefix.clone(), digest);
        }
    }
    Ok(trees)
}

/// Roots of the parts in which [`static_trees`] looks: what must stay of a build so that its static files can be named.
#[must_use]
pub fn static_parts(build: &Build) -> BTreeSet<Digest> {
    let folders = build.spec.static_folders.values();
    folders.filter_map(|folder| Some(part_with(build, folder)?.0.tree)).collect()
}

/// The part that a folder of the app lies in, and the path of the folder in it.
fn part_with<'b>(build: &'b Build, folder: &str) -> Option<(&'b Subtree, String)> {
    let path = format!("{APP}/{folder}");
    let below = |mount: &str| {
        Some(path.strip_prefix(mount)?.to_owned()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let parts = build.subtrees.iter().filter_map(|part| Some((part, below(&part.mount)?)));
    parts.max_by_key(|(part, _)| part.mount.len())
}
