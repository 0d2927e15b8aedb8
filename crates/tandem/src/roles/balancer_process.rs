//! A balancer's process as seen from outside: how it is started, found again and ended.
//!
//! `tandem_balancer::Process` tells who serves for a state folder: the lock there proves that it lives, so nobody else's
//! process is ever taken for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use tandem_balancer::Process;
use tandem_kit::drain::Drain;
use tandem_kit::files;
use tandem_kit::paths::DataDir;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::balancer::{log_file, tail};
use super::wanted::{Doors, Wanted};
use super::watchdog::Watchdog;
use crate::failure::chain_of;

/// Time a balancer has from its start to serving.
const START_LIMIT: Duration = Duration::from_secs(15);
/// Time it has from the signal to its end: 30 s for requests under way, and some.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// Time between two looks at a process that is waited for.
const INTERVAL: Duration = Duration::from_millis(20);
/// As [`INTERVAL`], where the kernel cannot tell when a process ends (before Linux 5.3, or where it is not allowed).
const IDLE_INTERVAL: Duration = Duration::from_millis(100);

/// Why a balancer does not serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// It could not be started at all.
    #[error("it cannot be started")]
    Spawn(#[source] io::Error),
    /// It ended.
    #[error("it ended before it served ({status})\n{log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its last words.
        log: String,
    },
    /// It does nothing.
    #[error("it did not serve within {START_LIMIT:?}\n{0}")]
    Late(String),
    /// It was ended before it served, since everything stops.
    #[error("it was stopped before it served")]
    Stopped,
}

/// A balancer that serves.
pub(super) struct Running {
    process: Process,
    data: DataDir,
    /// Where it is our child.
    child: Option<Child>,
}

impl Running {
    /// The one that serves for a data folder, whoever started it.
    pub(super) fn find(data: &DataDir) -> Option<Self> {
        let process = Process::find(&data.balancer()).ok()??;
        Some(Self { process, data: data.clone(), child: None })
    }

