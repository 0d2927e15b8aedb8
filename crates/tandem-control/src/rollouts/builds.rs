//! Builds under way, one task each. Their results wait here until they are written.
//!
//! Nothing here must last: after a crash the rollout still says `building`, and the build is made again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_blobs::store::InUse;
use tandem_kit::points::{self, Effect};
use tandem_kit::tasks::{self, Owned};
use tandem_types::build::Build;
use tandem_types::event::Event;
use tandem_types::git::GitSource;
use tandem_types::problem::Problem;
use tandem_types::rollout::{Rollout, Source};
use tandem_types::{AppName, BuildNumber, RolloutNumber};
use tokio::sync::Semaphore;

use crate::builder::{BuildOrder, Events};
use crate::event_log::EventLog;
use crate::place::Place;
use crate::shared::Shared;

/// Builds at a time: each keeps about one core busy, and instances need some too.
const AT_ONCE: usize = 2;

/// Which rollout a build is for.
pub(super) type Key = (Place, RolloutNumber);

/// Where the source of a build is.
pub(super) enum Origin {
    /// In the blob store: a client sent it.
    Sent(Source),
    /// To be fetched.
    Git(GitSource),
}

impl Origin {
    /// Of a deploy; what is no deploy has none.
    pub(super) fn of(rollout: &Rollout) -> Option<Self> {
        let git = || rollout.git.clone().map(Self::Git);
        rollout.source.clone().map(Self::Sent).or_else(git)
    }
}

/// What is to be built.
pub(super) struct Order {
    pub(super) app: AppName,
    /// See [`BuildOrder::number`].
    pub(super) number: BuildNumber,
    pub(super) origin: Origin,
    /// See [`BuildOrder::uid`].
    pub(super) uid: u32,
}

/// See the module.
pub(super) struct Builds {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<Key, Owned<()>>,
    /// With what keeps the parts of the build until a document names them.
    finished: BTreeMap<Key, (Result<Build, Problem>, InUse)>,
    /// Environments with news for the reconciler.
    news: Vec<Place>,
}

impl Builds {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, permits: Arc::new(Semaphore::new(AT_ONCE)), state: Arc::default() }
    }

    /// The result, once there is one.
    pub(super) fn result(&self, key: &Key) -> Option<Result<Build, Problem>> {
        self.lock().finished.get(key).map(|(result, _)| result.clone())
    }

    /// Starts the build unless it runs or has ended already.
    pub(super) fn ensure(&self, key: &Key, order: Order, log: EventLog) {
        let mut state = self.lock();
        if state.running.contains_key(key) || state.finished.contains_key(key) {
            return;
        }
        let task = self.task(key.clone(), order, log);
        state.running.insert(key.clone(), tasks::owned("build", task));
    }

    /// Stops builds of the environment that no rollout in `wanted` waits for, and drops their results.
    pub(super) fn keep_only(&self, place: &Place, wanted: &[RolloutNumber]) {
        let mut state = self.lock();
        let kept = |key: &Key| key.0 != *place || wanted.contains(&key.1);
        state.running.retain(|key, _| kept(key));
        state.finished.retain(|key, _| kept(key));
    }

    /// Environments whose builds ended since the last call.
    pub(super) fn take_news(&self) -> Vec<Place> {
        std::mem::take(&mut self.lock().news)
    }

    fn task(&self, key: Key, order: Order, log: EventLog) -> impl Future<Output = ()> + use<> {
        let (shared, permits, state) =
            (Arc::clone(&self.shared), Arc::clone(&self.permits), Arc::clone(&self.state));
        async move {
            let _permit = permits.acquire_owned().await;
            let events: Events = Arc::new(move |event: Event| {
                if let Err(error) = log.append(event) {
                    tracing::warn!("failed to {error}");
                }
            });
            // Before a fetch: until a document names the build, nothing else keeps what was fetched.
            let in_use = shared.blobs.begin_use();
            let result = make(&shared, order, events).await;
            points::reached(Effect::BuildEnded).await;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.news.push(key.0.clone());
            state.finished.insert(key, (result, in_use));
            drop(state);
            shared.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn make(shared: &Shared, order: Order, events: Events) -> Result<Build, Problem> {
    let Order { app, number, origin, uid } = order;
    let source = match origin {
        Origin::Sent(source) => source,
        Origin::Git(git) => shared.fetch_source((&app, uid), git, &events).await?,
    };
    shared.builder.build(BuildOrder { app, number, source, uid }, events).await
}
