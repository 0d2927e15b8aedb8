//! The reconciler: hears what should be, gives every instance and job an actor, and tells each what it should be.
//!
//! It waits for nothing but news, so a change reaches its actor within the time it takes to compare two maps. Actors
//! never talk to each other; what they have in common is the board.

mod actors;
mod strays;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tandem_kit::api::Watch;
use tandem_kit::attention::{Attention, NOTE_EVERY};
use tandem_kit::clock::Clock;
use tandem_kit::drain::Drain;
use tandem_kit::tasks::{self, Owned, Tasks};
use tandem_sandbox::cgroup;
use tandem_types::document::Change;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::assignments::Assignments;
use crate::board::BuildKey;
use crate::context::Context;
use crate::folders::Unit;
use crate::order::Fate;
use crate::plan::{self, Wanted};
use crate::runner::EndMode;
use crate::stage::Needs;
use crate::traces::Traces;
use actors::Actors;

/// After the start without a word from a server, what ran before is started again without one.
const ALONE_AFTER: Duration = Duration::from_secs(5);
/// Limit of the end of everything: the longest stop time-out, and what shims and disks take.
const STOP_ALL_GRACE: Duration = Duration::from_secs(25);

/// The host reconciler.
pub(crate) struct Reconciler {
    context: Arc<Context>,
    actors: Actors,
    /// Actors that ended.
    ended: mpsc::UnboundedReceiver<Unit>,
    assignments: Assignments,
    needs: watch::Sender<Needs>,
    alone: watch::Sender<bool>,
    /// When to look for what no actor stands for.
    next_sweep: Instant,
    /// A look for it that is under way.
    sweeping: Option<Owned<Traces>>,
    attention: Attention,
}

enum Event {
    Change(Change),
    Ended(Unit),
    Alone,
    Held,
    Turn,
    SweepDue,
    Swept(Traces),
    Drain,
}

impl Event {
    /// Whether it holds no more after an absence: what a change says was said to the runner of then, and nobody was there to hear
    /// that a server answers.
    fn is_of_before(&self) -> bool {
        // The others are of this host and this process: as true as before.
        matches!(self, Self::Change(_) | Self::Alone)
    }
}

/// The two ends of what the reconciler drives.
pub(crate) struct Outlets {
    /// Builds that must be here.
    pub(crate) needs: watch::Sender<Needs>,
    /// That no server answers.
    pub(crate) alone: watch::Sender<bool>,
}

impl Reconciler {
    /// Takes over what an earlier process left; on return the board tells how it is.
    pub(crate) async fn adopt(context: Arc<Context>, tasks: Tasks, outlets: Outlets) -> Self {
        // Unbounded, but no more than one message an actor.
        let (sender, ended) = mpsc::unbounded_channel();
        let mut actors = Actors::new(Arc::clone(&context), tasks, sender);
        actors.adopt().await;
        let assignments = Assignments::new(context.ledger.fences());
        let Outlets { needs, alone } = outlets;
        let (next_sweep, attention) = (Instant::now(), Attention::new(Clock::system()));
        Self { context, actors, ended, assignments, needs, alone, next_sweep, sweeping: None, attention }
    }

