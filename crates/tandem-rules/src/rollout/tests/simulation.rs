//! The documents, the actors and the executor in one place, with the promises checked at every write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_types::api::Installation;
use tandem_types::app::{App, AppSpec, ProcessSpec, ReleaseCommand};
use tandem_types::assignment::{Assignment, Desired};
use tandem_types::build::Build;
use tandem_types::environment::Environment;
use tandem_types::instance::HostObservation;
use tandem_types::release::Release;
use tandem_types::rollout::Rollout;
use tandem_types::routing::{BalancerStatus, RoutingDocument};
use tandem_types::{
    BalancerId, BuildNumber, Digest, EnvironmentName, Fence, HostName, InstanceId, JobId, ProcessType,
    ReleaseNumber, RolloutNumber, Span, Timestamp,
};

use super::actors::{Balancer, Behavior, Runner};
use crate::draft::Change;
use crate::rollout::{Built, Plan, built, plan};
use crate::world::{Received, Rival, World, later};
use crate::{balancers, destroy, upkeep};

/// A whole installation with one environment.
#[derive(Debug, Clone)]
pub struct Simulation {
    pub now: Timestamp,
    pub app: App,
    pub environment: Environment,
    pub installation: Installation,
    pub rollouts: BTreeMap<RolloutNumber, Rollout>,
    pub releases: BTreeMap<ReleaseNumber, Arc<Release>>,
    pub builds: BTreeMap<BuildNumber, Arc<Build>>,
    pub assignments: BTreeMap<HostName, Assignment>,
    pub routing: RoutingDocument,
    pub runners: Vec<Runner>,
    pub balancers: Vec<Balancer>,
    pub reports: BTreeMap<HostName, Received<HostObservation>>,
    pub statuses: BTreeMap<BalancerId, Received<BalancerStatus>>,
    pub observing_since: Timestamp,
    pub behaviors: BTreeMap<BuildNumber, Behavior>,
    /// Given to the next builds, in order.
    pub next_behaviors: Vec<Behavior>,
    pub spec: AppSpec,
    /// Rollouts of other environments that hold the slot.
    pub rivals: Vec<Rival>,
    /// Transactions so far.
    pub writes: usize,
    /// Every assigned release phase, by rollout.
    pub release_jobs: BTreeMap<RolloutNumber, BTreeSet<JobId>>,
}

pub fn process(name: &str) -> ProcessType {
    name.parse().unwrap()
}

pub fn spec(processes: &[(&str, u32)]) -> AppSpec {
    let specs = processes.iter().map(|(name, instances)| {
        let process = process(name);
        (process.clone(), ProcessSpec { instances: *instances, ..ProcessSpec::new(&process, "run") })
    });
    AppSpec {
        processes: specs.collect(),
        release: Some(ReleaseCommand { command: "migrate".to_owned(), timeout: Span::minutes(15) }),
        smoke: Some("check".to_owned()),
        ..AppSpec::default()
    }
}

impl Simulation {
    pub fn new(processes: &[(&str, u32)]) -> Self {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let (app, name) = ("guestbook".parse().unwrap(), EnvironmentName::production());
        let environment = Environment::new(app, name, 70_000, now);
        Self {
            now,
            app: App {
                name: environment.app.clone(),
                created: now,
                next_build: BuildNumber(1),
                destroying: None,
            },
            environment,
            installation: Installation {
                next_instance: InstanceId(1),
                next_job: JobId(1),
                next_uid: 70_001,
                down: false,
            },
            rollouts: BTreeMap::new(),
            releases: BTreeMap::new(),
            builds: BTreeMap::new(),
            assignments: BTreeMap::new(),
            routing: RoutingDocument::default(),
            runners: vec![Runner::new("alpha")],
            balancers: vec![Balancer::new("edge")],
            reports: BTreeMap::new(),
            statuses: BTreeMap::new(),
            observing_since: now,
            behaviors: BTreeMap::new(),
            next_behaviors: Vec::new(),
            spec: spec(processes),
            rivals: Vec::new(),
            writes: 0,
            release_jobs: BTreeMap::new(),
        }
    }

    // The executor.

