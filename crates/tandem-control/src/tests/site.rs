//! One installation in a folder of its own, whose control can be killed and started again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tandem_blobs::BlobStore;
use tandem_kit::clock::Clock;
use tandem_kit::drain;
use tandem_kit::paths::DataDir;
use tandem_kit::tasks::{self, Owned};
use tandem_store::{SharedStore, sqlite};
use tandem_types::api::{RolloutAction, StartRollout};
use tandem_types::build::SourceInfo;
use tandem_types::destroy::Progress;
use tandem_types::event::Event;
use tandem_types::problem::Problem;
use tandem_types::rollout::{Rollout, RolloutState};
use tandem_types::{ReleaseNumber, RolloutNumber, Span};
use tokio::time::timeout;

use super::actors::{Host, alpha, run_balancer, run_host, run_logs};
use super::builds::FakeBuilder;
use super::killed_store::{Kill, KilledStore};
use crate::{Control, ControlConfig, Handle, Place, RolloutPlace};

/// Nothing here takes a second; a machine under load takes ten.
const LIMIT: Duration = Duration::from_secs(30);

/// What outlives control.
pub(crate) struct Site {
    pub(super) data: DataDir,
    pub(super) host: Arc<Mutex<Host>>,
    pub(super) builder: Arc<FakeBuilder>,
    pub(super) store: SharedStore,
    pub(crate) handle: Handle,
    pub(super) place: Place,
    /// How long control acts as if it had listened to balancers already, at each start.
    listened: Span,
    clock: Clock,
    running: Vec<Owned<()>>,
    _logs: Owned<()>,
    _folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_after(Span::seconds(0)).await
    }

    /// As [`Site::start`], for what waits until every balancer had time to report.
    pub(super) async fn start_after(listened: Span) -> Self {
        Self::start_with(listened, Clock::system()).await
    }

    /// As [`Site::start`], by a clock that tests move.
    pub(super) async fn start_with(listened: Span, clock: Clock) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let store = sqlite::open(&data.database(), Clock::system()).await.expect("a store");
        let host = Arc::<Mutex<Host>>::default();
        let logs = run_logs(&data.runner_socket());
        let builder = FakeBuilder::shared();
        let (handle, running) = run(&data, (&store, &store), &builder, (&host, listened, &clock)).await;
        let place = Place::production("guestbook".parse().expect("a name"));
        Self {
            data,
            host,
            builder,
            store,
            handle,
            place,
            listened,
            clock,
            running,
            _logs: logs,
            _folder: folder,
        }
    }

    /// Ends control as a kill does, reopens the store and starts control anew.
    pub(super) async fn restart(&mut self) {
        self.restart_with(|store| store).await;
    }

    /// As [`Site::restart`], with a store that stops answering at a transaction.
    pub(super) async fn restart_with_kill(&mut self, kill: Kill) -> Arc<KilledStore> {
        let mut killed = None;
        self.restart_with(|store| {
            let store = KilledStore::new(store, kill);
            killed = Some(Arc::clone(&store));
            store
        })
        .await;
        killed.expect("made above")
    }

    async fn restart_with(&mut self, wrap: impl FnOnce(SharedStore) -> SharedStore) {
        self.running.clear();
        tokio::task::yield_now().await;
        self.store = sqlite::open(&self.data.database(), Clock::system()).await.expect("a store");
        let wrapped = wrap(Arc::clone(&self.store));
        (self.handle, self.running) =
            run(&self.data, (&wrapped, &self.store), &self.builder, (&self.host, self.listened, &self.clock))
                .await;
    }

    // What people do.

    pub(super) async fn ask(&self, action: RolloutAction) -> Result<RolloutNumber, Problem> {
        let asked = StartRollout { action, message: String::new(), no_wait: false };
        Ok(self.handle.start_rollout("unix:ana", &self.place, asked).await?.rollout)
    }

    /// Starts a deploy of source that differs from all before.
    pub(super) async fn start_deploy(&self) -> RolloutNumber {
        let blobs = BlobStore::open(self.data.blobs()).expect("blobs");
        let tree =
            blobs.put(format!("{:?}", std::time::Duration::from_nanos(rand())).as_bytes()).expect("put");
        self.ask(RolloutAction::Deploy { tree, source: SourceInfo::default() }).await.expect("started")
    }

    pub(super) async fn deploy(&self) -> Rollout {
        let number = self.start_deploy().await;
        self.ended(number).await
    }

    pub(super) async fn rollback(&self, release: Option<u64>) -> Result<Rollout, Problem> {
        let number = self.ask(RolloutAction::Rollback { release: release.map(ReleaseNumber) }).await?;
        Ok(self.ended(number).await)
    }

    /// Has the app destroyed, and waits until it is gone. Returns what was told meanwhile.
    pub(super) async fn destroy(&self) -> Vec<Progress> {
        self.handle.destroy_app("unix:ana", &self.place.app, true).await.expect("written down");
        let told = self.handle.destroy_progress(&self.place.app).expect("progress").collect();
        timeout(LIMIT, told).await.expect("the app goes")
    }

    // What tests ask.

    pub(super) fn at(&self, number: RolloutNumber) -> RolloutPlace {
        RolloutPlace { place: self.place.clone(), number: Some(number) }
    }

    pub(super) fn rollout(&self, number: RolloutNumber) -> Rollout {
        self.handle.rollout(&self.at(number)).expect("a rollout")
    }

    pub(super) async fn ended(&self, number: RolloutNumber) -> Rollout {
        self.until("the rollout ends", || self.rollout(number).state.is_final()).await;
        self.rollout(number)
    }

    pub(super) async fn until_state(&self, number: RolloutNumber, state: RolloutState) {
        self.until(&format!("{number} is {state:?}"), || self.rollout(number).state == state).await;
    }

    /// Waits for something in the documents.
    pub(super) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let mut news = self.handle.shared.generation.subscribe();
        let waiting = async {
            while !holds() {
                let _ = timeout(Duration::from_millis(100), news.changed()).await;
            }
        };
        if timeout(LIMIT, waiting).await.is_err() {
            let rollouts = self.handle.rollouts(&self.place).unwrap_or_default();
            let told: Vec<_> =
                rollouts.iter().map(|r| (r.number, r.state, &r.warnings, &r.problem)).collect();
            panic!("waited in vain until {what}: {told:?}");
        }
    }

    pub(super) fn current(&self) -> Option<ReleaseNumber> {
        self.handle.app(&self.place.app).expect("an app").environments[0].current
    }

    /// `name role release` of every instance.
    pub(super) fn roles(&self) -> Vec<String> {
        let lines = self.handle.ps(&self.place).expect("lines");
        lines.into_iter().map(|line| format!("{} {} {}", line.name, line.role, line.release)).collect()
    }

    pub(super) async fn events(&self, number: RolloutNumber) -> Vec<Event> {
        let stream = self.handle.rollout_events(&self.at(number), 0, true).await.expect("a story");
        let events = stream.map(|event| event.event.clone()).collect();
        timeout(LIMIT, events).await.expect("the story ends")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.running.clear();
        self.data.remove_runtime().expect("removed");
    }
}

async fn run(
    data: &DataDir,
    (store, plain): (&SharedStore, &SharedStore),
    builder: &Arc<FakeBuilder>,
    (host, listened, clock): (&Arc<Mutex<Host>>, Span, &Clock),
) -> (Handle, Vec<Owned<()>>) {
    let config = ControlConfig {
        data: data.clone(),
        store: Arc::clone(store),
        blobs: BlobStore::open(data.blobs()).expect("blobs"),
        builder: Arc::clone(builder) as crate::SharedBuilder,
        clock: clock.clone(),
        hosts: vec![alpha()],
        version: "test".to_owned(),
        acme: None,
    };
    let control = Control::build(config).await.expect("control");
    control.observing.listened(listened.as_duration());
    let handle = control.handle();
    let running = vec![
        tasks::owned("control", async move {
            let (_trigger, drain) = drain::channel();
            control.run(drain).await.expect("runs");
        }),
        run_host(Arc::clone(host), Arc::clone(plain), handle.clone(), data.runner_socket()),
        run_balancer(Arc::clone(plain), handle.clone()),
    ];
    (handle, running)
}

/// A number that no other source has.
fn rand() -> u64 {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).expect("random bytes");
    u64::from_le_bytes(bytes)
}
