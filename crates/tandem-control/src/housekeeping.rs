//! Removes what nobody can want back: parts of builds that no release rolls back to and no routing table names,
//! sources, old stories.
//!
//! Careful on purpose. What was put or asked for just now, or since an upload or a build under way began, stays, whoever
//! needs it; and where the disk refuses to tell what a live tree names, nothing is removed at all. A live tree of which a
//! listing is gone is told in `status`: it keeps what is left of it, and nothing else from being removed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tandem_blobs::BlobStore;
use tandem_blobs::store::{Error as BlobError, Swept};
use tandem_kit::tasks;
use tandem_rules::retention;
use tandem_store::Transaction;
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::environment::Environment;
use tandem_types::release::Release;
use tandem_types::rollout::Rollout;
use tandem_types::routing::{RoutingDocument, Table};
use tandem_types::{AppName, BuildNumber, Digest, Revision, Span, Timestamp, defaults, keys};

use crate::mirror::{Mirror, Versioned};
use crate::place::Place;
use crate::shared::{Shared, cause};

pub(crate) mod forgetting;
pub(crate) mod lost;
pub(crate) mod pins;
pub(crate) mod room;
mod sessions;
pub(crate) mod snapshots;

/// Time between two looks at the disk and what was put on it.
const EVERY: Duration = Duration::from_secs(60);
/// Looks until a whole round, which measures folders and lets the store forget deletions.
const ROUND: u64 = 10;
/// Steps of forgetting releases in one look, where a store comes from a version that forgot none. As one they would hold up
/// a rollback; at one step a look ten thousand releases would slow everything down for hours.
const MOST_STEPS: usize = 20;
/// Rollouts that one transaction forgets: the same for them.
const ROLLOUTS_AT_ONCE: usize = 100;
/// Sweeps after the last change: what was put is young for the first of them.
const QUIET: u64 = 3;
/// Blobs that nothing names stay this long after they were last put or asked for: from the question what is missing
/// to the rollout that names the source. What is under way for longer, an upload or a build, says so itself. It was an
/// hour once; then a day of work on a small app left megabytes behind it.
const BLOBS_KEPT: Span = Span::minutes(2);

/// See the module.
pub(crate) struct Housekeeping {
    shared: Arc<Shared>,
}

impl Housekeeping {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// A look every minute and a round every ten, for ever. What is listed is bounded by its number and not by how much
    /// comes in ten minutes: hundreds of deploys once did.
    pub(crate) async fn run(self) {
        let (mut before, mut swept) = (None, None);
        self.lay_out_ballast().await;
        self.keep_within_budget().await;
        for look in 1_u64.. {
            tokio::time::sleep(EVERY).await;
            let is_round = look.is_multiple_of(ROUND);
            self.forget_rollouts(defaults::LISTED_ROLLOUTS).await;
            self.forget_sessions().await;
            for _ in 0..MOST_STEPS {
                if !self.forget_releases(defaults::LISTED_RELEASES).await {
                    break;
                }
            }
            if is_round {
                self.keep_within_budget().await;
            }
            // What was put since the last sweep is what may be garbage at the next but one.
            let changed = self.shared.blobs.changes();
            if is_round || swept.is_none_or(|(last, quiet)| last != changed || quiet < QUIET) {
                let quiet = swept.map_or(0, |(last, quiet)| if last == changed { quiet + 1 } else { 0 });
                self.sweep_blobs_since(self.keep_blobs_since()).await;
                swept = Some((changed, quiet));
            }
            self.lay_out_ballast().await;
            if is_round {
                before = self.compact(before).await;
            }
        }
    }

