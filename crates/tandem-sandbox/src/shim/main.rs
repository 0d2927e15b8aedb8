//! The shim's process from start to end.
//!
//! Two threads: this one waits in one `poll` for output, the child's end, signals and requests, and never for anything
//! else; the log's thread may hang on a disk. No runtime: a shim is started for each instance and should cost next to
//! nothing.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use nix::poll::PollFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use tandem_kit::clock::{Clock, Moment};
use tandem_kit::error::chain;
use tandem_kit::files;
use tandem_kit::points::{self, Effect};
use tandem_types::defaults::WEB_STOP_TIMEOUT;
use tandem_types::event::Stream;
use tandem_types::shim::{Answer, Request, VERSION};

use super::ShimSpec;
use super::control::{Asked, Control};
use super::record::{self, ExitRecord, Hello, ShimRecord};
use super::secrets::Secrets;
use super::session::Talk;
use crate::cgroup;
use crate::logs::Writer;
use crate::process::Identity;
use crate::supervisor::{Ending, Prepared, Supervisor, Watched, wait_for};

mod marker;
mod talking;

use marker::Marker;
use talking::Opened;

/// Time the log gets to reach the disk before the end is told all the same.
const LAST_LINES: Duration = Duration::from_secs(5);
/// A shim whose record is on the disk leaves by itself after this time: who comes later reads the record.
const LINGER: Duration = Duration::from_secs(60);
/// Between two tries to write the record to a full disk, and two looks whether anybody still wants it.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The whole life of a shim whose folder is `dir`; the entry of `tandem shim DIR`. Call it before a runtime or a thread
/// is started.
pub fn main(dir: &Path) -> ! {
    let code = match Shim::begin(dir) {
        Ok(mut shim) => {
            say(&Hello::Ready);
            leave_the_terminal();
            shim.run();
            0
        }
        Err(error) => {
            say(&Hello::NotStarted { reason: chain(&*error) });
            1
        }
    };
    std::process::exit(code)
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

struct Shim {
    dir: PathBuf,
    clock: Clock,
    log: Writer,
    control: Control,
    signals: SignalFd,
    supervisor: Supervisor,
    /// When the command was executed.
    begun: Moment,
    end: Option<End>,
    /// Clients that wait for the end.
    waiting: Vec<u64>,
    /// People who talk with it, where it is a one-off command.
    talk: Option<Talk>,
    dismissed: bool,
}

/// The command is over.
struct End {
    record: ExitRecord,
    /// Whether the record is on the disk.
    recorded: bool,
    since: Moment,
}

impl Shim {
    /// Everything up to the execution of the command. When this fails, it was not executed.
    fn begin(dir: &Path) -> Result<Self, AnyError> {
        points::reached_blocking(Effect::ShimBegun);
        let dir = std::fs::canonicalize(dir)?;
        let signals = become_a_keeper()?;
        let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no spec.json");
        let mut spec: ShimSpec = files::read_json(&record::spec_file(&dir))?.ok_or_else(missing)?;
        add_secrets(&mut spec)?;
        cgroup::join_shims(&spec.sandbox.cgroup_parent);
        let control = Control::bind(&spec.socket)
            .map_err(|error| format!("bind the control socket {}: {error}", spec.socket.display()))?;
        let clock = Clock::system();
        let log = Writer::start(spec.log, clock.clone()).map_err(|error| format!("open the log: {error}"))?;
        let Opened { streams, talk, terminal } = talking::open(&spec.sandbox, spec.session.as_ref(), &clock)?;
        let prepared = Prepared::with_streams(&spec.sandbox, streams)?;
        let mut supervisor = execute(&dir, prepared, spec.marker, &clock)?;
        if talk.is_some() {
            supervisor.keep_raw(terminal);
        }
        if let Some(timeout) = spec.timeout {
            supervisor.limit(timeout.as_duration());
        }
        let begun = clock.monotonic();
        points::reached_blocking(Effect::ShimStarted);
        // From here on the command runs, and nothing may fail any more.
        log.line(Stream::Tandem, "started");
        Ok(Self {
            dir,
            clock,
            log,
            control,
            signals,
            supervisor,
            begun,
            end: None,
            waiting: Vec::new(),
            talk,
            dismissed: false,
        })
    }

    fn run(&mut self) {
        while !self.dismissed || self.is_talking() {
            self.wait();
            self.heed_signals();
            for asked in self.control.requests() {
                self.heed(asked);
            }
            if self.end.is_none() {
                let log = &self.log;
                let ending = self.supervisor.turn(&mut |stream, text| log.line(stream, text));
                self.pass_output_on();
                ending.into_iter().for_each(|ending| self.note_end(ending));
            } else {
                self.settle();
            }
            self.let_talk();
        }
    }

    fn wait(&self) {
        let control = self.control.descriptors().into_iter();
        let own = control.chain([self.signals.as_fd()]).map(|own| (own, PollFlags::POLLIN));
        let talk = self.talk.as_ref();
        let others: Vec<Watched<'_>> = own.chain(talk.map(Talk::descriptors).unwrap_or_default()).collect();
        let patience = talk.and_then(|talk| talk.patience(self.clock.monotonic()));
        match &self.end {
            None => self.supervisor.wait_for_any(&others, patience),
            Some(_) => wait_for(&others, patience.map_or(TRY_AGAIN, |patience| patience.min(TRY_AGAIN))),
        }
    }

    fn heed_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo as i32) {
                Ok(Signal::SIGCHLD) => self.reap_orphans(),
                // The machine is going down, or a person means the app.
                Ok(Signal::SIGTERM) => self.supervisor.stop(libc::SIGTERM, WEB_STOP_TIMEOUT.as_duration()),
                _ => {}
            }
        }
    }

    /// Plain processes leave their orphans to the shim. The child itself is the supervisor's to wait for.
    fn reap_orphans(&self) {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Ok(WaitStatus::Exited(process, _) | WaitStatus::Signaled(process, _, _)) =
            waitid(Id::All, look)
        {
            if process.as_raw() == self.supervisor.first().0 {
                return;
            }
            let _ = waitpid(process, Some(WaitPidFlag::WNOHANG));
        }
    }

    fn heed(&mut self, asked: Asked) {
        let client = asked.client;
        let answer = match asked.request {
            Ok(Request::Wait) if self.end.is_none() => return self.waiting.push(client),
            Ok(Request::Status | Request::Wait) => self.status(),
            Ok(Request::Signal { .. }) if self.end.is_some() => refused("the process has ended"),
            Ok(Request::Signal { signal }) => {
                self.log.line(Stream::Tandem, &format!("sending signal {signal}"));
                self.supervisor.signal(signal);
                Answer::Ok
            }
            Ok(Request::Stop { signal, timeout_ms }) => {
                if self.end.is_none() {
                    self.log.line(Stream::Tandem, &stopping(signal, timeout_ms));
                    self.supervisor.stop(signal, Duration::from_millis(timeout_ms));
                }
                Answer::Ok
            }
            Ok(Request::Attach) => return self.attach(client),
            Ok(Request::Dismiss) if self.end.is_none() => refused("the process still runs"),
            Ok(Request::Dismiss) => {
                self.dismissed = true;
                Answer::Ok
            }
            Err(reason) => Answer::Refused { reason },
        };
        self.control.answer(client, &answer);
    }

    fn status(&self) -> Answer {
        let end = self.end.as_ref().map(|end| &end.record);
        Answer::Status {
            version: VERSION,
            shim_pid: std::process::id() as i32,
            child_pid: (!self.supervisor.has_ended()).then(|| self.supervisor.first().0),
            started: self.supervisor.started(),
            exit: end.map(|record| record.exit.clone()),
            timed_out: end.is_some_and(|record| record.timed_out),
            dropped_lines: self.log.dropped(),
            ran_ms: end.map_or_else(|| Some(self.ran_ms()), |record| record.ran_ms),
        }
    }

    /// How long it has run until now.
    fn ran_ms(&self) -> u64 {
        let ran = self.clock.monotonic().elapsed_since(self.begun);
        u64::try_from(ran.as_millis()).unwrap_or(u64::MAX)
    }

    fn note_end(&mut self, ending: Ending) {
        // First of all: the last lines of the log may take seconds.
        let ran_ms = self.ran_ms();
        points::reached_blocking(Effect::ShimEnded);
        let late = if ending.timed_out { ": its time was up" } else { "" };
        self.log.line(Stream::Tandem, &format!("ended: {}{late}", ending.exit));
        self.log.flush(LAST_LINES);
        let record = ExitRecord {
            started: self.supervisor.started(),
            exit: ending.exit,
            timed_out: ending.timed_out,
            dropped_lines: self.log.dropped(),
            ran_ms: Some(ran_ms),
        };
        self.end = Some(End { record, recorded: false, since: self.clock.monotonic() });
        self.settle();
    }

    /// Records the end, tells those who wait for it, leaves when nobody came for long or can come.
    fn settle(&mut self) {
        let now = self.clock.monotonic();
        let Some(end) = &mut self.end else { return };
        if !end.recorded {
            end.recorded = end.record.write(&self.dir).is_ok();
        }
        let waited = now.elapsed_since(end.since);
        if end.recorded || waited >= LAST_LINES {
            if let Some(talk) = &mut self.talk {
                talk.end(&end.record, now);
            }
            let answer = self.status();
            for client in std::mem::take(&mut self.waiting) {
                self.control.answer(client, &answer);
            }
        }
        let Some(end) = &self.end else { return };
        // Its folder goes with an instance that was to end while its shim answered nobody: there is nobody left to tell.
        let is_forgotten = !self.dir.exists();
        self.dismissed |= is_forgotten || end.recorded && waited >= LINGER;
    }
}

