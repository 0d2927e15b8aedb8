//! One command from its first instruction to its end.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tandem_kit::clock::{Clock, Moment};
use tandem_types::Timestamp;
use tandem_types::event::Stream;
use tandem_types::instance::{Exit, Isolation};

use super::output::{OnLine, Output, Piece};
use super::prepare::{Prepared, StartError};
use super::stop::{self, Stop};
use crate::members::Members;
use crate::process::Stat;

/// Between two looks while something is waited for that the kernel does not tell.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Killed processes are gone in milliseconds; what is still there then is stuck in the kernel.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub exit: Exit,
    pub timed_out: bool,
    /// Whether it met its own limit of memory: who was killed without was killed for the whole machine.
    pub memory_limit_met: bool,
    /// Whether the kernel ever refused it another process or thread.
    pub processes_refused: bool,
}

/// A command that was executed. [`Supervisor::wait`] and [`Supervisor::turn`] by turns bring it to its [`Ending`].
#[derive(Debug)]
pub(crate) struct Supervisor {
    child: Child,
    /// Readable once the child has ended.
    descriptor: OwnedFd,
    output: Output,
    /// Whether the last look left output behind.
    more_output: bool,
    members: Members,
    clock: Clock,
    started: Timestamp,
    stop: Option<Stop>,
    /// When whoever is left then is asked once more.
    tell_all_at: Option<Moment>,
    /// When what was asked to stop is killed.
    kill_at: Option<Moment>,
    /// When it has run for too long.
    limit_at: Option<Moment>,
    timed_out: bool,
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    at: Timestamp,
    noticed: Moment,
}

impl Supervisor {
    /// Executes the command. `keeper` is the process that gets its orphans. Call this on a thread that lives as long as
    /// the command: the kernel kills the command when that thread ends.
    pub(crate) fn start(prepared: Prepared, keeper: Option<i32>, clock: Clock) -> Result<Self, StartError> {
        let Prepared { program, group, isolation } = prepared;
        let path = program.path.clone();
        let failed = |source| StartError::Execute { program: path, source };
        let started = clock.now();
        match execute(program) {
            Ok((child, descriptor, output)) => {
                let first = child.id() as i32;
                let start_time = Stat::of(first).map_or(0, |stat| stat.start_time);
                let members = Members { group, isolation, first: (first, start_time), keeper };
                Ok(Self {
                    child,
                    descriptor,
                    output,
                    more_output: false,
                    members,
                    clock,
                    started,
                    stop: None,
                    tell_all_at: None,
                    kill_at: None,
                    limit_at: None,
                    timed_out: false,
                    ended: None,
                })
            }
            Err(error) => {
                let _ = group.clear_blocking();
                Err(failed(error))
            }
        }
    }

    /// Kills everything after this time.
    pub(crate) fn limit(&mut self, time: Duration) {
        self.limit_at = Some(self.clock.monotonic() + time);
    }

    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    /// Keeps what is read as it comes, for [`Supervisor::take_raw`]. Where the command has a terminal, its other end is read; it must
    /// not block.
    pub(crate) fn keep_raw(&mut self, terminal: Option<OwnedFd>) {
        self.output.keep_raw(terminal);
    }

    /// What was read since the last call.
    pub(crate) fn take_raw(&mut self) -> Vec<Piece> {
        self.output.take_raw()
    }

    /// Has the command wait with its output, or go on. At its end everything is read all the same.
    pub(crate) fn hold_output(&mut self, held: bool) {
        self.output.hold(held);
        self.more_output &= !held;
    }

    /// Process id of the child and its start time.
    pub(crate) fn first(&self) -> (i32, u64) {
        self.members.first
    }

    /// Bytes that both streams have brought so far.
    pub(crate) fn output_bytes(&self) -> u64 {
        self.output.bytes()
    }

    /// Whether the first process has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Asks the command to end and has it killed after `timeout`. Asking again changes nothing but the time that is left, and
    /// only to less: a second signal makes celery drop what it is finishing.
    pub(crate) fn stop(&mut self, signal: i32, timeout: Duration) {
        if signal == libc::SIGKILL {
            self.members.kill();
        }
        let now = self.clock.monotonic();
        let sooner =
            |known: Option<Moment>, wanted: Moment| Some(known.map_or(wanted, |known| known.min(wanted)));
        self.kill_at = sooner(self.kill_at, now + timeout);
        self.tell_all_at = sooner(self.tell_all_at, now + (timeout - Stop::last_call(timeout)));
        if self.stop.as_ref().is_none_or(|stop| stop.signal() != signal) {
            self.stop = Some(Stop::begin(&self.members, signal));
        }
    }

    /// Sends the signal to every process of the app.
    pub(crate) fn signal(&self, signal: i32) {
        stop::signal_all(&self.members, signal);
    }

