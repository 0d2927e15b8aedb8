//! A host with a runner on it: its folder, its server, and the runner that can be killed and started again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tandem_kit::api::Server;
use tandem_kit::clock::Clock;
use tandem_kit::drain::{self, Trigger};
use tandem_kit::paths::DataDir;
use tandem_kit::tasks;
use tandem_sandbox::cgroup::{self, Group};
use tandem_sandbox::packet_rules::Tables;
use tandem_sandbox::shim::{Adopted, adopt};
use tandem_types::assignment::{AssignedBuild, Assignment};
use tandem_types::build::Subtree;
use tandem_types::instance::{HostObservation, InstanceObservation, InstanceState, JobState};
use tandem_types::tree::{Entry, Tree};
use tandem_types::{BuildNumber, InstanceId, JobId, Span};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::server::FakeServer;
use super::shim;
use crate::folders::Unit;
use crate::runner::Pace;
use crate::testing;
use crate::{Config, EndMode, Runner};

/// Limit of every wait; far above what a loaded machine takes.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// A runner on a runtime of its own, which can end from one await to the next.
struct Process {
    runtime: Runtime,
    ended: JoinHandle<()>,
    trigger: Trigger,
}

/// A host for one test.
pub(super) struct Scene {
    pub(super) folder: tempfile::TempDir,
    pub(super) data: DataDir,
    pub(super) server: FakeServer,
    runner: Option<Process>,
    /// Times of the runner.
    pub(super) pace: Pace,
    /// Ports of Tandem's own.
    pub(super) closed_ports: watch::Sender<BTreeSet<u16>>,
    end: watch::Sender<EndMode>,
}

