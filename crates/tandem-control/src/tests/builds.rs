//! A builder that makes of any source what the test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tandem_blobs::BlobStore;
use tandem_build::git::{self, Attempt, FetchRequest, Fetched, KeyPair, Pin};
use tandem_rules::room::Kept;
use tandem_types::app::{AppSpec, ProcessSpec, ReleaseCommand};
use tandem_types::build::{Build, Subtree};
use tandem_types::event::Event;
use tandem_types::problem::Problem;
use tandem_types::{AppName, BuildNumber, Digest, Span, Timestamp};
use tokio::sync::watch;

use crate::builder::{BuildOrder, Builder, Events, Stocked};

/// A key of a host, and of apps.
pub(super) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
/// The private half of every app's key.
pub(super) const PRIVATE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nnever-to-be-seen\n";

/// See the module.
pub(super) struct FakeBuilder {
    pub(super) spec: Mutex<AppSpec>,
    /// Parts of the next builds.
    pub(super) subtrees: Mutex<Vec<Subtree>>,
    /// What is kept only to be quicker.
    pub(super) stock: Mutex<Vec<Kept<Stocked>>>,
    /// The next builds fail with this.
    pub(super) problem: Mutex<Option<Problem>>,
    /// Builds whose static files were looked for, each as often as they were.
    pub(super) looked_into: Mutex<Vec<BuildNumber>>,
    /// What the next fetches bring, the last first; they fail without.
    pub(super) fetched: Mutex<Vec<Fetched>>,
    /// Hosts that each fetch meets.
    pub(super) pins: Mutex<Vec<Pin>>,
    /// What was asked of fetches.
    pub(super) requests: Mutex<Vec<FetchRequest>>,
    /// Builds of these apps wait until they are taken out.
    pub(super) held: watch::Sender<Vec<AppName>>,
}

impl FakeBuilder {
    pub(super) fn shared() -> Arc<Self> {
        let spec = Mutex::new(spec(&[("web", 2), ("worker", 1), ("clock", 1)]));
        Arc::new(Self {
            spec,
            subtrees: Mutex::default(),
            stock: Mutex::default(),
            problem: Mutex::default(),
            looked_into: Mutex::default(),
            fetched: Mutex::default(),
            pins: Mutex::default(),
            requests: Mutex::default(),
            held: watch::Sender::new(Vec::new()),
        })
    }
}

pub(super) fn spec(processes: &[(&str, u32)]) -> AppSpec {
    let specs = processes.iter().map(|(name, instances)| {
        let process = name.parse().expect("a process type");
        let spec = ProcessSpec { instances: *instances, ..ProcessSpec::new(&process, "run") };
        (process, spec)
    });
    AppSpec {
        processes: specs.collect(),
        release: Some(ReleaseCommand { command: "migrate".to_owned(), timeout: Span::minutes(15) }),
        smoke: Some("check".to_owned()),
        ..AppSpec::default()
    }
}

impl Builder for FakeBuilder {
    fn fetch(&self, request: FetchRequest, _: Events) -> BoxFuture<'static, Attempt> {
        let result = match self.fetched.lock().expect("lock").pop() {
            Some(fetched) => Ok(fetched),
            None => Err(git::Error::Lfs(vec!["logo.png".to_owned()])),
        };
        let pins = self.pins.lock().expect("lock").clone();
        self.requests.lock().expect("lock").push(request);
        Box::pin(async { Attempt { result, pins } })
    }

    fn create_key(&self, app: AppName) -> BoxFuture<'static, Result<KeyPair, Problem>> {
        let public = format!("{KEY} tandem:{app}");
        Box::pin(async { Ok(KeyPair { private: PRIVATE.to_owned(), public }) })
    }

    fn build(&self, order: BuildOrder, events: Events) -> BoxFuture<'static, Result<Build, Problem>> {
        let (spec, problem) =
            (self.spec.lock().expect("lock").clone(), self.problem.lock().expect("lock").clone());
        let subtrees = self.subtrees.lock().expect("lock").clone();
        let mut held = self.held.subscribe();
        Box::pin(async move {
            events(Event::Line { source: "build".to_owned(), text: format!("building {}", order.number) });
            let free = |held: &Vec<AppName>| !held.contains(&order.app);
            held.wait_for(free).await.map_err(|_| Problem::new(500, "gone", "the test is over"))?;
            if let Some(problem) = problem {
                return Err(problem);
            }
            let digest = order.source.tree;
            let empty = Build::new(order.app, order.number, digest, Timestamp::UNIX_EPOCH);
            Ok(Build { subtrees, spec, source: order.source.info, ..empty })
        })
    }

    fn static_trees(&self, build: &Build, blobs: &BlobStore) -> Result<BTreeMap<String, Digest>, Problem> {
        self.looked_into.lock().expect("lock").push(build.number);
        tandem_build::static_trees(build, blobs).map_err(|error| Problem::new(500, "gone", error.to_string()))
    }

    fn cached_roots(&self) -> Vec<Digest> {
        Vec::new()
    }

    fn stock(&self) -> BoxFuture<'static, Vec<Kept<Stocked>>> {
        let stock = self.stock.lock().expect("lock").clone();
        Box::pin(async { stock })
    }

    fn remove_stock(&self, key: Stocked) -> BoxFuture<'static, ()> {
        self.stock.lock().expect("lock").retain(|kept| kept.key != key);
        Box::pin(async {})
    }

    fn forget(&self, _: AppName) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}
