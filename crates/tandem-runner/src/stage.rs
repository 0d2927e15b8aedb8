//! Builds on this host: fetched where something is missing, checked out once per tree, removed when nobody needs them.
//!
//! A build that is here already is told at once. One that fails is tried again for ever, ever less often, with the
//! reason on the board: a full disk may be emptied. A server that goes away meanwhile is no failure of the build, and is
//! not told as one: the next server would end the rollout for it. Then it is only tried again, soon.

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
use bring::Trouble;
use recent::Recent;
use sweep::Unneeded;

/// Builds brought here at the same time: one large one must not hold up a small one.
const AT_ONCE: usize = 2;
/// Longest wait before a server that went away is asked again. To find nobody there costs nothing, and a rollout waits.
const SOON: Span = Span::seconds(2);
/// Answers in a row that are cut off before it is told: a server that ends is not there at the next try, so this one is there, and
/// something is wrong with what it sends, such as a blob that its disk cannot read.
const MOST_CUTS: u32 = 3;

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
    troubled: BTreeMap<BuildKey, Troubled>,
    unneeded: Unneeded,
    recent: Recent,
    strangers: Arc<Strangers>,
}

/// A build that could not be brought here.
struct Troubled {
    /// For its own failures.
    backoff: Backoff,
    /// For a server that is away.
    away: Backoff,
    /// Answers that were cut off, one after the other.
    cuts: u32,
    again: Instant,
}

/// What is made of a trouble.
enum Told {
    /// Nothing to tell of the build.
    Away { reason: String, wait: Span },
    /// A failure of the build.
    Failed { reason: String, wait: Span },
}

impl Troubled {
    fn new() -> Self {
        Self { backoff: Backoff::new(), away: Backoff::new(), cuts: 0, again: Instant::now() }
    }

    /// Sets the time of the next try.
    fn tell(&mut self, trouble: Trouble) -> Told {
        self.cuts = if matches!(trouble, Trouble::Cut(_)) { self.cuts.saturating_add(1) } else { 0 };
        let told = match trouble {
            Trouble::Cut(reason) if self.cuts >= MOST_CUTS => self.failed(reason),
            Trouble::Away(reason) | Trouble::Cut(reason) => {
                Told::Away { reason, wait: self.away.ended(Span::millis(0)).min(SOON) }
            }
            Trouble::Failed(reason) => self.failed(reason),
        };
        let (Told::Away { wait, .. } | Told::Failed { wait, .. }) = &told;
        self.again = Instant::now() + wait.as_duration();
        told
    }

    fn failed(&mut self, reason: String) -> Told {
        self.away = Backoff::new();
        Told::Failed { reason, wait: self.backoff.ended(Span::millis(0)) }
    }
}

/// Something under way has ended.
enum Done {
    Brought { build: BuildKey, trees: Vec<Digest>, outcome: Result<(), Trouble> },
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
            troubled: BTreeMap::new(),
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
        self.troubled.retain(|build, _| needs.builds.contains_key(build));
        self.recent.note(needs.builds.keys());
        for (key, build) in &needs.builds {
            if board.look(|sheet| sheet.staged.contains(key)) {
                continue;
            }
            let missing = self.missing(build);
            if missing.is_empty() {
                self.troubled.remove(key);
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
        let due = self.troubled.get(key).is_none_or(|troubled| troubled.again <= Instant::now());
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
                if let Err(trouble) = outcome {
                    self.note(build, trouble);
                }
            }
            Done::Removed { tree } => {
                self.busy.remove(&tree);
            }
            Done::Trimmed => self.trimming = false,
        }
    }

    fn note(&mut self, build: BuildKey, trouble: Trouble) {
        let troubled = self.troubled.entry(build.clone()).or_insert_with(Troubled::new);
        let BuildKey { app, number, .. } = &build;
        match troubled.tell(trouble) {
            Told::Away { reason, wait } => {
                tracing::info!(app.id = %app, build = %number, "the server went away while build {number} of {app} was brought here, asking again in {wait}: {reason}");
            }
            Told::Failed { reason, wait } => {
                tracing::warn!(app.id = %app, build = %number, "could not bring build {number} of {app} here, trying again in {wait}: {reason}");
                if self.needs.borrow().builds.contains_key(&build) {
                    self.context.board.put_stage(build, Err(reason));
                }
            }
        }
    }

    fn next_due(&self) -> Instant {
        let retries =
            self.troubled.values().map(|troubled| troubled.again).filter(|again| *again > Instant::now());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(troubled: &mut Troubled, trouble: Trouble) -> (bool, u64) {
        match troubled.tell(trouble) {
            Told::Away { wait, .. } => (false, wait.as_millis()),
            Told::Failed { wait, .. } => (true, wait.as_millis()),
        }
    }

    #[test]
    fn a_server_that_is_away_is_asked_soon_for_ever_and_leaves_the_wait_of_a_failure_alone() {
        let mut troubled = Troubled::new();
        let away = || Trouble::Away("nothing listens".to_owned());
        let waits: Vec<_> = (0..100).map(|_| told(&mut troubled, away())).collect();
        assert!(waits.iter().all(|(failed, wait)| !failed && *wait <= SOON.as_millis()), "{waits:?}");
        let first = Backoff::new().ended(Span::millis(0)).as_millis();
        assert_eq!(told(&mut troubled, Trouble::Failed("no room".to_owned())), (true, first));
    }

    #[test]
    fn answers_that_are_cut_off_are_told_where_the_server_is_there_at_every_try() {
        let mut troubled = Troubled::new();
        let cut = || Trouble::Cut("the connection was closed".to_owned());
        let mut tries = |of: &[Trouble]| -> Vec<bool> {
            of.iter().map(|trouble| told(&mut troubled, trouble.clone()).0).collect()
        };
        assert_eq!(tries(&[cut(), cut(), Trouble::Away(String::new())]), [false, false, false]);
        assert_eq!(tries(&[cut(), cut(), cut(), cut()]), [false, false, true, true]);
    }
}
