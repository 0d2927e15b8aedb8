//! Looking into a finished build.

use std::collections::BTreeMap;

use tandem_blobs::BlobStore;
use tandem_blobs::store::Error;
use tandem_types::Digest;
use tandem_types::build::Build;
use tandem_types::tree::Entry;

use crate::recipe::APP;

/// Absolute path of the interpreter that links in the dependencies may target.
#[must_use]
pub fn interpreter_path(build: &Build) -> Option<&str> {
    build.interpreter.as_deref()?.split_whitespace().next_back()
}

/// URL prefix → root tree of the files that the balancer serves under it. Folders that are not there are left out; the
/// build has warned of them.
///
/// # Errors
/// A folder's listing is missing or damaged.
pub fn static_trees(build: &Build, store: &BlobStore) -> Result<BTreeMap<String, Digest>, Error> {
    let mut trees = BTreeMap::new();
    for (prefix, folder) in &build.spec.static_folders {
        let path = format!("{APP}/{folder}");
        let below = |mount: &str| {
            Some(path.strip_prefix(mount)?.to_owned()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let innermost = build
            .subtrees
            .iter()
            .filter_map(|part| Some((part, below(&part.mount)?)))
            .max_by_key(|(part, _)| part.mount.len());
        let Some((part, rest)) = innermost else { continue };
        if let Some(Entry::Folder { digest }) = store.lookup(&part.tree, &rest)? {
            trees.insert(prefix.clone(), digest);
        }
    }
    Ok(trees)
}