    /// Drops all but the latest finished rollouts of each environment, with their stories.
    pub(crate) async fn forget_rollouts(&self, kept: usize) {
        for (place, old) in self.shared.look(|mirror| old_rollouts(mirror, kept)) {
            let cause = cause("system:housekeeping", "rollout.forget", "", &place);
            let delete = |transaction: Transaction, rollout: &Versioned<Rollout>| {
                let key = keys::rollout(&place.app, &place.environment, rollout.value.number);
                transaction.delete(key, rollout.unchanged())
            };
            // Stories first: a crash in between leaves documents, which lead here again.
            for rollout in &old {
                let key = (place.app.clone(), place.environment.clone(), rollout.value.number);
                if let Err(error) = self.shared.logs.remove(&key) {
                    tracing::warn!("failed to {error}");
                }
            }
            for some in old.chunks(ROLLOUTS_AT_ONCE) {
                let transaction = some.iter().fold(Transaction::new(cause.clone()), delete);
                if let Err(error) = self.shared.commit(transaction).await {
                    tracing::warn!("failed to forget old rollouts of {place}, trying again later: {error}");
                    break;
                }
            }
        }
    }

    /// Drops releases that nobody needs any more, and builds that no release names, some of each app a round. Says
    /// whether anything was dropped.
    pub(crate) async fn forget_releases(&self, listed: usize) -> bool {
        let now = self.shared.now();
        let mut forgot = false;
        for app in self.shared.look(forgetting::apps) {
            let found = self.shared.look(|mirror| forgetting::transaction(mirror, &app, (listed, now)));
            let Some(transaction) = found else { continue };
            match self.shared.commit(transaction).await {
                Ok(_) => forgot = true,
                Err(error) => {
                    tracing::warn!("failed to forget old releases of {app}, trying again later: {error}");
                }
            }
        }
        forgot
    }

    /// Lets the store forget deletions that were there in the round before: whoever has not heard of them lists anew.
    async fn compact(&self, before: Option<Revision>) -> Option<Revision> {
        let store = &self.shared.store;
        if let Some(up_to) = before
            && let Err(error) = store.compact(up_to).await
        {
            tracing::warn!("failed to compact the store, trying again later: {error}");
        }
        store.cursor().await.ok().map(|cursor| cursor.revision)
    }

    /// As [`Housekeeping::sweep_blobs_unused_since`], and tells people what they should know of it.
    pub(crate) async fn sweep_blobs_since(&self, keep_since: Timestamp) {
        match self.sweep_blobs_unused_since(keep_since).await {
            Ok(swept) => {
                tracing::debug!("swept blobs: {swept:?}");
                self.shared.strangers.tell(swept.strangers);
                self.shared.lost_trees.tell(swept.lacking);
            }
            Err(error) => drop(crate::problem::internal("sweep blobs", &error)),
        }
    }

    /// Removes blobs that nobody needs and nobody put or asked for since then.
    pub(crate) async fn sweep_blobs_unused_since(&self, keep_since: Timestamp) -> Result<Swept, BlobError> {
        let now = self.shared.now();
        let (mut roots, mut named) =
            self.shared.look(|mirror| (live_roots(mirror), named_roots(mirror, now)));
        let must_be_here: BTreeSet<Digest> = roots.iter().copied().collect();
        let (blobs, builder) = (self.shared.blobs.clone(), Arc::clone(&self.shared.builder));
        let root = self.shared.root.clone();
        let sweep = move || {
            named.extend(pins::pinned(&root));
            let cached = builder.cached_roots();
            let here = blobs.has(&cached);
            roots.extend(cached.into_iter().zip(here).filter(|(_, here)| *here).map(|(root, _)| root));
            roots.extend(whole(&blobs, named)?);
            let mut swept = blobs.sweep(&roots, keep_since)?;
            // Of the others nobody is told: what a cache names is made again.
            swept.lacking.retain(|root| must_be_here.contains(root));
            Ok(swept)
        };
        tasks::blocking("sweep blobs", sweep).await
    }
}

/// Those of which nothing is missing. What is incomplete is nothing that anybody can be given any more, and must not keep
/// the sweep from all the rest.
fn whole(blobs: &BlobStore, roots: BTreeSet<Digest>) -> Result<Vec<Digest>, BlobError> {
    let mut whole = Vec::new();
    for root in roots {
        if blobs.is_complete(&root)? {
            whole.push(root);
        } else {
            tracing::debug!(
                "the tree {} is named by a routing table or a snapshot, and parts of it are gone",
                root.short()
            );
        }
    }
    Ok(whole)
}

