//! Everything that a decision about one environment may look at, gathered in one value.
//!
//! Control fills it from the store and its own reception times; nothing in here is fetched later, so a decision
//! can be repeated, replayed and tested without a store, a clock or a network.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_types::api::Installation;
use tandem_types::app::{App, AppSpec};
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::environment::Environment;
use tandem_types::instance::{HostObservation, InstanceObservation, InstanceState, JobObservation};
use tandem_types::release::Release;
use tandem_types::rollout::Rollout;
use tandem_types::routing::{BalancerStatus, Member, RoutingDocument, Table};
use tandem_types::session::Session;
use tandem_types::{
    AppName, BalancerId, BuildNumber, Digest, EnvironmentName, Epoch, Fence, HostName, InstanceId, JobId,
    ReleaseNumber, RolloutNumber, Span, Timestamp, defaults,
};

/// One environment and what surrounds it.
#[derive(Debug, Clone)]
pub struct World {
    /// The app.
    pub app: App,
    /// The environment.
    pub environment: Environment,
    /// Counters.
    pub installation: Installation,
    /// Unfinished rollouts of the environment, by number.
    pub rollouts: Vec<Arc<Rollout>>,
    /// Its latest rollout, finished or not.
    pub last_rollout: Option<Arc<Rollout>>,
    /// When traffic of the environment last moved, over all its rollouts.
    pub last_shift: Option<Timestamp>,
    /// All its releases.
    pub releases: BTreeMap<ReleaseNumber, Arc<Release>>,
    /// All builds of the app.
    pub builds: BTreeMap<BuildNumber, Arc<Build>>,
    /// URL prefix → root tree of the files that balancers serve under it, by build. Of builds that are not in here, parts
    /// that are mounted right at the folder are used.
    pub static_trees: BTreeMap<BuildNumber, Arc<BTreeMap<String, Digest>>>,
    /// Hosts that may run instances, in the order in which they are filled.
    pub hosts: Vec<HostName>,
    /// Its one-off commands that have not come to their end.
    pub sessions: Vec<Arc<Session>>,
    /// What should be on each host for this environment.
    pub assignments: BTreeMap<HostName, Assignment>,
    /// What runners said last, with the time it was received.
    pub observations: BTreeMap<HostName, Received<HostObservation>>,
    /// The routing table of the whole installation.
    pub routing: Arc<RoutingDocument>,
    /// What balancers said last, with the time it was received.
    pub balancers: BTreeMap<BalancerId, Received<BalancerStatus>>,
    /// Unfinished rollouts of other environments that have prepared an epoch.
    pub rivals: Vec<Rival>,
    /// Domains that other environments own.
    pub taken_domains: BTreeMap<String, Owner>,
    /// Fencing number of the lease under which decisions are carried out.
    pub fence: Fence,
    /// Since when reports are received without a gap: absence before [`defaults::BALANCER_LIVE`] is no evidence.
    pub observing_since: Timestamp,
}

/// A volatile report and when it came in.
#[derive(Debug, Clone)]
pub struct Received<T> {
    /// What was said.
    pub value: Arc<T>,
    /// When it came in, by the clock of the receiver.
    pub at: Timestamp,
}

/// A rollout elsewhere that may hold the one slot for a prepared epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rival {
    /// The epoch it prepared.
    pub epoch: Epoch,
    /// Whether it brings traffic back: then it is never pushed aside.
    pub urgent: bool,
}

/// An environment that owns a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its app.
    pub app: AppName,
    /// Its name.
    pub environment: EnvironmentName,
}

impl World {
    /// The unfinished rollout of that number.
    #[must_use]
    pub fn rollout(&self, number: RolloutNumber) -> Option<&Arc<Rollout>> {
        self.rollouts.iter().find(|rollout| rollout.number == number)
    }

    /// The instance as its runner saw it last. Reports of a silent runner are not believed.
    #[must_use]
    pub fn observed(&self, id: InstanceId, now: Timestamp) -> Option<&InstanceObservation> {
        self.fresh_hosts(now).flat_map(|host| &host.instances).find(|instance| instance.id == id)
    }

    /// What the instance does now, as far as its runner tells.
    #[must_use]
    pub fn state(&self, id: InstanceId, now: Timestamp) -> Option<InstanceState> {
        self.observed(id, now).map(|instance| instance.state)
    }

    /// Whether the instance passed its gate and its probes.
    #[must_use]
    pub fn is_ready(&self, id: InstanceId, now: Timestamp) -> bool {
        self.state(id, now) == Some(InstanceState::Ready)
    }

    /// The job as its runner saw it last.
    #[must_use]
    pub fn job(&self, id: JobId, now: Timestamp) -> Option<&JobObservation> {
        self.fresh_hosts(now).flat_map(|host| &host.jobs).find(|job| job.id == id)
    }

    /// The host's report, unless its runner is silent.
    #[must_use]
    pub fn host(&self, host: &HostName, now: Timestamp) -> Option<&HostObservation> {
        self.observations
            .get(host)
            .filter(|report| report.is_fresh(defaults::HOST_LIVE, now))
            .map(|r| &*r.value)
    }

    /// Balancers that reported lately.
    pub fn live_balancers(&self, now: Timestamp) -> impl Iterator<Item = &BalancerStatus> {
        let live = move |report: &&Received<BalancerStatus>| report.is_fresh(defaults::BALANCER_LIVE, now);
        self.balancers.values().filter(live).map(|report| &*report.value)
    }

    /// What the build of a release says must run.
    #[must_use]
    pub fn build_of(&self, release: ReleaseNumber) -> Option<&Arc<Build>> {
        self.builds.get(&self.releases.get(&release)?.build)
    }

    /// What the release runs; `None` where its build is gone.
    #[must_use]
    pub fn spec_of(&self, release: ReleaseNumber) -> Option<&AppSpec> {
        self.build_of(release).map(|build| &build.spec)
    }

    /// Members of this environment's pools in a table.
    #[must_use]
    pub fn members(&self, table: &Table) -> Vec<Member> {
        let mine = table
            .routes
            .iter()
            .map(|route| &route.pool)
            .filter(|pool| pool.app == self.environment.app && pool.environment == self.environment.name);
        let mut members: Vec<_> = mine.flat_map(|pool| pool.all_members().cloned()).collect();
        members.sort();
        members.dedup();
        members
    }

    fn fresh_hosts(&self, now: Timestamp) -> impl Iterator<Item = &HostObservation> {
        let fresh = move |report: &&Received<HostObservation>| report.is_fresh(defaults::HOST_LIVE, now);
        self.observations.values().filter(fresh).map(|report| &*report.value)
    }
}

impl<T> Received<T> {
    /// Whether it came in less than `limit` ago.
    #[must_use]
    pub fn is_fresh(&self, limit: Span, now: Timestamp) -> bool {
        now < later(self.at, limit)
    }
}

/// The point in time a span after another; the end of time where there is none.
#[must_use]
pub fn later(time: Timestamp, span: Span) -> Timestamp {
    time.checked_add(span.as_duration()).unwrap_or(Timestamp::MAX)
}