    /// As [`Self::find`], and where one has begun and does not serve yet, once it does: a `tandem up` that was killed just
    /// after it had started one leaves it so, with the port taken. None: nobody is there, or it does not come to serve.
    pub(super) async fn find_or_wait(data: &DataDir) -> Option<Self> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            // In this order: one that begins to serve in between is found in the next round.
            let is_held = Process::is_held(&data.balancer()).unwrap_or(false);
            if let Some(found) = Self::find(data) {
                return Some(found);
            }
            if !is_held || Instant::now() >= deadline {
                return None;
            }
            sleep(INTERVAL).await;
        }
    }

    /// Starts one and waits until it serves. Where everything is to be stopped meanwhile, it is ended: nobody else knows of
    /// it yet, so it would be left behind with the ports.
    pub(super) async fn start(data: &DataDir, wanted: &Wanted, stopping: &Drain) -> Result<Self, StartError> {
        let mut child = spawn(data, wanted).map_err(StartError::Spawn)?;
        let pid = child.id();
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = child.try_wait().map_err(StartError::Spawn)? {
                return Err(StartError::Ended { status, log: tail(&data.balancer()) });
            }
            if let Some(found) = Self::find(data).filter(|found| Some(found.process.pid) == pid) {
                return Ok(Self { child: Some(child), ..found });
            }
            if Instant::now() >= deadline {
                // It ended by itself meanwhile, or it is of no use.
                let _ = child.start_kill();
                return Err(StartError::Late(tail(&data.balancer())));
            }
            if timeout(INTERVAL, stopping.requested()).await.is_ok() {
                end(child).await;
                return Err(StartError::Stopped);
            }
        }
    }

    /// Whether there is no need for another one.
    pub(super) fn meets(&self, wanted: &Wanted) -> bool {
        wanted.is_met_by(&self.process)
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Where it serves HTTP.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.process.http.clone()
    }

    /// Where its figures are read.
    pub(super) fn metrics(&self) -> Option<SocketAddr> {
        self.process.metrics
    }

    /// Everywhere it serves.
    pub(super) fn doors(&self) -> Doors {
        Doors { http: self.process.http.clone(), https: self.process.https.clone() }
    }

    /// Waits for its end, and brings it about where it does not answer any more: it holds the sockets, so until it is gone
    /// everybody who comes waits in vain. Says how it ended.
    pub(super) async fn ended_or_hung(&mut self) -> String {
        let (pid, folder, addresses) = (self.pid(), self.data.balancer(), self.addresses());
        tokio::select! {
            how = self.ended() => return how,
            () = Watchdog::default().hangs(pid, &folder, &addresses) => {}
        }
        self.kill_hung();
        self.ended().await
    }

    /// Looks whether it hangs, once, and ends it then. Says whether it did.
    pub(super) async fn ended_if_hung(&mut self) -> bool {
        let (folder, addresses) = (self.data.balancer(), self.addresses());
        if !Watchdog::default().is_hung(self.pid(), &folder, &addresses).await {
            return false;
        }
        self.kill_hung();
        self.ended().await;
        true
    }

    fn kill_hung(&self) {
        tracing::error!("balancer: process {} lives and answers nobody; killing it", self.pid());
        self.signal(Signal::SIGKILL);
    }

    /// Waits for its end and says how it ended.
    pub(super) async fn ended(&mut self) -> String {
        let how = match &mut self.child {
            Some(child) => match child.wait().await {
                Ok(status) => format!("ended ({status})"),
                Err(error) => format!("is lost: {error}"),
            },
            None => {
                self.until_gone().await;
                "ended".to_owned()
            }
        };
        let log = log_file(&self.data.balancer());
        format!(
            "process {} {how}; the last lines of {}:\n{}",
            self.pid(),
            log.display(),
            tail(&self.data.balancer())
        )
    }

    /// Waits for the end of a process that is no child of ours. Nobody serves until the next one does, so the kernel is
    /// asked to tell at once.
    async fn until_gone(&self) {
        match Self::pidfd(self.pid()) {
            // Looked up after the number was turned into a handle: if the balancer lives now, the handle is its own.
            Ok(pidfd) if self.lives() => match pidfd.readable().await {
                Ok(_) => return,
                Err(error) => tracing::debug!("balancer: waiting by looking: {}", chain_of(&error)),
            },
            Ok(_) => return,
            Err(error) => tracing::debug!("balancer: waiting by looking: {}", chain_of(&error)),
        }
        while self.lives() {
            sleep(IDLE_INTERVAL).await;
        }
    }

    #[expect(
        deprecated,
        reason = "unsound for types that change their descriptor, which an OwnedFd does not; its successor is unsafe"
    )]
    fn pidfd(pid: u32) -> io::Result<AsyncFd<std::os::fd::OwnedFd>> {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        let pidfd = pidfd_open(pid.ok_or(io::ErrorKind::InvalidInput)?, PidfdFlags::empty())?;
        AsyncFd::with_interest(pidfd, tokio::io::Interest::READABLE)
    }

    /// Ends it: a signal, time for requests under way, then the end.
    pub(super) async fn stop(self) {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + STOP_LIMIT;
        while self.lives() {
            if Instant::now() >= deadline {
                tracing::warn!("balancer: process {} did not end in time and is killed", self.pid());
                self.signal(Signal::SIGKILL);
                return;
            }
            sleep(INTERVAL).await;
        }
    }

    /// The lock tells: it ends with its holder, and what the holder wrote names it.
    pub(super) fn lives(&self) -> bool {
        let found = Process::find(&self.data.balancer());
        found.is_ok_and(|found| found.is_some_and(|process| process.pid == self.process.pid))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("process ids of Linux fit");
        if self.lives()
            && let Err(error) = kill(Pid::from_raw(pid), signal)
        {
            tracing::warn!("failed to send {signal} to the balancer (process {pid}): {error}");
        }
    }
}