    pub fn unfinished(&self) -> Vec<Arc<Rollout>> {
        let open = self.rollouts.values().filter(|rollout| !rollout.state.is_final());
        open.map(|rollout| Arc::new(rollout.clone())).collect()
    }

    pub fn world(&self) -> World {
        World {
            sessions: Vec::new(),
            app: self.app.clone(),
            environment: self.environment.clone(),
            installation: self.installation.clone(),
            rollouts: self.unfinished(),
            last_rollout: self.rollouts.values().last().cloned().map(Arc::new),
            last_shift: self.rollouts.values().filter_map(|rollout| rollout.shifted).max(),
            releases: self.releases.clone(),
            builds: self.builds.clone(),
            static_trees: BTreeMap::new(),
            hosts: self.runners.iter().map(|runner| runner.host.clone()).collect(),
            assignments: self.assignments.clone(),
            observations: self.reports.clone(),
            routing: Arc::new(self.routing.clone()),
            balancers: self.statuses.clone(),
            rivals: self.rivals.clone(),
            taken_domains: BTreeMap::new(),
            fence: Fence(1),
            observing_since: self.observing_since,
        }
    }

    /// Plans once for every unfinished rollout, then keeps house. Says whether anything was written.
    pub fn execute(&mut self) -> bool {
        let numbers: Vec<_> = self.unfinished().iter().map(|rollout| rollout.number).collect();
        let mut wrote = false;
        for number in numbers {
            let next = plan(&self.world(), number, self.now);
            wrote |= self.apply(next.changes);
            if let Some(build) = next.build {
                let finished = self.finish_build(number, build);
                wrote |= self.apply(finished.changes);
            }
        }
        let keep = if self.app.destroying.is_some() { destroy::plan } else { upkeep::plan };
        wrote | self.apply(keep(&self.world(), self.now).changes)
    }

    fn finish_build(&mut self, number: RolloutNumber, build: BuildNumber) -> Plan {
        if !self.behaviors.contains_key(&build) {
            let next = if self.next_behaviors.is_empty() {
                Behavior::default()
            } else {
                self.next_behaviors.remove(0)
            };
            self.behaviors.insert(build, next);
        }
        let result = Built { build: self.make_build(build), generated: Vec::new() };
        built(&self.world(), number, result, self.now)
    }

    fn make_build(&self, number: BuildNumber) -> Build {
        let digest = Digest([u8::try_from(number.0 % 256).unwrap(); 32]);
        Build { spec: self.spec.clone(), ..Build::new(self.app.name.clone(), number, digest, self.now) }
    }

    pub fn apply(&mut self, changes: Vec<Change>) -> bool {
        let wrote = !changes.is_empty();
        self.writes += usize::from(wrote);
        self.check_promises(&changes);
        for change in changes {
            match change {
                Change::App(app) => self.app = *app,
                Change::Environment(environment) => self.environment = *environment,
                Change::Installation(installation) => self.installation = *installation,
                Change::Build(build) => drop(self.builds.insert(build.number, Arc::from(build))),
                Change::Release(release) => drop(self.releases.insert(release.number, Arc::from(release))),
                Change::Rollout(rollout) => drop(self.rollouts.insert(rollout.number, *rollout)),
                Change::Session(_) => {}
                Change::Assignment(host, assignment) => drop(self.assignments.insert(host, *assignment)),
                Change::Routing(routing) => self.routing = *routing,
            }
        }
        wrote
    }

    /// The promises of the module's documentation, at the moment of the write.
    fn check_promises(&mut self, changes: &[Change]) {
        let world = self.world();
        for change in changes {
            match change {
                Change::Routing(routing) => self.check_routing(&world, routing),
                Change::Assignment(host, assignment) => self.check_stops(host, assignment),
                Change::Rollout(rollout) => {
                    let jobs = self.release_jobs.entry(rollout.number).or_default();
                    jobs.extend(rollout.release_job);
                    assert!(jobs.len() <= 1, "{} had its release phase assigned twice", rollout.number);
                }
                _ => {}
            }
        }
    }

