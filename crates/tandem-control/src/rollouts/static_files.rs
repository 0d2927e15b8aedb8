//! Finds where the static files of builds are, once per build: the rules know documents and not what is in trees.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tandem_kit::tasks;
use tandem_rules::table::StaticTrees;
use tandem_rules::world::{World, later};
use tandem_types::build::Build;
use tandem_types::release::Release;
use tandem_types::{Digest, ReleaseNumber, Timestamp, defaults};

use crate::shared::Shared;

/// URL prefix → root tree of one build.
type Found = Arc<BTreeMap<String, Digest>>;

/// Builds remembered at most; far more than are in use at a time, and finding them again costs some milliseconds each.
const MOST_KNOWN: usize = 1_000;

/// What was found so far, by the digest of the build: what it names never changes, while a number is used again by the
/// next app of the same name.
#[derive(Default)]
pub(super) struct StaticFiles {
    known: Mutex<BTreeMap<Digest, Found>>,
}

impl StaticFiles {
    /// Fills in the world's static trees for the releases that may be named in a table made of it.
    pub(super) async fn fill_in(&self, shared: &Arc<Shared>, world: &mut World) {
        let now = shared.now();
        let releases = world.releases.values().filter(|release| is_named(world, release, now));
        let builds = releases.filter_map(|release| world.builds.get(&release.build));
        let builds: Vec<_> = builds.filter(|build| !build.spec.static_folders.is_empty()).cloned().collect();
        let mut trees = StaticTrees::new();
        for build in builds {
            let number = build.number;
            trees.insert(number, self.of(shared, build).await);
        }
        world.static_trees = trees;
    }

    async fn of(&self, shared: &Arc<Shared>, build: Arc<Build>) -> Found {
        let key = build.digest;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let shared = Arc::clone(shared);
        let look = move || shared.builder.static_trees(&build, &shared.blobs);
        // Parts that are gone serve nothing for now; the builder has said so in the log.
        let Ok(found) = tasks::blocking("find static files", look).await.map(Arc::new) else {
            return Found::default();
        };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_KNOWN {
            all.clear();
        }
        Arc::clone(all.entry(key).or_insert(found))
    }
}

fn is_named(world: &World, release: &Release, now: Timestamp) -> bool {
    let lately = |lost: Timestamp| later(lost, defaults::STATIC_KEPT) > now;
    let goal = |number: ReleaseNumber| world.rollouts.iter().any(|rollout| rollout.to == Some(number));
    world.environment.current == Some(release.number)
        || goal(release.number)
        || release.lost_traffic.is_some_and(lately)
}
