//! A runner and a balancer that do what the documents say, slowly or badly.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::assignment::{AssignedInstance, Assignment, Desired, JobKind};
use tandem_types::instance::{
    Address, Exit, Findings, HostObservation, InstanceObservation, InstanceState, Isolation, JobObservation,
    JobState, StagedBuild,
};
use tandem_types::routing::{BalancerStatus, RoutingDocument, Table};
use tandem_types::{AppName, BalancerId, BuildNumber, Epoch, Fence, HostName, InstanceId, JobId, Timestamp};

/// How one build behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behavior {
    /// Web instances never answer.
    pub never_healthy: bool,
    /// As `never_healthy`, and nobody needs to wait to know it.
    pub refuses_its_host: bool,
    /// Web instances listen on all interfaces.
    pub exposed: bool,
    /// Instances end at once, again and again.
    pub crashes: bool,
    /// Instances of other types end at once.
    pub worker_crashes: bool,
    /// Exit code of instances that end at once; none: 1.
    pub crash_exit: Option<i32>,
    /// Instances that end at once are killed for their memory limit.
    pub out_of_memory: bool,
    /// Exit code of the release phase.
    pub release_exit: i32,
    /// Nobody knows how the release phase ended.
    pub release_unknown: bool,
    /// Exit code of the smoke check.
    pub smoke_exit: i32,
}

/// One instance as it really is.
#[derive(Debug, Clone)]
pub struct Real {
    pub assigned: AssignedInstance,
    pub state: InstanceState,
    pub restarts: u32,
    pub exit: Option<Exit>,
    pub found: Findings,
    /// Steps until the next change of its state.
    pub delay: u32,
}

/// A host that obeys its assignment, one step of every instance at a time.
#[derive(Debug, Clone)]
pub struct Runner {
    pub host: HostName,
    pub staged: BTreeSet<BuildNumber>,
    pub instances: BTreeMap<InstanceId, Real>,
    pub jobs: BTreeMap<JobId, (JobKind, JobState)>,
    /// Jobs whose command ran, with the number of times.
    pub ran: BTreeMap<JobId, u32>,
    pub start_delay: u32,
    /// It does nothing, and tells nothing.
    pub hangs: bool,
}

impl Runner {
    pub fn new(host: &str) -> Self {
        Self {
            host: host.parse().unwrap(),
            staged: BTreeSet::new(),
            instances: BTreeMap::new(),
            jobs: BTreeMap::new(),
            ran: BTreeMap::new(),
            start_delay: 1,
            hangs: false,
        }
    }

    pub fn obey(
        &mut self,
        assignment: &Assignment,
        behavior: impl Fn(BuildNumber) -> Behavior,
        now: Timestamp,
    ) {
        self.staged.extend(assignment.builds.keys());
        self.instances.retain(|id, _| assignment.instances.iter().any(|a| a.id == *id));
        for assigned in &assignment.instances {
            let delay = self.start_delay;
            let real = self.instances.entry(assigned.id).or_insert_with(|| Real {
                assigned: assigned.clone(),
                state: InstanceState::Waiting,
                restarts: 0,
                exit: None,
                found: Findings::default(),
                delay,
            });
            real.assigned = assigned.clone();
            step_instance(real, behavior(assigned.build), (delay, now));
        }
        for job in &assignment.jobs {
            let behavior = behavior(job.build);
            let (_, state) = self.jobs.entry(job.id).or_insert((job.kind, JobState::Waiting));
            *state = match (&*state, job.canceled) {
                (JobState::Waiting, true) => JobState::NotStarted { reason: "canceled".to_owned() },
                (JobState::Waiting, false) => {
                    *self.ran.entry(job.id).or_default() += 1;
                    JobState::Running
                }
                (JobState::Running, true) => JobState::Ended { exit: exit(143, now) },
                (JobState::Running, false) => end_of(job.kind, behavior, now),
                (other, _) => other.clone(),
            };
        }
        self.jobs.retain(|id, _| assignment.jobs.iter().any(|job| job.id == *id));
    }

    pub fn report(&self, app: &AppName, assignment: Option<&Assignment>) -> HostObservation {
        let jobs = self.jobs.iter().map(|(id, (_, state))| JobObservation {
            id: *id,
            state: state.clone(),
            started: None,
            log_tail: vec!["last line of the job".to_owned()],
        });
        HostObservation {
            host: self.host.clone(),
            boot_id: "boot".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            api: Address::Unix("/runner.sock".into()),
            isolation: Isolation::Sandbox,
            isolation_gaps: Vec::new(),
            staged: self.staged.iter().map(|b| StagedBuild { app: app.clone(), build: *b }).collect(),
            stage_failures: Vec::new(),
            instances: self.instances.values().map(|real| observation(real, assignment)).collect(),
            jobs: jobs.collect(),
            fence: Fence(1),
        }
    }
}

