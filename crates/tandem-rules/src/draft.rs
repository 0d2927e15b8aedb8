//! The documents of one environment as a decision would leave them.
//!
//! A decision changes the draft as if it were the store; what differs from the world at the end is the transaction.
//! So a decision reads as what it does, and a decision that changes nothing writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::api::Installation;
use tandem_types::app::{App, AppSpec, ProcessSpec};
use tandem_types::assignment::{AssignedBuild, AssignedInstance, AssignedJob, Assignment, Desired};
use tandem_types::build::Build;
use tandem_types::environment::Environment;
use tandem_types::instance::InstanceState;
use tandem_types::release::Release;
use tandem_types::rollout::Rollout;
use tandem_types::routing::{Member, Route, RoutingDocument};
use tandem_types::session::Session;
use tandem_types::{
    BalancerId, BuildNumber, Epoch, HostName, InstanceId, JobId, ProcessType, ReleaseNumber, Span, Timestamp,
    defaults, keys,
};

use crate::placement::Position;
use crate::world::{World, later};
use crate::{balancers, table};

/// Time beyond an instance's own stop time-out in which its runner says that it ended.
const STOP_SLACK: Span = Span::seconds(10);

/// One document to write. All changes of a plan go into one transaction, each against the revision that the
/// world was read at.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The app's counters.
    App(Box<App>),
    /// The environment.
    Environment(Box<Environment>),
    /// The installation's counters.
    Installation(Box<Installation>),
    /// A new build.
    Build(Box<Build>),
    /// A new or changed release.
    Release(Box<Release>),
    /// A changed rollout.
    Rollout(Box<Rollout>),
    /// A one-off command.
    Session(Box<Session>),
    /// What should be on a host.
    Assignment(HostName, Box<Assignment>),
    /// The routing table.
    Routing(Box<RoutingDocument>),
}

impl Change {
    /// Key of the document.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::App(app) => keys::app(&app.name),
            Self::Environment(environment) => keys::environment(&environment.app, &environment.name),
            Self::Installation(_) => keys::INSTALLATION.to_owned(),
            Self::Build(build) => keys::build(&build.app, build.number),
            Self::Release(release) => keys::release(&release.app, &release.environment, release.number),
            Self::Session(session) => keys::session(&session.app, &session.environment, session.id),
            Self::Rollout(rollout) => keys::rollout(&rollout.app, &rollout.environment, rollout.number),
            Self::Assignment(host, assignment) => {
                keys::assignment(host, &assignment.app, &assignment.environment)
            }
            Self::Routing(_) => keys::ROUTING_TABLE.to_owned(),
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Draft<'w> {
    pub(crate) world: &'w World,
    pub(crate) now: Timestamp,
    pub(crate) app: App,
    pub(crate) environment: Environment,
    pub(crate) installation: Installation,
    pub(crate) assignments: BTreeMap<HostName, Assignment>,
    pub(crate) routing: RoutingDocument,
    /// One-off commands that were looked at.
    pub(crate) sessions: BTreeMap<JobId, Session>,
    pub(crate) new_build: Option<Build>,
    releases: BTreeMap<ReleaseNumber, Release>,
    pub(crate) look_again: Option<Timestamp>,
}

impl<'w> Draft<'w> {
    pub(crate) fn new(world: &'w World, now: Timestamp) -> Self {
        Self {
            world,
            now,
            app: world.app.clone(),
            environment: world.environment.clone(),
            installation: world.installation.clone(),
            assignments: world.assignments.clone(),
            routing: (*world.routing).clone(),
            sessions: BTreeMap::new(),
            new_build: None,
            releases: BTreeMap::new(),
            look_again: None,
        }
    }

    /// Everything that differs from the world.
    pub(crate) fn changes(self) -> Vec<Change> {
        let world = self.world;
        let mut changes = Vec::new();
        if self.app != world.app {
            changes.push(Change::App(Box::new(self.app)));
        }
        if self.environment != world.environment {
            changes.push(Change::Environment(Box::new(self.environment)));
        }
        if self.installation != world.installation {
            changes.push(Change::Installation(Box::new(self.installation)));
        }
        changes.extend(self.new_build.map(|build| Change::Build(Box::new(build))));
        let changed = |(number, release): &(ReleaseNumber, Release)| {
            world.releases.get(number).is_none_or(|old| **old != *release)
        };
        changes.extend(self.releases.into_iter().filter(changed).map(|(_, r)| Change::Release(Box::new(r))));
        let before = |id: JobId| world.sessions.iter().find(|session| session.id == id);
        let changed =
            self.sessions.into_values().filter(|one| before(one.id).is_none_or(|old| **old != *one));
        changes.extend(changed.map(|session| Change::Session(Box::new(session))));
        for (host, assignment) in self.assignments {
            if world.assignments.get(&host) != Some(&assignment) {
                let assignment = Assignment { fence: world.fence, ..assignment };
                changes.push(Change::Assignment(host, Box::new(assignment)));
            }
        }
        if self.routing != *world.routing {
            changes.push(Change::Routing(Box::new(self.routing)));
        }
        changes
    }