impl Scene {
    /// A host whose runner does not run yet.
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let data = DataDir::open(&folder.path().join("data")).expect("there is room");
        let server = FakeServer::start(folder.path()).await;
        Self {
            folder,
            data,
            server,
            runner: None,
            pace: Pace::default(),
            closed_ports: watch::Sender::default(),
            end: watch::Sender::new(EndMode::Leave),
        }
    }

    /// Starts a runner.
    pub(super) fn start(&mut self) {
        let config = Config {
            host: "here".parse().expect("it is a name"),
            data: self.data.clone(),
            server: Server::Unix(self.server.socket.clone()),
            binary: shim::program(self.folder.path()),
            closed_ports: self.closed_ports.subscribe(),
            end: self.end.subscribe(),
            clock: Clock::system(),
        };
        let (pace, (trigger, drain)) = (self.pace, drain::channel());
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().expect("threads are not short");
        let ended = runtime.spawn(async move {
            Runner::with_pace(config, pace).await.expect("the runner can be built").run(drain).await;
        });
        self.runner = Some(Process { runtime, ended, trigger });
    }

    /// Ends the runner from one await to the next, as kill -9 does.
    pub(super) async fn kill(&mut self) {
        let process = self.runner.take().expect("it runs");
        tasks::blocking("kill", move || process.runtime.shutdown_timeout(LIMIT)).await;
    }

    /// Drains the runner and waits for its end.
    pub(super) async fn drain(&mut self, end: EndMode) {
        self.end.send_replace(end);
        let process = self.runner.take().expect("it runs");
        process.trigger.fire();
        let ended = tokio::time::timeout(LIMIT, process.ended).await;
        ended.expect("the runner ends").expect("it does not panic");
        process.runtime.shutdown_background();
    }

    /// Waits for a report for which `find` finds something.
    pub(super) async fn until<T>(&self, what: &str, find: impl FnMut(&HostObservation) -> Option<T>) -> T {
        let mut observed = self.server.observed();
        observed.mark_changed();
        let mut find = find;
        let mut last = None;
        let found = async {
            loop {
                if let Some(report) = observed.borrow_and_update().clone() {
                    if let Some(found) = find(&report) {
                        return found;
                    }
                    last = Some(report);
                }
                observed.changed().await.expect("the server lives");
            }
        };
        let found = tokio::time::timeout(LIMIT, found).await;
        found.unwrap_or_else(|_| panic!("waited too long for {what}; the last report is {last:#?}"))
    }

    /// Waits until an instance is in a state, and returns its line.
    pub(super) async fn state(&self, id: u64, state: InstanceState) -> InstanceObservation {
        self.line(id, &format!("i{id} to be {state:?}"), |line| line.state == state).await
    }

    /// Waits until the line of an instance is such.
    pub(super) async fn line(
        &self,
        id: u64,
        what: &str,
        holds: impl Fn(&InstanceObservation) -> bool,
    ) -> InstanceObservation {
        self.until(what, |report| {
            report.instances.iter().find(|line| line.id == InstanceId(id) && holds(line)).cloned()
        })
        .await
    }

    /// Waits until a job has come to an end, and returns it.
    pub(super) async fn job_end(&self, id: u64) -> JobState {
        self.until(&format!("the end of j{id}"), |report| {
            let job = report.jobs.iter().find(|job| job.id == JobId(id))?;
            (!matches!(job.state, JobState::Waiting | JobState::Running)).then(|| job.state.clone())
        })
        .await
    }

    /// Waits until a file is there, and returns its content.
    pub(super) async fn file(&self, path: &Path) -> String {
        let read = async {
            loop {
                match std::fs::read_to_string(path) {
                    Ok(content) if !content.is_empty() => return content,
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        tokio::time::timeout(LIMIT, read).await.unwrap_or_else(|_| panic!("{} never came", path.display()))
    }

    /// Waits until a condition holds.
    pub(super) async fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("waited too long for {what}"));
    }

    /// Lines of a file in the volume `data`.
    pub(super) fn lines(&self, name: &str) -> usize {
        std::fs::read_to_string(self.volume(name)).map_or(0, |text| text.lines().count())
    }

    /// Makes a file in the volume `data`.
    pub(super) fn touch(&self, name: &str) {
        std::fs::File::create(self.volume(name)).expect("the volume is there");
    }

    /// Kills a shim, as the out-of-memory killer may.
    pub(super) async fn kill_shim(&self, unit: Unit) {
        let folder = self.data.runner().join(match unit {
            Unit::Instance(id) => format!("instances/{id}"),
            Unit::Job(id) => format!("jobs/{id}"),
        });
        let Ok(Adopted::Live(shim)) = adopt(&folder).await else { panic!("{unit} has no shim") };
        signal::kill(Pid::from_raw(shim.pid()), Signal::SIGKILL).expect("it is ours");
    }

    /// A build whose `/app` holds these files, and whose volume `data` is at `/data`.
    pub(super) fn build(&self, files: &[(&str, &str)]) -> AssignedBuild {
        let blobs = self.server.blobs();
        let mut tree = Tree::default();
        for (name, content) in files {
            let digest = blobs.put(content.as_bytes()).expect("there is room");
            let entry = Entry::File { digest, size: content.len() as u64, executable: true };
            tree.entries.insert((*name).to_owned(), entry);
        }
        let subtree = Subtree {
            name: "app".to_owned(),
            mount: "/app".to_owned(),
            tree: blobs.put_tree(&tree).expect("there is room"),
            bytes: 0,
            files: files.len() as u64,
        };
        AssignedBuild {
            subtrees: vec![subtree],
            volumes: [("data".to_owned(), "/data".to_owned())].into(),
            ..testing::build()
        }
    }

    /// An assignment whose build b1 holds these files.
    pub(super) fn assignment(&self, files: &[(&str, &str)]) -> Assignment {
        Assignment { builds: [(BuildNumber(1), self.build(files))].into(), ..testing::assignment() }
    }

    /// A file in the volume `data`.
    pub(super) fn volume(&self, name: &str) -> PathBuf {
        self.data.volumes().join("guestbook.production/data").join(name)
    }
}

impl Drop for Scene {
    /// Ends every process of this host, whatever the test left running.
    fn drop(&mut self) {
        let process = self.runner.take();
        let data = self.data.clone();
        // A runtime cannot be waited for inside another one.
        let swept = std::thread::spawn(move || {
            if let Some(process) = process {
                process.runtime.shutdown_timeout(LIMIT);
            }
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().build().expect("threads are not short").block_on(sweep(&data));
        });
        swept.join().expect("the sweep does not panic");
        let _ = self.data.remove_runtime();
    }
}

async fn sweep(data: &DataDir) {
    for kind in ["instances", "jobs"] {
        for entry in std::fs::read_dir(data.runner().join(kind)).into_iter().flatten().flatten() {
            if let Ok(Adopted::Live(shim)) = adopt(&entry.path()).await {
                let _ = shim.stop(Signal::SIGKILL as i32, Span::millis(0)).await;
                let _ = shim.wait_exit().await;
                let _ = shim.dismiss().await;
            }
        }
    }
    for name in cgroup::list(&data.cgroup_name()).unwrap_or_default() {
        let _ = Group::open(&data.cgroup_name(), &name).sweep().await;
    }
    cgroup::remove_parent(&data.cgroup_name());
    let _ = Tables::of(data).remove().await;
}