/// Finished rollouts beyond those that are kept, by environment.
fn old_rollouts(mirror: &Mirror, kept: usize) -> Vec<(Place, Vec<Versioned<Rollout>>)> {
    let mut old = Vec::new();
    for environment in mirror.environments() {
        let place = Place { app: environment.app.clone(), environment: environment.name.clone() };
        let prefix = keys::rollouts(&place.app, &place.environment);
        let newest_first = mirror.list::<Rollout>(&prefix).rev().map(|(_, rollout)| rollout);
        let beyond: Vec<_> =
            newest_first.skip(kept).filter(|rollout| rollout.value.state.is_final()).collect();
        if !beyond.is_empty() {
            old.push((place, beyond));
        }
    }
    old
}

/// Trees that must be here and must stay: of kept builds of every app, and sources of unfinished rollouts.
pub(crate) fn live_roots(mirror: &Mirror) -> Vec<Digest> {
    let mut roots = BTreeSet::new();
    for app in forgetting::apps(mirror) {
        let kept = kept_builds(mirror, &app);
        let builds =
            mirror.list::<Build>(&keys::builds(&app)).map(|(_, build)| build.value).collect::<Vec<_>>();
        let builds = builds.iter().filter(|build| kept.contains(&build.number));
        roots.extend(builds.flat_map(|build| trees_of(build)));
    }
    let sources = mirror.unfinished(keys::APPS).filter_map(|rollout| rollout.value.source.clone());
    roots.extend(sources.map(|source| source.tree));
    roots.into_iter().collect()
}

/// Trees that must stay where they are here: what routing tables name, and parts of builds with static files that the
/// next table may name. One that is lost keeps the sweep from nothing: balancers do without it.
pub(crate) fn named_roots(mirror: &Mirror, now: Timestamp) -> BTreeSet<Digest> {
    let mut roots = BTreeSet::new();
    for environment in mirror.environments() {
        let prefix = keys::releases(&environment.app, &environment.name);
        let releases: Vec<Arc<Release>> = mirror.list::<Release>(&prefix).map(|(_, r)| r.value).collect();
        let named = retention::named_builds(releases.iter().map(|release| &**release), now);
        let builds = named
            .into_iter()
            .filter_map(|number| mirror.value::<Build>(&keys::build(&environment.app, number)));
        roots.extend(builds.flat_map(|build| tandem_build::static_parts(&build)));
    }
    if let Some(routing) = mirror.value::<RoutingDocument>(keys::ROUTING_TABLE) {
        let tables = std::iter::once(&routing.serving).chain(&routing.prepared);
        roots.extend(tables.flat_map(static_trees));
    }
    roots
}

fn trees_of(build: &Build) -> Vec<Digest> {
    build.subtrees.iter().map(|subtree| subtree.tree).collect()
}

fn static_trees(table: &Table) -> impl Iterator<Item = Digest> {
    let folders = table.routes.iter().flat_map(|route| &route.static_folders);
    folders.flat_map(|folder| folder.trees.iter().copied())
}

/// Builds of an app that can still be rolled back to or are in use, over all its environments.
pub(crate) fn kept_builds(mirror: &Mirror, app: &AppName) -> BTreeSet<BuildNumber> {
    let environments: Vec<Arc<Environment>> =
        mirror.environments().filter(|environment| environment.app == *app).collect();
    let assigned = mirror.list::<Assignment>(keys::HOSTS).map(|(_, assignment)| assignment.value);
    let assigned: Vec<_> = assigned.filter(|assignment| assignment.app == *app).collect();
    let assigned = assigned.iter().flat_map(|assignment| assignment.builds.keys().copied());
    let prefix = format!("{}/", keys::app(app));
    let unfinished = mirror.unfinished(&prefix).filter_map(|rollout| rollout.value.build);
    let mut kept: BTreeSet<_> = assigned.chain(unfinished).collect();
    for environment in environments {
        let prefix = keys::releases(app, &environment.name);
        let releases: Vec<Arc<Release>> = mirror.list::<Release>(&prefix).map(|(_, r)| r.value).collect();
        kept.extend(retention::kept_builds(releases.iter().map(|release| &**release), []));
    }
    kept
}