/// A shim that was started without them must not run: an app that lacks a value may do harm by its default.
fn add_secrets(spec: &mut ShimSpec) -> Result<(), AnyError> {
    if let Some(Secrets { path, .. }) = &spec.secrets {
        let values =
            Secrets::read(path)?.ok_or_else(|| format!("the secrets in {} are gone", path.display()))?;
        spec.sandbox.environment.extend(values);
    }
    Ok(())
}

/// Executes the command. The order is what adoption stands on: first the shim is written down, then the marker, both
/// before anything runs.
fn execute(
    dir: &Path,
    prepared: Prepared,
    marker: Option<PathBuf>,
    clock: &Clock,
) -> Result<Supervisor, AnyError> {
    let mut record = ShimRecord { shim: Identity::of(std::process::id() as i32)?, child: None };
    let marked = record.write(dir).and_then(|()| marker.map(Marker::set).transpose());
    let marker = match marked {
        Ok(marker) => marker,
        Err(error) => {
            prepared.discard();
            return Err(error.into());
        }
    };
    points::reached_blocking(Effect::ShimMarked);
    match Supervisor::start(prepared, Some(record.shim.pid), clock.clone()) {
        Ok(supervisor) => {
            record.child = Some(supervisor.first());
            // Without it a shim that was killed is swept by its control group alone.
            let _ = record.write(dir);
            Ok(supervisor)
        }
        Err(error) => {
            if let Some(marker) = marker {
                marker.take_back();
            }
            let _ = std::fs::remove_file(record::shim_file(dir));
            Err(error.into())
        }
    }
}