    fn check_routing(&self, world: &World, routing: &RoutingDocument) {
        if routing.serving == self.routing.serving {
            return;
        }
        let ready = |id: InstanceId| world.is_ready(id, self.now);
        let next = world.members(&routing.serving);
        for member in &next {
            assert!(ready(member.instance), "{} was routed to and is not healthy", member.instance);
        }
        let had = world.members(&self.routing.serving).iter().any(|member| ready(member.instance));
        let wished = self
            .rollouts
            .values()
            .any(|rollout| !rollout.state.is_final() && rollout.scale.get(&ProcessType::web()) == Some(&0));
        let none_wanted = self.environment.scale.get(&ProcessType::web()) == Some(&0);
        assert!(
            !next.is_empty() || !had || wished || none_wanted || self.app.destroying.is_some(),
            "a pool with a healthy instance was emptied"
        );
    }

    fn check_stops(&self, host: &HostName, assignment: &Assignment) {
        let before = self.assignments.get(host);
        for instance in assignment.instances.iter().filter(|i| i.desired == Desired::Stop) {
            let old = before.and_then(|old| old.instances.iter().find(|i| i.id == instance.id));
            if old.is_some_and(|old| old.desired == Desired::Stop) {
                continue;
            }
            for balancer in &self.balancers {
                assert!(
                    !balancer.routes_to(instance.id),
                    "{} was stopped while {} routes to it",
                    instance.id,
                    balancer.id
                );
            }
        }
    }

    // Time and the actors.

    pub fn run_runners(&mut self) {
        let behaviors = self.behaviors.clone();
        for runner in self.runners.iter_mut().filter(|runner| !runner.hangs) {
            let Some(assignment) = self.assignments.get(&runner.host) else { continue };
            runner.obey(assignment, |build| behaviors.get(&build).copied().unwrap_or_default(), self.now);
        }
    }

    pub fn report(&mut self) {
        for runner in self.runners.iter().filter(|runner| !runner.hangs) {
            let report = runner.report(&self.app.name, self.assignments.get(&runner.host));
            let received = Received { value: Arc::new(report), at: self.now };
            self.reports.insert(runner.host.clone(), received);
        }
        for balancer in self.balancers.iter().filter(|balancer| balancer.connected) {
            let status = balancer.report();
            if let Some(routing) = balancers::with(&self.routing, &status) {
                self.routing = routing;
            }
            let received = Received { value: Arc::new(status), at: self.now };
            self.statuses.insert(balancer.id.clone(), received);
        }
    }

    /// The server does nothing for so long, and knows then what it knew.
    pub fn stop_server(&mut self, length: Span) {
        self.now = later(self.now, length);
        self.observing_since = self.now;
    }

    /// What a server that starts anew knows: the documents as they are stored, and no report of anybody.
    pub fn restart_server(&mut self) {
        self.reports.clear();
        self.statuses.clear();
        self.observing_since = self.now;
        let stored = serde_json::to_string(&(&self.app, &self.rollouts, &self.routing)).unwrap();
        (self.app, self.rollouts, self.routing) = serde_json::from_str(&stored).unwrap();
    }

    /// The balancer is gone for good, and a person says so.
    pub fn remove_balancer(&mut self, place: usize) {
        let gone = self.balancers.remove(place).id;
        self.statuses.remove(&gone);
        self.routing = balancers::without(&self.routing, &gone).expect("it was known");
        assert_eq!(balancers::without(&self.routing, &gone), None);
        if let Some(app) = destroy::without_balancer(&self.app, &gone) {
            self.app = app;
        }
    }

    pub fn run_balancers(&mut self) {
        for balancer in self.balancers.iter_mut().filter(|balancer| balancer.connected) {
            balancer.obey(&self.routing);
        }
    }

    pub fn pass_time(&mut self, span: Span) {
        self.now = later(self.now, span);
    }

    /// Everybody does one step, and a second passes.
    pub fn tick(&mut self) {
        self.execute();
        self.run_runners();
        self.run_balancers();
        self.report();
        self.pass_time(Span::seconds(1));
    }

    /// Ticks until all rollouts have ended and nothing was written for longer than anything waits at rest.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..6_000 {
            let before = self.writes;
            self.tick();
            quiet = if self.unfinished().is_empty() && self.writes == before { quiet + 1 } else { 0 };
            if quiet > 40 {
                return;
            }
        }
        let open: Vec<_> = self.unfinished().iter().map(|r| (r.number, r.kind, r.state)).collect();
        panic!("these never end: {open:?}");
    }
}
