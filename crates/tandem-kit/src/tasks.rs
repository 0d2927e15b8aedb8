//! The one place that starts tasks: each has a name and a kind that says what drain and failure mean.
//!
//! | kind | when the process drains | when it fails |
//! |---|---|---|
//! | [`Kind::Component`] | finishes by itself, is waited for | the process drains and ends as failed |
//! | [`Kind::Work`] | finishes by itself, is waited for | logged |
//! | [`Kind::Helper`] | dropped at its next await | logged |
//! | [`Tasks::spawn_restarting`] | dropped at its next await | logged, started again after a back-off |
//!
//! Failing is returning an error as well as panicking. A task that belongs to a value rather than to the process
//! is [`owned`]: it ends with its owner.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::drain::Drain;

mod outcome;
mod owned;
#[cfg(test)]
mod tests;

pub use outcome::{Failure, Outcome};
pub use owned::{Owned, blocking, owned};

/// First wait before a restarting task is started again.
const RESTART_FIRST: Duration = Duration::from_millis(100);
/// Longest wait before a restarting task is started again.
const RESTART_MOST: Duration = Duration::from_secs(10);

/// What a task is, and by that what drain and failure mean to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A part without which the process is none: a role, a reconciler, a listener.
    Component,
    /// Something begun that should be brought to its end: a request, an upload, a rollout step.
    Work,
    /// Something that may stop at any await without loss: a ticker, a forwarder.
    Helper,
}

/// What happens to a task when the process drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrain {
    /// It sees the drain itself; [`Tasks::join`] waits for it.
    Wait,
    /// It is dropped at its next await.
    Abort,
}

/// What happens when a task fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The process drains, and [`Tasks::failure`] says why.
    StopProcess,
    /// A line in the log.
    Log,
    /// A line in the log, and another try after a back-off.
    LogAndRestart,
}

impl Kind {
    /// The column "when the process drains".
    #[must_use]
    pub fn on_drain(self) -> OnDrain {
        match self {
            Self::Component | Self::Work => OnDrain::Wait,
            Self::Helper => OnDrain::Abort,
        }
    }

    /// The column "when it fails".
    #[must_use]
    pub fn on_failure(self) -> OnFailure {
        match self {
            Self::Component => OnFailure::StopProcess,
            Self::Work | Self::Helper => OnFailure::Log,
        }
    }
}

/// The tasks of one process (or of one of its threads), cheap to clone.
#[derive(Debug, Clone)]
pub struct Tasks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    drain: Drain,
    ended: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Tasks that are waited for, by the order of their beginning.
    running: HashMap<u64, Running>,
    /// How many have begun.
    begun: u64,
    /// Tasks that stay on their thread, by name: there may be thousands of them, and they need no handles.
    local: BTreeMap<&'static str, usize>,
    /// The limit of [`Tasks::join`] has passed: nothing goes on.
    is_cut: bool,
    failure: Option<Failure>,
}

impl State {
    /// Nothing goes on from here: what cuts off those that can be, and the names of all who are still waited for.
    fn cut(&mut self) -> (Vec<AbortHandle>, BTreeSet<&'static str>) {
        self.is_cut = true;
        let handles = self.running.values().filter_map(|task| task.handle.clone()).collect();
        let listed = self.running.values().map(|task| task.name);
        (handles, listed.chain(self.local.keys().copied()).collect())
    }

    /// Whether nobody is waited for.
    fn is_over(&self) -> bool {
        self.running.is_empty() && self.local.is_empty()
    }
}

/// A task that is waited for.
#[derive(Debug)]
struct Running {
    name: &'static str,
    /// Cuts it off; there once it has been spawned. Asking a flag at each poll instead took a seventh of the time that
    /// a small request takes outside of the kernel.
    handle: Option<AbortHandle>,
}

impl Tasks {
    /// No tasks yet. `drain` is what stops them; the failure of a component fires it.
    #[must_use]
    pub fn new(drain: Drain) -> Self {
        let state = Mutex::new(State::default());
        Self { shared: Arc::new(Shared { drain, ended: Notify::new(), state }) }
    }

