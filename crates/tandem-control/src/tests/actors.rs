//! A runner and a balancer that obey the documents as soon as they see them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use tandem_kit::tasks::{self, Owned};
use tandem_store::SharedStore;
use tandem_types::assignment::{AssignedInstance, Assignment, Desired, JobKind};
use tandem_types::document::Change;
use tandem_types::instance::{
    Address, Exit, Findings, HostObservation, InstanceObservation, InstanceState, Isolation, JobObservation,
    JobState, StagedBuild,
};
use tandem_types::routing::{BalancerStatus, RoutingDocument};
use tandem_types::{BuildNumber, Epoch, Fence, HostName, InstanceId, JobId, Timestamp, keys};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::handle::Handle;

/// How builds behave, and what has happened on the host. Outlives control, as real instances do.
#[derive(Debug, Default)]
pub(super) struct Host {
    /// Builds whose instances end at once.
    pub(super) crashing: BTreeSet<BuildNumber>,
    /// How release phases end; without an entry well.
    pub(super) release_ends: BTreeMap<BuildNumber, JobState>,
    /// Builds whose instances never come out of starting.
    pub(super) stuck: BTreeSet<BuildNumber>,
    /// When `web.1` was started again, for the second time; none: never.
    pub(super) restarted: Option<Timestamp>,
    /// One-off commands go on until they are killed; else they end at once.
    pub(super) commands_go_on: bool,
    /// What keeps its instances less apart than they could be.
    pub(super) isolation_gaps: Vec<String>,
    /// The boot that it reports; none: that of this machine.
    pub(super) boot: Option<String>,
    /// Release phases whose command ran.
    pub(super) ran: Vec<JobId>,
    jobs: BTreeMap<JobId, JobState>,
    states: BTreeMap<InstanceId, InstanceState>,
}

pub(super) fn alpha() -> HostName {
    "alpha".parse().expect("a host name")
}

pub(super) fn exit(code: i32) -> JobState {
    let at = Timestamp::UNIX_EPOCH;
    JobState::Ended { exit: Exit { code: Some(code), signal: None, out_of_memory: false, at } }
}

impl Host {
    fn obey(&mut self, assignments: &BTreeMap<String, Assignment>, api: &Path) -> HostObservation {
        let mut report = HostObservation {
            host: alpha(),
            boot_id: self.boot.clone().unwrap_or_else(tandem_kit::boot::id),
            started: Timestamp::UNIX_EPOCH,
            api: Address::Unix(api.to_owned()),
            isolation: Isolation::Sandbox,
            isolation_gaps: self.isolation_gaps.clone(),
            staged: Vec::new(),
            stage_failures: Vec::new(),
            instances: Vec::new(),
            jobs: Vec::new(),
            fence: Fence(0),
        };
        for assignment in assignments.values() {
            let staged = assignment.builds.keys();
            report.staged.extend(staged.map(|b| StagedBuild { app: assignment.app.clone(), build: *b }));
            report.instances.extend(assignment.instances.iter().map(|i| self.instance(assignment, i)));
            for job in &assignment.jobs {
                let state = match self.jobs.get(&job.id) {
                    Some(state) => state.clone(),
                    None => self.run_job(job.id, job.kind, job.build),
                };
                let log_tail = vec!["the last words of the job".to_owned()];
                report.jobs.push(JobObservation { id: job.id, state, started: None, log_tail });
            }
        }
        report
    }

    fn run_job(&mut self, id: JobId, kind: JobKind, build: BuildNumber) -> JobState {
        let state = match kind {
            JobKind::Run if self.commands_go_on => return JobState::Running,
            JobKind::Smoke | JobKind::Run => exit(0),
            JobKind::Release => {
                self.ran.push(id);
                self.release_ends.get(&build).cloned().unwrap_or_else(|| exit(0))
            }
        };
        self.jobs.insert(id, state.clone());
        state
    }