    /// Waits until there is something to do: output, the end, a deadline, or one of `others` is readable.
    pub(crate) fn wait(&self, others: &[BorrowedFd<'_>]) {
        let others: Vec<_> = others.iter().map(|other| (*other, PollFlags::POLLIN)).collect();
        self.wait_for_any(&others, None);
    }

    /// As [`Supervisor::wait`], for whatever is asked of each of the others, and for no longer than this.
    pub(crate) fn wait_for_any(&self, others: &[Watched<'_>], most: Option<Duration>) {
        let end = self.ended.is_none().then(|| self.descriptor.as_fd());
        let own = end.into_iter().chain(self.output.descriptors()).map(|own| (own, PollFlags::POLLIN));
        let all: Vec<_> = own.chain(others.iter().copied()).collect();
        let (own, most) = (self.patience(), most.map(timeout));
        let shorter = most.filter(|most| own.is_none() || most < &own);
        wait(&all, shorter.unwrap_or(own));
    }

    /// Does what there is to do. The ending comes when the whole command is gone, its output read to the last byte and its
    /// control group removed; the supervisor is of no more use then.
    pub(crate) fn turn(&mut self, on_line: OnLine<'_>) -> Option<Ending> {
        self.more_output = self.output.read(on_line);
        self.notice_end();
        if self.ended.is_none() {
            self.keep_limits(on_line);
            return None;
        }
        self.is_clear().then(|| self.finish(on_line))
    }

    /// Kills the whole command.
    pub(crate) fn kill(&mut self) {
        self.members.kill();
        self.kill_at = Some(self.clock.monotonic());
    }

    fn notice_end(&mut self) {
        if self.ended.is_some() {
            return;
        }
        if let Ok(Some(status)) = self.child.try_wait() {
            // What the first process leaves behind is not the app any more.
            self.members.kill();
            self.ended = Some(Ended { status, at: self.clock.now(), noticed: self.clock.monotonic() });
        }
    }

    fn keep_limits(&mut self, on_line: OnLine<'_>) {
        let now = self.clock.monotonic();
        let passed = |moment: Option<Moment>| moment.is_some_and(|moment| moment <= now);
        if let Some(stop) = &mut self.stop {
            stop.step(&self.members);
            if passed(self.tell_all_at) && !passed(self.kill_at) && !stop.has_told_all() {
                let told = stop.tell_all(&self.members);
                let processes = if told == 1 { "process is" } else { "processes are" };
                on_line(
                    Stream::Tandem,
                    &format!("{told} {processes} left: sent SIGTERM to all, killed soon"),
                );
            }
        }
        let too_long = passed(self.limit_at);
        self.timed_out |= too_long;
        if too_long || passed(self.kill_at) {
            self.members.kill();
        }
    }

    /// Whether nobody is left, or nobody that can be waited for.
    fn is_clear(&self) -> bool {
        let Some(ended) = &self.ended else { return false };
        if !self.members.any() {
            return true;
        }
        self.members.kill();
        self.clock.monotonic().elapsed_since(ended.noticed) > GONE_WITHIN
    }

    fn finish(&mut self, on_line: OnLine<'_>) -> Ending {
        self.output.finish(on_line);
        let ended = self.ended.as_ref().expect("a command is finished only after its end was noticed");
        let exit = self.exit(ended);
        let memory_limit_met = self.members.group.met_memory_limit();
        let processes_refused = self.members.group.was_refused_processes();
        if let Err(error) = self.members.group.clear_blocking() {
            on_line(Stream::Tandem, &format!("failed to {error}"));
        }
        Ending { exit, timed_out: self.timed_out, memory_limit_met, processes_refused }
    }

    fn exit(&self, ended: &Ended) -> Exit {
        let (code, signal) = match (ended.status.code(), self.members.isolation) {
            // bubblewrap, as shells do, tells of a signal by a code. Codes in this range mean just that everywhere.
            (Some(code @ 129..=159), Isolation::Sandbox) => (None, Some(code - 128)),
            (code, _) => (code, ended.status.signal()),
        };
        let out_of_memory = code != Some(0) && self.members.group.ran_out_of_memory();
        Exit { code, signal, out_of_memory, at: ended.at }
    }

    /// How long to wait at most.
    fn patience(&self) -> PollTimeout {
        if self.more_output {
            return PollTimeout::ZERO;
        }
        let waits = self.stop.as_ref().is_some_and(Stop::is_waiting);
        if self.ended.is_some() || waits {
            return timeout(LOOK_AGAIN);
        }
        let now = self.clock.monotonic();
        let last_call =
            self.tell_all_at.filter(|_| self.stop.as_ref().is_some_and(|stop| !stop.has_told_all()));
        let next = [last_call, self.kill_at, self.limit_at].into_iter().flatten().min();
        next.map_or(PollTimeout::NONE, |moment| timeout(moment.elapsed_since(now).max(LOOK_AGAIN)))
    }
}

/// A descriptor, and what is waited for.
pub(crate) type Watched<'a> = (BorrowedFd<'a>, PollFlags);

/// Waits until what is asked of one of these is so, for at most `length`.
pub(crate) fn wait_for(descriptors: &[Watched<'_>], length: Duration) {
    wait(descriptors, timeout(length));
}

fn wait(descriptors: &[Watched<'_>], timeout: PollTimeout) {
    let watched = descriptors.iter().map(|(descriptor, flags)| PollFd::new(*descriptor, *flags));
    let mut descriptors: Vec<PollFd<'_>> = watched.collect();
    // An interrupted wait is a short one: the caller looks and waits again.
    let _ = poll(&mut descriptors, timeout);
}

/// Rounded up, so that a deadline has passed when the wait is over.
fn timeout(length: Duration) -> PollTimeout {
    let millis = length.as_millis().saturating_add(1);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}

fn execute(program: crate::spawn::Program) -> io::Result<(Child, OwnedFd, Output)> {
    let mut child = program.start()?;
    let watched = Output::new(child.stdout.take(), child.stderr.take())
        .and_then(|output| Ok((pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?, output)));
    match watched {
        Ok((descriptor, output)) => Ok((child, descriptor, output)),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}