    /// The signal these tasks end on.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.shared.drain
    }

    /// Starts a task on the current runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of spawning")]
    pub fn spawn<F>(&self, name: &'static str, kind: Kind, future: F) -> AbortHandle
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        let place = Self::is_awaited(kind).then(|| Place::list(self, name));
        let number = place.as_ref().and_then(Place::number);
        let handle = tokio::spawn(self.wrap((name, kind), place, future)).abort_handle();
        self.note(number, &handle);
        handle
    }

    /// Starts a task that stays on this thread; needs a `LocalSet` or a local runtime around it, with which it ends where
    /// [`Self::join`] cuts others off.
    #[expect(clippy::disallowed_methods, reason = "this is the one home of spawning")]
    pub fn spawn_local<F>(&self, name: &'static str, kind: Kind, future: F) -> AbortHandle
    where
        F: Future + 'static,
        F::Output: Outcome,
    {
        let place = Self::is_awaited(kind).then(|| Place::count(self, name));
        tokio::task::spawn_local(self.wrap((name, kind), place, future)).abort_handle()
    }

    /// Starts a task that is made anew whenever it fails, with a wait that doubles from 100 ms up to 10 s and begins
    /// anew once it ran for 10 s. It ends when `make`'s future ends well.
    pub fn spawn_restarting<M, F>(&self, name: &'static str, make: M) -> AbortHandle
    where
        M: FnMut() -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        self.spawn(name, Kind::Helper, restarting(name, make))
    }

    /// Waits until all tasks that are waited for have ended, for at most `limit`; then cuts off the rest.
    /// Returns the names of those that were cut off. Usually called after the drain was fired.
    pub async fn join(&self, limit: Duration) -> Vec<&'static str> {
        let _ = tokio::time::timeout(limit, self.all_ended()).await;
        let (handles, laggards) = self.lock().cut();
        // What is cut off may end here and now, and leave the list by itself.
        for handle in handles {
            handle.abort();
        }
        laggards.into_iter().collect()
    }

    /// The first failure of a component, if there was one: the reason why the process drains.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.lock().failure.clone()
    }

    async fn all_ended(&self) {
        loop {
            let ended = self.shared.ended.notified();
            if self.lock().is_over() {
                return;
            }
            ended.await;
        }
    }

    fn is_awaited(kind: Kind) -> bool {
        kind.on_drain() == OnDrain::Wait
    }

    fn wrap<F>(
        &self,
        (name, kind): (&'static str, Kind),
        place: Option<Place>,
        future: F,
    ) -> impl Future<Output = ()> + use<F>
    where
        F: Future,
        F::Output: Outcome,
    {
        let tasks = self.clone();
        async move {
            let _place = place;
            let guarded = AssertUnwindSafe(future).catch_unwind();
            let ended = match kind.on_drain() {
                OnDrain::Wait => Some(guarded.await),
                OnDrain::Abort => {
                    // In a box: else every task, of which a balancer has thousands, is as large as the few of this kind.
                    let requested = Box::pin(tasks.shared.drain.requested());
                    tokio::select! {
                        ended = guarded => Some(ended),
                        () = requested => None,
                    }
                }
            };
            if let Some(failure) = ended.and_then(|ended| outcome::failure_of(name, ended)) {
                tasks.fail(kind, failure);
            }
        }
    }

    /// Writes down how a task is cut off, if it has not ended yet.
    fn note(&self, number: Option<u64>, handle: &AbortHandle) {
        let mut state = self.lock();
        let is_cut = state.is_cut;
        if let Some(running) = number.and_then(|number| state.running.get_mut(&number)) {
            running.handle = Some(handle.clone());
            if is_cut {
                drop(state);
                handle.abort();
            }
        }
    }

    fn fail(&self, kind: Kind, failure: Failure) {
        tracing::error!(task = failure.task, "task {} failed: {}", failure.task, failure.message);
        if kind.on_failure() == OnFailure::StopProcess {
            self.lock().failure.get_or_insert(failure);
            self.shared.drain.fire();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn restarting<M, F>(name: &'static str, mut make: M)
where
    M: FnMut() -> F,
    F: Future,
    F::Output: Outcome,
{
    let mut wait = RESTART_FIRST;
    loop {
        let started = tokio::time::Instant::now();
        let ended = AssertUnwindSafe(make()).catch_unwind().await;
        let Some(failure) = outcome::failure_of(name, ended) else { return };
        if started.elapsed() >= RESTART_MOST {
            wait = RESTART_FIRST;
        }
        tracing::warn!(task = name, "task {name} failed, starting it again in {wait:?}: {}", failure.message);
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RESTART_MOST);
    }
}

/// A running task among those that are waited for; leaves them when dropped, however the task ended.
struct Place {
    tasks: Tasks,
    entry: Entry,
}

/// Where a task is written down.
#[derive(Clone, Copy)]
enum Entry {
    Listed(u64),
    Counted(&'static str),
}

impl Place {
    /// With a place of its own, so that it can be cut off.
    fn list(tasks: &Tasks, name: &'static str) -> Self {
        let mut state = tasks.lock();
        let number = state.begun;
        state.begun += 1;
        state.running.insert(number, Running { name, handle: None });
        Self { tasks: tasks.clone(), entry: Entry::Listed(number) }
    }

    fn count(tasks: &Tasks, name: &'static str) -> Self {
        *tasks.lock().local.entry(name).or_default() += 1;
        Self { tasks: tasks.clone(), entry: Entry::Counted(name) }
    }

    fn number(&self) -> Option<u64> {
        match self.entry {
            Entry::Listed(number) => Some(number),
            Entry::Counted(_) => None,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.tasks.lock();
        match self.entry {
            Entry::Listed(number) => drop(state.running.remove(&number)),
            Entry::Counted(name) => {
                if let Some(count) = state.local.get_mut(name) {
                    *count -= 1;
                    if *count == 0 {
                        state.local.remove(name);
                    }
                }
            }
        }
        drop(state);
        self.tasks.shared.ended.notify_waiters();
    }
}
