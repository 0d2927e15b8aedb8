//! What the releases of the last snapshots need. Who puts a snapshot back must find the builds that could be rolled back to
//! when it was taken, however many deploys came since. Only of those that are taken by the hour: who takes one by hand or
//! before an upgrade is another process (decision 015).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tandem_kit::files;
use tandem_types::Digest;

use super::live_roots;
use crate::shared::Shared;

/// Snapshots remembered: the last one, and the one before while that is being written.
const REMEMBERED: usize = 2;

/// Notes that a snapshot was taken just now, and what was needed before that began: a release forgotten meanwhile may be in
/// it. Blocks on the disk.
pub(crate) fn note_snapshot(shared: &Shared, before: Vec<Digest>) {
    let file = file(&shared.root);
    let mut all = read(&file);
    let needed: BTreeSet<_> = shared.look(live_roots).into_iter().chain(before).collect();
    all.insert(0, needed.into_iter().collect());
    all.truncate(REMEMBERED);
    if let Err(error) = files::write_json(&file, &all, 0o600) {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(
            error,
            "could not note what the snapshot needs: some of its builds may go before it does"
        );
    }
}

/// Trees that the last snapshots need.
pub(super) fn pinned(root: &Path) -> BTreeSet<Digest> {
    read(&file(root)).into_iter().flatten().collect()
}

fn read(file: &Path) -> Vec<Vec<Digest>> {
    let read = files::read_json(file).unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "what snapshots need is forgotten");
        None
    });
    read.unwrap_or_default()
}

fn file(root: &Path) -> PathBuf {
    root.join("snapshot-roots.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_the_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let golden = include_str!("../golden/snapshot-roots.json").trim_end();
        files::write_atomic_unsynced(&file(folder.path()), golden.as_bytes(), 0o600).unwrap();
        let all = read(&file(folder.path()));
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(pinned(folder.path()), BTreeSet::from([Digest([0x33; 32]), Digest([0x44; 32])]));
        assert_eq!(serde_json::to_string(&all).unwrap(), golden);
    }
}