/// Ends a child that need not serve yet, as [`Running::stop`] ends one that does. One that is just taking over leaves the
/// one before as it was, or ends it along.
async fn end(mut child: Child) {
    // None: it has ended. Its number is its own until it is waited for.
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
    if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGTERM) {
        tracing::warn!("failed to end the balancer that was being started (process {pid}): {error}");
    }
    if timeout(STOP_LIMIT, child.wait()).await.is_err() {
        tracing::warn!("balancer: process {pid} did not end in time and is killed");
        let _ = child.kill().await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the binary's one place that starts a process: its own balancer"
)]
fn spawn(data: &DataDir, wanted: &Wanted) -> io::Result<Child> {
    let log = open_log(data)?;
    let mut command = Command::new(&wanted.program);
    command.arg("balancer").args(["--name", wanted.host.as_str(), "--server", &wanted.server]);
    command.arg("--state").arg(data.balancer());
    for (flag, address) in wanted.doors.all() {
        command.arg(flag).arg(address.to_string());
    }
    command.args(&wanted.options);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(false).spawn()
}

/// Its output goes to a file: a pipe would end with this process. It rotates the file by itself.
fn open_log(data: &DataDir) -> io::Result<File> {
    files::ensure_dir(&data.balancer(), 0o700)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(log_file(&data.balancer()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::roles::traffic::TrafficArgs;

    fn process(pid: u32, http: &[&str]) -> Process {
        Process {
            pid,
            id: "box".parse().expect("a name"),
            started: jiff::Timestamp::UNIX_EPOCH,
            http: http.iter().map(|text| text.parse().expect("an address")).collect(),
            https: Vec::new(),
            metrics: None,
            version: "0.1.0".to_owned(),
        }
    }

    fn wanted(http: &[&str]) -> Wanted {
        let http = http.iter().map(|text| text.parse().expect("an address")).collect();
        let server = "unix:/api.sock".parse().expect("an address");
        let doors = Doors { http, https: Vec::new() };
        Wanted::new("box".parse().expect("a name"), &server, (doors, &TrafficArgs::default()))
            .expect("this program")
    }

    #[tokio::test]
    async fn one_that_does_not_serve_yet_ends_with_a_stop() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let (program, started) = (folder.path().join("program"), folder.path().join("started"));
        // It does not come to hold the folder.
        let script =
            format!("#!/bin/sh\necho $$ > {0}.new; mv {0}.new {0}; exec sleep 600\n", started.display());
        files::write_atomic_unsynced(&program, script.as_bytes(), 0o700).expect("written");
        let wanted = Wanted { program, ..wanted(&["127.0.0.1:8080"]) };
        let (stop, stopping) = tandem_kit::drain::channel();
        let stops = async {
            while !started.exists() {
                sleep(INTERVAL).await;
            }
            stop.fire();
        };
        let (start, ()) = tokio::join!(Running::start(&data, &wanted, &stopping), stops);
        assert!(matches!(start, Err(StartError::Stopped)));
        let pid = std::fs::read_to_string(&started).expect("it wrote its number");
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "process {pid} is left behind");
        data.remove_runtime().expect("the runtime folder goes");
    }

    #[tokio::test]
    async fn a_balancer_that_a_killed_server_left_before_it_served_is_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        assert!(Running::find_or_wait(&data).await.is_none(), "nobody is there");
        files::ensure_dir(&data.balancer(), 0o700).expect("a folder");
        let lock = files::lock_exclusive(&data.balancer().join("lock")).expect("a lock");
        let _lock = lock.expect("nobody holds it");
        assert!(Running::find(&data).is_none(), "it does not serve yet");
        let begins = async {
            // It comes to serve when the other one has looked.
            tokio::task::yield_now().await;
            let content = process(7, &["127.0.0.1:8080"]);
            files::write_json(&data.balancer().join("process.json"), &content, 0o600).expect("written");
        };
        let (found, ()) = tokio::join!(Running::find_or_wait(&data), begins);
        assert_eq!(found.map(|found| found.pid()), Some(7));
        data.remove_runtime().expect("the runtime folder goes");
    }
}
