//! Builds that were here lately: what a rollback is most likely to ask for. Their blobs stay in the cache after their trees
//! have gone, so that a cold rollback costs links and not a transfer.
//!
//! Only a hint. The server has everything that a kept release needs, so the file may be lost, and is not synced.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tandem_kit::files;
use tandem_types::{AppName, Digest, defaults};

use crate::board::BuildKey;

/// Builds remembered of an app: those that roll back, the one that serves, and one that is coming.
const MOST: usize = defaults::KEEP_RELEASES + 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Recent {
    file: PathBuf,
    /// The latest first.
    builds: BTreeMap<AppName, Vec<Trees>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Trees {
    trees: std::collections::BTreeSet<Digest>,
}

impl Recent {
    /// What an earlier process remembered; nothing where that cannot be read.
    pub(super) fn read(file: PathBuf) -> Self {
        let builds = files::read_json(&file).unwrap_or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "which builds were here lately is forgotten"
            );
            None
        });
        Self { file, builds: builds.unwrap_or_default() }
    }

    /// Notes that these builds are needed now.
    pub(super) fn note<'a>(&mut self, needed: impl IntoIterator<Item = &'a BuildKey>) {
        let mut changed = false;
        for BuildKey { app, trees, .. } in needed {
            let builds = self.builds.entry(app.clone()).or_default();
            let known = builds.iter().position(|build| build.trees == *trees);
            // The order among those needed at the same time means nothing.
            if known.is_some_and(|place| place < MOST / 2) {
                continue;
            }
            let build = known.map_or_else(|| Trees { trees: trees.clone() }, |place| builds.remove(place));
            builds.insert(0, build);
            builds.truncate(MOST);
            changed = true;
        }
        if changed && let Err(error) = self.write() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not note which builds were here lately"
            );
        }
    }

    /// Their trees.
    pub(super) fn trees(&self) -> Vec<Digest> {
        self.builds.values().flatten().flat_map(|build| &build.trees).copied().collect()
    }

    fn write(&self) -> Result<(), files::Error> {
        let text = serde_json::to_vec(&self.builds).expect("names and digests are always JSON");
        files::write_atomic_unsynced(&self.file, &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use tandem_types::BuildNumber;

    use super::*;

    fn build(number: u64) -> BuildKey {
        let trees = [Digest([u8::try_from(number).unwrap(); 32])].into();
        BuildKey { app: "shop".parse().unwrap(), number: BuildNumber(number), trees }
    }

    fn numbers(recent: &Recent) -> Vec<u8> {
        recent.trees().iter().map(|tree| tree.0[0]).collect()
    }

    #[test]
    fn the_latest_builds_are_remembered_over_restarts_and_those_that_come_again_count_as_new() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recent.json");
        let mut recent = Recent::read(file.clone());
        (1..=9).for_each(|number| recent.note(&[build(number)]));
        assert_eq!(numbers(&recent), [9, 8, 7, 6, 5, 4, 3]);
        let mut recent = Recent::read(file.clone());
        recent.note(&[build(3), build(9)]);
        assert_eq!(numbers(&recent), [3, 9, 8, 7, 6, 5, 4]);
        files::write_atomic_unsynced(&file, b"[]", 0o600).unwrap();
        assert!(numbers(&Recent::read(file)).is_empty(), "a damaged file costs a transfer and no more");
    }

    #[test]
    fn the_form_of_the_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("recent.json");
        let golden = include_str!("../tests/golden/recent.json").trim_end();
        files::write_atomic_unsynced(&file, golden.as_bytes(), 0o600).unwrap();
        let recent = Recent::read(file.clone());
        assert_eq!(numbers(&recent), [0x33, 0x44, 0x33]);
        recent.write().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), golden);
    }
}
