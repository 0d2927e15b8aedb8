//! One command to its end, for builds: the same isolation as instances, no shim, output line by line.
//!
//! Builds can be made again: when the memory of the machine runs out they go before any instance and before Tandem.
//!
//! A thread of its own makes the command and stays with it: the kernel kills the command when that thread ends, so that
//! nothing is left when Tandem is killed. A thread of the runtime's pool would end whenever it was idle.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsFd as _;
use std::pin::pin;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tandem_kit::clock::Clock;
use tandem_types::Span;
use tandem_types::event::Stream;
use tandem_types::instance::Exit;
use tokio::sync::mpsc;

use crate::Spec;
use crate::supervisor::{Ending, Prepared, StartError, Supervisor};

/// Lines on their way to the caller. When it is slow the command waits.
const LINES_UNDER_WAY: usize = 1024;

/// Bounds of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything is killed after this time.
    pub timeout: Span,
    /// Everything is killed once it printed more than this many bytes, both streams together. Whoever floods its output
    /// would keep a core of the reader's busy for all of its time.
    pub output_bytes: u64,
    /// Lines of output kept for [`Outcome::last_lines`].
    pub last_lines: usize,
}

/// A limit that a command met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Its time was up, and it was killed.
    Time,
    /// It printed too much, and was killed.
    Output,
    /// The kernel killed one of its processes for want of memory that it may use, and it failed.
    Memory,
    /// The kernel killed one of its processes because the machine, or what Tandem runs in, had no more memory; it failed.
    MachineMemory,
    /// The kernel refused it another process or thread, and it failed.
    Processes,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Code or signal.
    pub exit: Exit,
    /// Why it did not succeed, as far as a limit is why. Of a command that succeeded all the same: none.
    pub met: Option<Limit>,
    /// The end of its output, both streams as they came.
    pub last_lines: Vec<String>,
}

impl Outcome {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit.code == Some(0) && self.met.is_none()
    }
}

/// Why a command did not run, or its end is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It never ran.
    #[error("start the command")]
    Start(#[from] StartError),
    /// There is no room for another thread or descriptor.
    #[error("watch over the command")]
    Watch(#[source] io::Error),
    /// The thread that watched over it broke down, and the command was killed with it.
    #[error("learn how the command ended")]
    Lost,
}

/// Runs a command to its end and hands over its lines as they come. When the future is dropped, the command and
/// everything that it started is killed.
///
/// # Errors
/// Fails when the command could not be started; that it failed itself is told by [`Outcome`].
pub async fn run(
    spec: Spec,
    options: Options,
    on_line: &mut (dyn FnMut(Stream, &str) + Send),
) -> Result<Outcome, Error> {
    let ended = run_unless(spec, options, on_line, std::future::pending::<()>()).await?;
    Ok(ended.outcome)
}

/// How a run ended that could be stopped.
#[derive(Debug)]
pub struct Ended<T> {
    /// Its end, whatever brought it about.
    pub outcome: Outcome,
    /// For what it was killed, if it was.
    pub stopped: Option<T>,
}

/// As [`run`], but kills everything as soon as `stop` is ready, and returns when nothing is left: who has dropped the
/// future instead would meet processes that still write where it is about to clean.
///
/// # Errors
/// As [`run`].
pub async fn run_unless<T>(
    spec: Spec,
    options: Options,
    on_line: &mut (dyn FnMut(Stream, &str) + Send),
    stop: impl Future<Output = T>,
) -> Result<Ended<T>, Error> {
    // The thread sees the end of this pipe when the future is dropped.
    let (canceled, cancel) = io::pipe().map_err(Error::Watch)?;
    fcntl(&canceled, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|errno| Error::Watch(errno.into()))?;
    let (sender, mut events) = mpsc::channel(LINES_UNDER_WAY);
    let Options { timeout, output_bytes, last_lines: kept } = options;
    let watch = Watch { spec, timeout, output_bytes, canceled, events: sender };
    let thread = std::thread::Builder::new().name("run".to_owned());
    thread.spawn(move || watch.run()).map_err(Error::Watch)?;
    let mut last_lines = VecDeque::new();
    let mut stop = pin!(stop);
    let mut stopped = None;
    let mut cancel = Some(cancel);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            reason = &mut stop, if stopped.is_none() => {
                stopped = Some(reason);
                cancel = None;
                continue;
            }
        };
        match event {
            Some(Event::Line(stream, text)) => {
                on_line(stream, &text);
                last_lines.push_back(text);
                if last_lines.len() > kept {
                    last_lines.pop_front();
                }
            }
            Some(Event::Ended(ending, met)) => {
                drop(cancel);
                let outcome = Outcome { exit: ending.exit, met, last_lines: last_lines.into() };
                return Ok(Ended { outcome, stopped });
            }
            Some(Event::Failed(error)) => return Err(error.into()),
            None => return Err(Error::Lost),
        }
    }
}

enum Event {
    Line(Stream, String),
    Ended(Ending, Option<Limit>),
    Failed(StartError),
}

/// What the thread is given.
struct Watch {
    spec: Spec,
    timeout: Span,
    output_bytes: u64,
    /// At its end when nobody waits any more.
    canceled: PipeReader,
    events: mpsc::Sender<Event>,
}

impl Watch {
    fn run(self) {
        let started = Prepared::new(&self.spec)
            .and_then(|ready| Supervisor::start(ready.expendable(), None, Clock::system()));
        let event = match started {
            Ok(supervisor) => {
                let (ending, met) = self.watch(supervisor);
                Event::Ended(ending, met)
            }
            Err(error) => Event::Failed(error),
        };
        // Nobody listens where the future was dropped.
        let _ = self.events.blocking_send(event);
    }

    fn watch(&self, mut supervisor: Supervisor) -> (Ending, Option<Limit>) {
        supervisor.limit(self.timeout.as_duration());
        let (mut canceled, mut flooded) = (false, false);
        loop {
            let others = [self.canceled.as_fd()];
            supervisor.wait(if canceled { &[] } else { &others });
            if !canceled && matches!((&self.canceled).read(&mut [0]), Ok(0)) {
                canceled = true;
                supervisor.kill();
            }
            let mut on_line = |stream, text: &str| {
                let _ = self.events.blocking_send(Event::Line(stream, text.to_owned()));
            };
            if let Some(ending) = supervisor.turn(&mut on_line) {
                let met = limit_met(&ending, flooded);
                return (ending, met);
            }
            if !flooded && supervisor.output_bytes() > self.output_bytes {
                flooded = true;
                supervisor.kill();
            }
        }
    }
}

/// The limit that tells most about a command that did not succeed.
fn limit_met(ending: &Ending, flooded: bool) -> Option<Limit> {
    let failed = ending.exit.code != Some(0);
    match ending {
        _ if flooded => Some(Limit::Output),
        Ending { timed_out: true, .. } => Some(Limit::Time),
        _ if failed && ending.exit.out_of_memory => {
            Some(if ending.memory_limit_met { Limit::Memory } else { Limit::MachineMemory })
        }
        _ if failed && ending.processes_refused => Some(Limit::Processes),
        _ => None,
    }
}
