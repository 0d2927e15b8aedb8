//! Finds where the static files of builds are, once per build: the rules know documents and not what is in trees.
//!
//! A build whose files cannot be found serves none for now. That is told once, and tried again after a minute and not at
//! each look, of which there are many in a second; only the build that is about to take the traffic is looked into each time,
//! so that a disk that failed for a moment does not cost a release its files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tandem_kit::tasks;
use tandem_rules::retention;
use tandem_rules::table::StaticTrees;
use tandem_rules::world::{World, later};
use tandem_types::build::Build;
use tandem_types::release::Release;
use tandem_types::{Digest, Span, Timestamp};

use crate::shared::Shared;

/// URL prefix → root tree of one build.
type Found = Arc<BTreeMap<String, Digest>>;

/// Builds remembered at most; far more than are in use at a time, and finding them again costs some milliseconds each.
const MOST_KNOWN: usize = 1_000;
/// Time after which a build is looked into again that could not be.
const LOOK_AGAIN: Span = Span::seconds(60);

/// What was found so far, by the digest of the build: what it names never changes, while a number is used again by the
/// next app of the same name.
#[derive(Default)]
pub(super) struct StaticFiles {
    known: Mutex<BTreeMap<Digest, Known>>,
}

/// What is known of a build.
#[derive(Clone)]
enum Known {
    Trees(Found),
    /// Its parts are gone or cannot be read.
    Nothing {
        until: Timestamp,
    },
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
            let goal = world.rollouts.iter().any(|rollout| rollout.build == Some(number));
            trees.insert(number, self.of(shared, build, goal).await);
        }
        world.static_trees = trees;
    }

    /// The trees of a build, which is the `goal` of a rollout or is not.
    async fn of(&self, shared: &Arc<Shared>, build: Arc<Build>, goal: bool) -> Found {
        let (key, now) = (build.digest, shared.now());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        match &known {
            Some(Known::Trees(found)) => return Arc::clone(found),
            Some(Known::Nothing { until }) if now < *until && !goal => return Found::default(),
            Some(Known::Nothing { .. }) | None => {}
        }
        let name = format!("{} {}", build.app, build.number);
        let (builder, blobs) = (Arc::clone(&shared.builder), shared.blobs.clone());
        let look = move || builder.static_trees(&build, &blobs);
        match tasks::blocking("find static files", look).await {
            Ok(found) => {
                let found = Arc::new(found);
                self.remember(key, Known::Trees(Arc::clone(&found)));
                found
            }
            Err(problem) => {
                if known.is_none() {
                    tracing::warn!(
                        "{name} serves no static files, the app is asked instead: {}",
                        problem.title
                    );
                }
                self.remember(key, Known::Nothing { until: later(now, LOOK_AGAIN) });
                Found::default()
            }
        }
    }

    fn remember(&self, build: Digest, known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_KNOWN {
            all.clear();
        }
        all.insert(build, known);
    }
}

fn is_named(world: &World, release: &Release, now: Timestamp) -> bool {
    world.environment.current == Some(release.number)
        || world.rollouts.iter().any(|rollout| rollout.to == Some(release.number))
        || retention::is_served_besides(release, now)
}
