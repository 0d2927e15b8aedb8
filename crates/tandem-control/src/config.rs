//! Makes control of its parts and runs its reconcilers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tandem_blobs::BlobStore;
use tandem_kit::clock::Clock;
use tandem_kit::drain::Drain;
use tandem_kit::paths::DataDir;
use tandem_kit::tasks;
use tandem_store::{Expect, SharedStore, Transaction};
use tandem_types::api::Installation;
use tandem_types::app::App;
use tandem_types::document::Cause;
use tandem_types::release::Release;
use tandem_types::rollout::Rollout;
use tandem_types::{HostName, InstanceId, JobId, Timestamp, defaults, keys};

use crate::builder::SharedBuilder;
use crate::event_log::EventLogs;
use crate::feed::Feed;
use crate::handle::Handle;
use crate::housekeeping::Housekeeping;
use crate::housekeeping::snapshots::SnapshotTaker;
use crate::https::Keeper;
use crate::mirror::Mirror;
use crate::observing::Observing;
use crate::rollouts::Reconciler;
use crate::secrets::{self, Keyring};
use crate::shared::{Parts, Shared};
use crate::steady::Steady;

/// What control is made of.
pub struct ControlConfig {
    /// Keys and event logs lie here.
    pub data: DataDir,
    /// All documents.
    pub store: SharedStore,
    /// Sources and builds.
    pub blobs: BlobStore,
    /// Makes builds.
    pub builder: SharedBuilder,
    /// Time.
    pub clock: Clock,
    /// Hosts that may run instances, in the order in which they are filled. At least one.
    pub hosts: Vec<HostName>,
    /// Version of the server, for `status`.
    pub version: String,
    /// The authority that is asked for certificates; none: only the local one signs.
    pub acme: Option<tandem_acme::Config>,
}

/// Why control cannot start or go on. Fits after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nowhere to run anything.
    #[error("find a host: none was given")]
    NoHost,
    /// The key of config values cannot be used.
    #[error("open the key of config values")]
    Key(#[source] secrets::KeyError),
    /// The documents cannot be read at the start.
    #[error("read the store")]
    Store(#[source] tandem_store::Error),
}

/// The server's decisions at work. Its [`Handle`] answers also before it runs.
pub struct Control {
    shared: Arc<Shared>,
    feed: Feed,
    /// The store's file, of which snapshots are taken.
    database: PathBuf,
    pub(crate) observing: Arc<Observing>,
}

impl Control {
    /// Reads what is there. The first time, makes the key of config values and the installation's counters.
    ///
    /// # Errors
    /// The key file or the store cannot be used.
    pub async fn build(config: ControlConfig) -> Result<Self, Error> {
        let ControlConfig { data, store, blobs, builder, clock, hosts, version, acme } = config;
        if hosts.is_empty() {
            return Err(Error::NoHost);
        }
        let keyring = Keyring::open(&data.keys()).map_err(Error::Key)?;
        let steady = Steady::new(clock.clone());
        let logs = EventLogs::new(data.rollouts(), steady.clone());
        let root = data.root().to_owned();
        let parts = Parts { store, blobs, builder, clock, steady, keyring, logs, hosts, version, root, acme };
        let shared = Shared::new(parts);
        let mut feed = Feed::new(Arc::clone(&shared));
        feed.fill().await.map_err(Error::Store)?;
        ensure_installation(&shared).await.map_err(Error::Store)?;
        if let Some(ahead) = shared.look(newest_told).and_then(|told| shared.steady.not_before(told)) {
            tell_time_ahead(ahead);
        }
        // By the machine's clock: whether this process does its work is no matter of a test's.
        let observing = Arc::new(Observing::new(shared.steady.clone(), Clock::system()));
        Ok(Self { shared, feed, database: data.database(), observing })
    }

    /// Use cases. Cheap to clone.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// Runs the reconcilers until the drain; a step under way is finished first.
    ///
    /// # Errors
    /// None today: what fails is tried again.
    pub async fn run(self, drain: Drain) -> Result<(), Error> {
        let Self { shared, feed, database, observing } = self;
        observing.begin();
        // Awaited and not only started: a panic in one of them is one of control.
        let feed = tasks::owned("control feed", feed.run());
        let housekeeping = tasks::owned("housekeeping", Housekeeping::new(Arc::clone(&shared)).run());
        let snapshots = tasks::owned("snapshots", SnapshotTaker::new(Arc::clone(&shared), database).run());
        let keeper = Keeper::new(Arc::clone(&shared)).run(drain.clone());
        // At a drain the reconciler is waited for, which may have more to finish.
        let certificates = tasks::owned("certificates", async {
            keeper.await;
            std::future::pending().await
        });
        tokio::select! {
            () = Reconciler::new(shared, Arc::clone(&observing)).run(drain) => {}
            () = observing.keep() => {}
            () = feed => {}
            () = housekeeping => {}
            () = snapshots => {}
            () = certificates => {}
        }
        Ok(())
    }
}

/// The latest time that an earlier process wrote down. Of what has ended too: releases are ordered by when they took and
/// lost the traffic.
fn newest_told(mirror: &Mirror) -> Option<Timestamp> {
    let rollouts =
        mirror.list::<Rollout>(keys::APPS).filter_map(|(_, found)| newest_of_rollout(&found.value));
    let releases = mirror.list::<Release>(keys::APPS).filter_map(|(_, found)| {
        let Release { created, took_traffic, lost_traffic, .. } = &*found.value;
        Some(*created).max(*took_traffic).max(*lost_traffic)
    });
    let leaving = mirror.environments().filter_map(|environment| {
        let app = mirror.value::<App>(&keys::app(&environment.app))?;
        Some(app.destroying.as_ref()?.environments.get(&environment.name)?.since)
    });
    rollouts.chain(releases).chain(leaving).max()
}

fn newest_of_rollout(rollout: &Rollout) -> Option<Timestamp> {
    let steps = rollout.steps.iter().flat_map(|step| [Some(step.started), step.finished]);
    steps.chain([Some(rollout.created), rollout.shifted, rollout.finished]).max().flatten()
}

/// Seconds are what every time service corrects; more should be known to who wonders about the times shown.
fn tell_time_ahead(ahead: SignedDuration) {
    if ahead > SignedDuration::from_mins(1) {
        tracing::warn!(
            "the wall clock was set back: documents were written {ahead:#} ahead of it; the times shown run ahead for ten \
             times as long, limits hold as ever"
        );
    }
}

async fn ensure_installation(shared: &Shared) -> Result<(), tandem_store::Error> {
    if let Some(installation) = shared.value::<Installation>(keys::INSTALLATION) {
        shared.down.send_replace(installation.down);
        return Ok(());
    }
    let installation = Installation {
        next_instance: InstanceId(1),
        next_job: JobId(1),
        next_uid: defaults::FIRST_UID,
        down: false,
    };
    let cause = Cause {
        actor: "system:control".to_owned(),
        action: "installation.create".to_owned(),
        reason: String::new(),
        subject: String::new(),
    };
    let transaction = Transaction::new(cause).put(keys::INSTALLATION, &installation, Expect::Absent);
    match shared.commit(transaction).await {
        // Another server of the same store was first.
        Ok(_) | Err(tandem_store::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Longest time for which anything here sleeps without looking: a jump of the wall clock costs no more.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(5);