fn refused(reason: &str) -> Answer {
    Answer::Refused { reason: reason.to_owned() }
}

/// Makes this process fit to hold others: it gets their orphans, reads its signals, and closes what it makes to others.
fn become_a_keeper() -> Result<SignalFd, nix::Error> {
    nix::sys::prctl::set_child_subreaper(true)?;
    nix::sys::prctl::set_name(c"tandem-shim")?;
    umask(Mode::from_bits_truncate(0o077));
    nix::unistd::chdir("/")?;
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Tells whoever started this process how it went; nobody is there where the runner died meanwhile.
fn say(hello: &Hello) {
    let hello = serde_json::to_string(hello).expect("a greeting is always JSON");
    let mut out = io::stdout();
    // On a line of its own, whatever the process has written before.
    let _ = out.write_all(format!("\n{hello}\n").as_bytes()).and_then(|()| out.flush());
}

/// Gives back the pipes to the runner.
fn leave_the_terminal() {
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(&null);
        let _ = nix::unistd::dup2_stdout(&null);
        let _ = nix::unistd::dup2_stderr(&null);
    }
}

/// The remark in an instance's log when it is asked to end: `stopping: sent SIGTERM, has 10 s`.
fn stopping(signal: i32, timeout_ms: u64) -> String {
    let name = Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |name| name.to_string());
    match timeout_ms {
        0 => format!("stopping: sent {name}, has no time"),
        _ if timeout_ms.is_multiple_of(1_000) => {
            format!("stopping: sent {name}, has {} s", timeout_ms / 1_000)
        }
        _ => format!("stopping: sent {name}, has {timeout_ms} ms"),
    }
}
