//! Builds on this host: fetched where something is missing, checked out once per tree, removed when nobody needs them.
//!
//! A build that is here already is told at once. One that fails is tried again for ever, ever less often, with the
//! reason on the board: a full disk may be emptied, a server comes back.

mod bring;
mod recent;
pub(crate) mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tandem_blobs::{LinkCache, Strangers};
use tandem_rules::restart::Backoff;
use tandem_types::assignment::AssignedBuild;
use tandem_types::{Digest, Span};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::board::BuildKey;
use crate::context::Context;
use crate::folders::Unit;
use recent::Recent;
use sweep::Unneeded;

/// Builds brought here at the same time: one large one must not hold up a small one.
const AT_ONCE: usize = 2;

/// What must be here.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Needs {
    /// Builds that an assignment names or an instance uses.
    pub(crate) builds: BTreeMap<BuildKey, Arc<AssignedBuild>>,
    /// Instances and jobs that have an actor, so that their builds are among these.
    pub(crate) units: BTreeSet<Unit>,
    /// Whether that is all, so that what is not in it may be removed.
    pub(crate) complete: bool,
}

/// The task that brings builds here.
pub(crate) struct Stager {
    context: Arc<Context>,
    cache: LinkCache,
    needs: watch::Receiver<Needs>,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    /// How many of these bring a build here.
    bringing: usize,
    /// Whether one of them goes through the blobs.
    trimming: bool,
    /// Trees that are being checked out or removed.
    busy: BTreeSet<Digest>,
    failed: BTreeMap<BuildKey, Failed>,
    unneeded: Unneeded,
    recent: Recent,
    strangers: Arc<Strangers>,
}

/// A build that could not be brought here.
struct Failed {
    backoff: Backoff,
    again: Instant,
}

/// Something under way has ended.
enum Done {
    Brought { build: BuildKey, trees: Vec<Digest>, outcome: Result<(), String> },
    Removed { tree: Digest },
    Trimmed,
}

enum Event {
    Needs,
    Done(Done),
    Due,
}

impl Stager {
    /// Nothing is looked at yet.
    pub(crate) fn new(context: Arc<Context>, cache: LinkCache, needs: watch::Receiver<Needs>) -> Self {
        let unneeded = Unneeded::new(context.keep_trees);
        let recent = Recent::read(context.folders.recent());
        Self {
            context,
            cache,
            needs,
            under_way: FuturesUnordered::new(),
            bringing: 0,
            trimming: false,
            busy: BTreeSet::new(),
            failed: BTreeMap::new(),
            unneeded,
            recent,
            strangers: Arc::default(),
        }
    }

    /// Runs until the needs have no source any more.
    pub(crate) async fn run(mut self) {
        loop {
            self.look();
            let due = self.next_due();
            let event = tokio::select! {
                changed = self.needs.changed() => match changed {
                    Ok(()) => Event::Needs,
                    Err(_) => return,
                },
                Some(done) = self.under_way.next() => Event::Done(done),
                () = tokio::time::sleep_until(due) => Event::Due,
            };
            match event {
                Event::Needs => {}
                Event::Done(done) => self.take(done),
                Event::Due => self.sweep(),
            }
        }
    }

    /// Tells what is here, and begins with what is not.
    fn look(&mut self) {
        let needs = self.needs.borrow_and_update().clone();
        let board = self.context.board.clone();
        board.keep_builds(|build| needs.builds.contains_key(build));
        self.failed.retain(|build, _| needs.builds.contains_key(build));
        self.recent.note(needs.builds.keys());
        for (key, build) in &needs.builds {
            if board.look(|sheet| sheet.staged.contains(key)) {
                continue;
            }
            let missing = self.missing(build);
            if missing.is_empty() {
                self.failed.remove(key);
                board.put_stage(key.clone(), Ok(()));
            } else if self.may_begin(key, &missing) {
                self.begin(key.clone(), build, missing);
            }
        }
    }