fn step_instance(real: &mut Real, behavior: Behavior, (delay, now): (u32, Timestamp)) {
    if real.delay > 0 {
        real.delay -= 1;
        return;
    }
    real.delay = delay;
    let web = real.assigned.process.is_web();
    let ends = behavior.crashes || (behavior.worker_crashes && !web);
    real.state = match (real.assigned.desired, real.state) {
        (Desired::Stop, InstanceState::Stopping | InstanceState::Stopped | InstanceState::Waiting) => {
            InstanceState::Stopped
        }
        (Desired::Stop, _) => InstanceState::Stopping,
        (_, InstanceState::Waiting) => InstanceState::Starting,
        (_, InstanceState::Starting) if ends => {
            real.exit = Some(end_of_start(behavior, now));
            InstanceState::Crashed
        }
        (_, InstanceState::Starting) if behavior.refuses_its_host && web => {
            real.found.advice = Some("add \"a\" to ALLOWED_HOSTS".to_owned());
            real.found.lasting = true;
            InstanceState::Starting
        }
        (_, InstanceState::Starting) if behavior.never_healthy && web => InstanceState::Starting,
        (_, InstanceState::Starting) if behavior.exposed && web => {
            real.found.exposed = Some(([0, 0, 0, 0], 20_000 + real.assigned.index as u16).into());
            InstanceState::Ready
        }
        (_, InstanceState::Starting) => InstanceState::Ready,
        (_, InstanceState::Crashed) => {
            real.restarts += 1;
            InstanceState::Starting
        }
        (_, InstanceState::Unhealthy) => InstanceState::Ready,
        (_, state) => state,
    };
}

fn end_of(kind: JobKind, behavior: Behavior, now: Timestamp) -> JobState {
    match kind {
        JobKind::Release if behavior.release_unknown => {
            JobState::Unknown { reason: "the host restarted".to_owned() }
        }
        JobKind::Release => JobState::Ended { exit: exit(behavior.release_exit, now) },
        JobKind::Smoke | JobKind::Run => JobState::Ended { exit: exit(behavior.smoke_exit, now) },
    }
}

fn end_of_start(behavior: Behavior, now: Timestamp) -> Exit {
    if behavior.out_of_memory {
        return Exit { code: None, signal: Some(9), out_of_memory: true, at: now };
    }
    exit(behavior.crash_exit.unwrap_or(1), now)
}

fn exit(code: i32, at: Timestamp) -> Exit {
    Exit { code: Some(code), signal: None, out_of_memory: false, at }
}

fn observation(real: &Real, assignment: Option<&Assignment>) -> InstanceObservation {
    let failing = real.state != InstanceState::Ready;
    let assignment = assignment.expect("an instance has an assignment");
    InstanceObservation {
        id: real.assigned.id,
        app: assignment.app.clone(),
        environment: assignment.environment.clone(),
        release: real.assigned.release,
        process: real.assigned.process.clone(),
        index: real.assigned.index,
        state: real.state,
        address: None,
        pid: None,
        started: None,
        restarts: real.restarts,
        last_exit: real.exit.clone(),
        detail: failing.then(|| "connection refused".to_owned()),
        log_tail: if failing { vec!["last line of the app".to_owned()] } else { Vec::new() },
        found: real.found.clone(),
    }
}

/// A balancer that prepares and serves what the routing document says, when it can see it.
#[derive(Debug, Clone)]
pub struct Balancer {
    pub id: BalancerId,
    pub serving: Table,
    pub prepared: Option<Epoch>,
    pub connected: bool,
    pub problem: Option<String>,
    pub draining: BTreeMap<InstanceId, u64>,
}

impl Balancer {
    pub fn new(id: &str) -> Self {
        Self {
            id: id.parse().unwrap(),
            serving: Table::default(),
            prepared: None,
            connected: true,
            problem: None,
            draining: BTreeMap::new(),
        }
    }

    /// One step: gets ready for the prepared epoch, or serves the serving one.
    pub fn obey(&mut self, routing: &RoutingDocument) {
        if routing.serving.epoch > self.serving.epoch {
            self.serving = routing.serving.clone();
        } else if self.problem.is_none() {
            self.prepared = routing.prepared.as_ref().map(|table| table.epoch);
        }
    }

    pub fn routes_to(&self, id: InstanceId) -> bool {
        self.serving.routes.iter().flat_map(|route| &route.pool.members).any(|member| member.instance == id)
    }

    pub fn report(&self) -> BalancerStatus {
        BalancerStatus {
            prepared: self.prepared,
            problem: self.problem.clone(),
            draining: self.draining.clone(),
            ..BalancerStatus::silent(self.id.clone(), self.serving.epoch)
        }
    }
}