    fn instance(&mut self, assignment: &Assignment, instance: &AssignedInstance) -> InstanceObservation {
        let ends = self.crashing.contains(&instance.build);
        let state = match instance.desired {
            Desired::Stop => InstanceState::Stopped,
            _ if ends => InstanceState::Crashed,
            _ if self.stuck.contains(&instance.build) => InstanceState::Starting,
            _ => InstanceState::Ready,
        };
        self.states.insert(instance.id, state);
        let failing = state != InstanceState::Ready;
        let restarted = self.restarted.filter(|_| instance.process.is_web() && instance.index == 1);
        let again = restarted.map_or(0, |_| 2);
        InstanceObservation {
            id: instance.id,
            app: assignment.app.clone(),
            environment: assignment.environment.clone(),
            release: instance.release,
            process: instance.process.clone(),
            index: instance.index,
            state,
            address: None,
            pid: None,
            started: restarted,
            restarts: if ends { 5 } else { again },
            last_exit: restarted.map(|at| Exit { code: Some(1), signal: None, out_of_memory: false, at }),
            detail: failing.then(|| "exit code 3".to_owned()),
            log_tail: if failing { vec!["ModuleNotFoundError: no module".to_owned()] } else { Vec::new() },
            found: Findings::default(),
        }
    }
}

/// Reports what the host does with its assignments, at each change.
pub(super) fn run_host(
    host: Arc<Mutex<Host>>,
    store: SharedStore,
    handle: Handle,
    api: PathBuf,
) -> Owned<()> {
    tasks::owned("fake runner", async move {
        let mut assignments = BTreeMap::new();
        let prefix = keys::assignments(&alpha());
        let mut changes = store.watch(vec![prefix], None).await.expect("a watch");
        while let Some(change) = changes.next().await {
            match change {
                Change::Reset => assignments.clear(),
                Change::Put { document } => {
                    let assignment: Assignment =
                        serde_json::from_value(document.body).expect("an assignment");
                    assignments.insert(document.key, assignment);
                }
                Change::Delete { key, .. } => drop(assignments.remove(&key)),
                Change::Live { .. } => {
                    let report = host.lock().expect("lock").obey(&assignments, &api);
                    handle.record_host_observation(&alpha(), report).await.expect("recorded");
                }
            }
        }
    })
}

/// What a balancer says that obeys nothing.
pub(super) fn cut_off(name: &str) -> BalancerStatus {
    BalancerStatus::silent(name.parse().expect("a name"), Epoch(0))
}

/// Prepares and serves what the table says, at once.
pub(super) fn run_balancer(store: SharedStore, handle: Handle) -> Owned<()> {
    tasks::owned("fake balancer", async move {
        let http = vec![Address::Tcp("127.0.0.1:8080".parse().expect("an address"))];
        let mut status = BalancerStatus { http, ..cut_off("edge") };
        handle.record_balancer_status(&status.balancer, status.clone()).await.expect("recorded");
        let mut changes = store.watch(vec![keys::ROUTING.to_owned()], None).await.expect("a watch");
        while let Some(change) = changes.next().await {
            let Change::Put { document } = change else { continue };
            let routing: RoutingDocument = serde_json::from_value(document.body).expect("a table");
            status.serving = routing.serving.epoch;
            status.prepared = routing.prepared.map(|table| table.epoch);
            handle.record_balancer_status(&status.balancer, status.clone()).await.expect("recorded");
        }
    })
}

/// Answers every request on the runner's socket with two lines of output.
pub(super) fn run_logs(path: &Path) -> Owned<()> {
    let listener = UnixListener::bind(path).expect("a socket");
    tasks::owned("fake logs", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0_u8; 4096];
            let _read = stream.read(&mut request).await;
            let line = |stream: &str, text: &str| {
                format!(
                    "{{\"time\":\"2026-11-21T12:00:00Z\",\"release\":\"r1\",\"process\":\"release\",\"index\":1,\
                     \"stream\":\"{stream}\",\"text\":\"{text}\"}}\n"
                )
            };
            let remarks = (line("tandem", "started"), line("tandem", "ended: exit code 0"));
            let output = line("stdout", "Applying guestbook.0001_initial") + &line("stderr", "OK");
            let body = remarks.0 + &output + &remarks.1;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            let _written = stream.write_all(answer.as_bytes()).await;
        }
    })
}