    fn missing(&self, build: &AssignedBuild) -> Vec<Digest> {
        let trees: BTreeSet<Digest> = build.subtrees.iter().map(|subtree| subtree.tree).collect();
        // One that is being removed has lost its name already, or is about to.
        let here = |tree: &Digest| !self.busy.contains(tree) && self.context.folders.tree(tree).is_dir();
        trees.into_iter().filter(|tree| !here(tree)).collect()
    }

    /// Two builds that share a tree wait for each other, so that it comes only once.
    fn may_begin(&self, key: &BuildKey, missing: &[Digest]) -> bool {
        let due = self.failed.get(key).is_none_or(|failed| failed.again <= Instant::now());
        // What a look through the blobs would remove is what a checkout is about to link.
        due && self.bringing < AT_ONCE
            && !self.trimming
            && missing.iter().all(|tree| !self.busy.contains(tree))
    }

    fn begin(&mut self, key: BuildKey, build: &Arc<AssignedBuild>, trees: Vec<Digest>) {
        self.busy.extend(&trees);
        self.bringing += 1;
        let work = bring::Work {
            client: self.context.client.clone(),
            cache: self.cache.clone(),
            trees: trees.iter().map(|tree| (*tree, self.context.folders.tree(tree))).collect(),
            interpreter: build.interpreter.clone(),
        };
        self.under_way.push(Box::pin(async move {
            let outcome = bring::bring(work).await;
            Done::Brought { build: key, trees, outcome }
        }));
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Brought { build, trees, outcome } => {
                self.bringing -= 1;
                trees.iter().for_each(|tree| {
                    self.busy.remove(tree);
                });
                if let Err(reason) = outcome {
                    self.note_failure(build, reason);
                }
            }
            Done::Removed { tree } => {
                self.busy.remove(&tree);
            }
            Done::Trimmed => self.trimming = false,
        }
    }

    fn note_failure(&mut self, build: BuildKey, reason: String) {
        let failed = self
            .failed
            .entry(build.clone())
            .or_insert_with(|| Failed { backoff: Backoff::new(), again: Instant::now() });
        let wait = failed.backoff.ended(Span::millis(0));
        failed.again = Instant::now() + wait.as_duration();
        let BuildKey { app, number, .. } = &build;
        tracing::warn!(app.id = %app, build = %number, "could not bring build {number} of {app} here, trying again in {wait}: {reason}");
        if self.needs.borrow().builds.contains_key(&build) {
            self.context.board.put_stage(build, Err(reason));
        }
    }

    fn next_due(&self) -> Instant {
        let retries = self.failed.values().map(|failed| failed.again).filter(|again| *again > Instant::now());
        retries.chain([self.unneeded.next_look()]).min().expect("there is always a next look")
    }

    /// Begins to remove what nobody needs, aside: a build that must come meanwhile does not wait for it.
    fn sweep(&mut self) {
        if !self.unneeded.is_due() {
            return;
        }
        let needs = self.needs.borrow().clone();
        if !needs.complete {
            return self.unneeded.postpone();
        }
        let needed: BTreeSet<Digest> =
            needs.builds.values().flat_map(|build| &build.subtrees).map(|subtree| subtree.tree).collect();
        let folders = &self.context.folders;
        let old = self.unneeded.look(folders, &needed, &self.busy);
        if !old.is_empty() {
            self.unneeded.note_removal();
        }
        // One look for all of them, and none where there is nothing to remove.
        let may_remove = sweep::may_remove(folders.clone(), needs.units).shared();
        for tree in old {
            self.busy.insert(tree);
            let (path, may_remove) = (folders.tree(&tree), may_remove.clone());
            self.under_way.push(Box::pin(async move {
                if may_remove.await {
                    sweep::remove(path).await;
                }
                Done::Removed { tree }
            }));
        }
        if !self.trimming && self.bringing == 0 && self.unneeded.take_blobs_turn() {
            self.trimming = true;
            let (cache, now) = (self.cache.clone(), self.context.clock.now());
            let (trees, strangers) = (self.recent.trees(), Arc::clone(&self.strangers));
            self.under_way.push(Box::pin(async move {
                let found = sweep::trim_cache(cache, (trees, now)).await;
                strangers.tell(found);
                Done::Trimmed
            }));
        }
    }
}