    /// Reconciles until the drain, and then ends as told.
    pub(crate) async fn run(mut self, mut watch: Watch, drain: Drain, end: watch::Receiver<EndMode>) {
        let alone = tokio::time::sleep(ALONE_AFTER);
        tokio::pin!(alone);
        let mut holds = self.context.holds.watch();
        self.reconcile().await;
        // What it took to come here is the start, and no absence.
        let _ = self.attention.note();
        loop {
            let event = tokio::select! {
                change = watch.next() => Event::Change(change),
                Some(unit) = self.ended.recv() => Event::Ended(unit),
                () = &mut alone, if !self.is_settled() => Event::Alone,
                () = tokio::time::sleep_until(self.next_sweep), if self.may_sweep() => Event::SweepDue,
                Ok(()) = holds.changed() => Event::Held,
                traces = found(&mut self.sweeping) => Event::Swept(traces),
                () = tokio::time::sleep(NOTE_EVERY) => Event::Turn,
                () = drain.requested() => Event::Drain,
            };
            if let Some(absence) = self.attention.note() {
                tracing::warn!("did nothing for {absence:?}; asking anew what should run here");
                watch.begin_again();
                // No server could be heard meanwhile, and none had the time to answer since.
                alone.as_mut().reset(Instant::now() + ALONE_AFTER);
                if event.is_of_before() {
                    continue;
                }
            }
            match event {
                Event::Change(change) => {
                    if !self.assignments.apply(change) {
                        continue;
                    }
                }
                Event::Turn => continue,
                Event::Held => {}
                Event::Ended(unit) => self.actors.forget(unit),
                Event::Alone => {
                    tracing::warn!("no server answers: what ran here before is started again without one");
                    self.alone.send_replace(true);
                }
                Event::SweepDue => {
                    self.next_sweep = Instant::now() + self.context.sweep_interval;
                    let folders = self.context.folders.clone();
                    self.sweeping = Some(tasks::owned("stray-list", Traces::find(folders)));
                    continue;
                }
                // Only now, and not when the look began, is it asked who is known: one that started meanwhile is.
                Event::Swept(traces) => self.actors.sweep(traces),
                Event::Drain => break,
            }
            self.reconcile().await;
        }
        let end = *end.borrow();
        match end {
            EndMode::Leave => tracing::info!("instances go on without this runner"),
            EndMode::StopAll => self.stop_all().await,
        }
    }

    /// Only where all that should be is known, so that nothing is taken for left over that is not.
    fn may_sweep(&self) -> bool {
        self.assignments.is_complete() && self.sweeping.is_none()
    }

    fn is_settled(&self) -> bool {
        self.assignments.is_complete() || *self.alone.borrow()
    }

    async fn reconcile(&mut self) {
        self.obey();
        let mut wanted = plan::wanted(&self.assignments);
        if self.assignments.is_complete() {
            let present = self.actors.present();
            self.context.holds.apply(&mut wanted, &present);
            for action in plan::plan(&wanted, &present) {
                self.actors.act(action);
            }
        }
        self.tell_needs(&wanted);
    }

    /// Fences are on the disk before they are acted on. A disk that refuses must not stop the acting: the store has
    /// checked the fence as well, this is the second lock.
    fn obey(&self) {
        if let Err(error) = self.context.ledger.obey(self.assignments.fences()) {
            tracing::error!(error = &error as &dyn std::error::Error, "could not write the fences down");
        }
        self.context.board.put_fence(self.assignments.highest_fence());
    }

    fn tell_needs(&self, wanted: &Wanted) {
        let mut builds: BTreeMap<BuildKey, _> = self.actors.builds().collect();
        let is_superseded = |key: &&BuildKey| wanted.builds.keys().any(|other| other.is_namesake(key));
        let superseded = builds.keys().filter(is_superseded).filter(|key| !wanted.builds.contains_key(key));
        self.context.board.put_superseded(superseded.cloned().collect());
        builds.extend(wanted.builds.clone());
        let units = self.actors.units().collect();
        let needs = Needs { builds, units, complete: self.assignments.is_complete() };
        self.needs.send_if_modified(|told| {
            let differs = *told != needs;
            if differs {
                *told = needs;
            }
            differs
        });
    }

    /// Ends every process at the same time, each with its own time-out.
    async fn stop_all(&mut self) {
        let limit = self.actors.longest_stop() + STOP_ALL_GRACE;
        self.actors.order_all(Fate::Halt);
        let ended = async {
            while !self.actors.is_empty() {
                match self.ended.recv().await {
                    Some(unit) => self.actors.forget(unit),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(limit, ended).await.is_err() {
            tracing::error!("not everything ended within {limit:?}; the next start finds what is left");
        }
        self.context.packet_rules.remove().await;
        let parent = self.context.folders.cgroup_parent.clone();
        tasks::blocking("cgroup-remove", move || cgroup::remove_parent(&parent)).await;
    }
}

/// What a look for traces has found; never ready while none is under way.
async fn found(look: &mut Option<Owned<Traces>>) -> Traces {
    let Some(task) = look else { return std::future::pending().await };
    let traces = task.await;
    *look = None;
    traces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn after_an_absence_neither_old_orders_nor_the_silence_of_servers_count() {
        assert!(Event::Change(testing::live()).is_of_before());
        assert!(Event::Alone.is_of_before(), "nobody could be heard");
        assert!(!Event::Ended(Unit::Instance(tandem_types::InstanceId(1))).is_of_before());
        assert!(!Event::Drain.is_of_before());
    }
}