    /// Asks to be looked at again at that time, or earlier when something changes.
    pub(crate) fn wake_at(&mut self, time: Timestamp) {
        if time > self.now {
            self.look_again = Some(self.look_again.map_or(time, |other| other.min(time)));
        }
    }

    // Releases and builds.

    pub(crate) fn release(&self, number: ReleaseNumber) -> Option<&Release> {
        self.releases.get(&number).or_else(|| self.world.releases.get(&number).map(|release| &**release))
    }

    pub(crate) fn put_release(&mut self, release: Release) {
        self.releases.insert(release.number, release);
    }

    pub(crate) fn change_release(&mut self, number: ReleaseNumber, change: impl FnOnce(&mut Release)) {
        if let Some(mut release) = self.release(number).cloned() {
            change(&mut release);
            self.put_release(release);
        }
    }

    pub(crate) fn build(&self, number: BuildNumber) -> Option<&Build> {
        let new = self.new_build.as_ref().filter(|build| build.number == number);
        new.or_else(|| self.world.builds.get(&number).map(|build| &**build))
    }

    pub(crate) fn build_of(&self, release: ReleaseNumber) -> Option<&Build> {
        self.build(self.release(release)?.build)
    }

    pub(crate) fn spec(&self, release: ReleaseNumber) -> Option<&AppSpec> {
        self.build_of(release).map(|build| &build.spec)
    }

    /// Instances that a release should have, by process type: what people said, else what its build says.
    pub(crate) fn wanted(&self, release: ReleaseNumber) -> BTreeMap<ProcessType, u32> {
        let Some(spec) = self.spec(release) else { return BTreeMap::new() };
        let count = |(process, spec): (&ProcessType, &ProcessSpec)| {
            let said = self.environment.scale.get(process).copied();
            let count = said.unwrap_or(spec.instances);
            (process.clone(), if spec.singleton { count.min(1) } else { count })
        };
        spec.processes.iter().map(count).collect()
    }

    // Instances.

    pub(crate) fn instances(&self) -> impl Iterator<Item = (&HostName, &AssignedInstance)> {
        self.assignments.iter().flat_map(|(host, a)| a.instances.iter().map(move |instance| (host, instance)))
    }

    pub(crate) fn instance(&self, id: InstanceId) -> Option<&AssignedInstance> {
        self.instances().map(|(_, instance)| instance).find(|instance| instance.id == id)
    }

    pub(crate) fn member(&self, id: InstanceId) -> Option<Member> {
        let (host, _) = self.instances().find(|(_, instance)| instance.id == id)?;
        Some(Member { host: host.clone(), instance: id })
    }

    pub(crate) fn state(&self, id: InstanceId) -> Option<InstanceState> {
        self.world.state(id, self.now)
    }

    pub(crate) fn is_ready(&self, id: InstanceId) -> bool {
        self.world.is_ready(id, self.now)
    }

    /// Whether its runner says that it ended as it should. Not seen at all is no evidence of an end.
    pub(crate) fn is_stopped(&self, id: InstanceId) -> bool {
        self.instance(id).is_none() || self.state(id) == Some(InstanceState::Stopped)
    }

    /// Longest time until the runners of these instances say that they ended, from when they were told to.
    pub(crate) fn longest_stop(&self, ids: impl IntoIterator<Item = InstanceId>) -> Span {
        let instances = ids.into_iter().filter_map(|id| self.instance(id));
        let longest = instances.map(|instance| instance.spec.stop_timeout.as_millis()).max().unwrap_or(0);
        Span::millis(longest + STOP_SLACK.as_millis())
    }

    pub(crate) fn set_desired(&mut self, id: InstanceId, desired: Desired) {
        for instance in self.assignments.values_mut().flat_map(|a| &mut a.instances) {
            if instance.id == id && instance.desired != Desired::Stop {
                instance.desired = desired;
            }
        }
    }

    /// Assigns a new instance of the release. Its build must be here.
    pub(crate) fn start(&mut self, release: ReleaseNumber, position: &Position) -> Option<InstanceId> {
        let build = self.build_of(release)?.number;
        let spec = self.spec(release)?.processes.get(&position.process)?.clone();
        self.name_build(&position.host, release);
        let id = self.installation.next_instance;
        self.installation.next_instance = id.next();
        let instance = AssignedInstance {
            id,
            release,
            build,
            process: position.process.clone(),
            index: position.index,
            spec,
            desired: Desired::Run,
        };
        self.assignment(&position.host).instances.push(instance);
        Some(id)
    }

    /// Has a host check the release's build out, and probe under its first domain from now on.
    pub(crate) fn name_build(&mut self, host: &HostName, release: ReleaseNumber) {
        let Some(build) = self.build_of(release) else { return };
        let (number, assigned) = (build.number, assigned_build(build));
        let domains = table::domains(&self.app.name, &self.environment.name, &build.spec);
        let assignment = self.assignment(host);
        assignment.builds.insert(number, assigned);
        if let Some(host) = table::host_to_ask(domains.iter().map(String::as_str)) {
            assignment.host_header = host;
        }
    }

    /// Assigns a command that runs once, in the build and with the config of the release.
    pub(crate) fn start_job(&mut self, host: &HostName, mut job: AssignedJob) -> JobId {
        self.name_build(host, job.release);
        job.id = self.installation.next_job;
        self.installation.next_job = job.id.next();
        let id = job.id;
        self.assignment(host).jobs.push(job);
        id
    }

    pub(crate) fn assignment(&mut self, host: &HostName) -> &mut Assignment {
        let empty = || Assignment {
            app: self.app.name.clone(),
            environment: self.environment.name.clone(),
            fence: self.world.fence,
            uid: self.environment.uid,
            host_header: format!("{}.localhost", self.app.name),
            builds: BTreeMap::new(),
            instances: Vec::new(),
            jobs: Vec::new(),
        };
        self.assignments.entry(host.clone()).or_insert_with(empty)
    }

    // Routing.

    /// Instances of the environment's serving pool.
    pub(crate) fn pool(&self) -> BTreeSet<InstanceId> {
        self.world.members(&self.routing.serving).into_iter().map(|member| member.instance).collect()
    }

    /// The environment's routes with these instances behind them.
    pub(crate) fn routes(&self, release: ReleaseNumber, pool: &BTreeSet<InstanceId>) -> Vec<Route> {
        let Some(build) = self.build_of(release) else { return Vec::new() };
        let members: Vec<_> = pool.iter().filter_map(|id| self.member(*id)).collect();
        let older = self.older_builds(release);
        table::routes(&table::Service {
            app: &self.app.name,
            environment: &self.environment.name,
            release,
            build,
            static_trees: &self.world.static_trees,
            members: &members,
            older: &older,
        })
    }

    /// Builds of other releases that took traffic lately, latest first: their pages are still open somewhere.
    fn older_builds(&self, release: ReleaseNumber) -> Vec<&Build> {
        let took_lately = |other: &Release| match other.lost_traffic {
            _ if self.environment.current == Some(other.number) => Some(Timestamp::MAX),
            Some(lost) if later(lost, defaults::STATIC_KEPT) > self.now => Some(lost),
            _ => None,
        };
        let numbers: BTreeSet<_> = self.world.releases.keys().chain(self.releases.keys()).collect();
        let others = numbers.into_iter().filter(|number| **number != release);
        let others = others.filter_map(|number| self.release(*number));
        let mut lately: Vec<_> =
            others.filter_map(|other| Some((took_lately(other)?, other.build))).collect();
        lately.sort_by(|a, b| b.cmp(a));
        lately.into_iter().filter_map(|(_, build)| self.build(build)).collect()
    }

    /// Balancers that may still route by an epoch before this one.
    pub(crate) fn behind(&self, epoch: Epoch) -> BTreeSet<BalancerId> {
        balancers::behind(&self.routing, &self.world.balancers, epoch)
    }

    /// Writes down how far balancers are, for a server that starts anew.
    pub(crate) fn remember_balancers(&mut self) {
        balancers::remember(&mut self.routing, &self.world.balancers);
    }

    /// Whether a balancer may still send requests to the instance: the table names it, or a balancer has not yet said
    /// that it serves the present table, or may exist without being written down or having reported since we listen.
    pub(crate) fn may_be_routed(&self, id: InstanceId) -> bool {
        let names = |table: &tandem_types::routing::Table| {
            table.routes.iter().flat_map(|route| route.pool.all_members()).any(|member| member.instance == id)
        };
        let routing = &self.routing;
        names(&routing.serving)
            || routing.prepared.as_ref().is_some_and(names)
            || !self.behind(routing.serving.epoch).is_empty()
            || later(self.world.observing_since, defaults::BALANCER_LIVE) > self.now
    }

    /// Whether no balancer that serves `epoch`, which does not name the instance, has requests in flight to it, or they
    /// had their time since `unrouted`. One that fell silent has those it told of last; one that has told nothing to
    /// this server may have some. Better to wait out the limit than to cut requests.
    pub(crate) fn is_drained(&self, id: InstanceId, epoch: Epoch, unrouted: Option<Timestamp>) -> bool {
        let reports = &self.world.balancers;
        let busy = reports.values().any(|report| report.value.draining.contains_key(&id))
            || balancers::unheard(&self.routing, reports).any(|(_, serving)| serving >= epoch);
        let over = unrouted.is_none_or(|time| later(time, defaults::DRAIN_TIMEOUT) <= self.now);
        !busy || over
    }
}

fn assigned_build(build: &Build) -> AssignedBuild {
    let path_of = |text: &String| text.find('/').map(|start| text[start..].to_owned());
    AssignedBuild {
        root: build.spec.root.clone(),
        subtrees: build.subtrees.clone(),
        interpreter: build.interpreter.as_ref().and_then(path_of),
        volumes: build.spec.volumes.clone(),
        path: build.spec.path.clone(),
        environment: build.spec.environment.clone(),
    }
}
