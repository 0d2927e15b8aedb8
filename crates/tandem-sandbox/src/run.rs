//! One command to its end, for builds: the same isolation as instances, no shim, output line by line.
//!
//! A thread of its own makes the command and stays with it: the kernel kills the command when that thread ends, so that
//! nothing is left when Tandem is killed. A thread of the runtime's pool would end whenever it was idle.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::AsFd as _;

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
    /// Lines of output kept for [`Outcome::last_lines`].
    pub last_lines: usize,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Code or signal.
    pub exit: Exit,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
    /// The end of its output, both streams as they came.
    pub last_lines: Vec<String>,
}

impl Outcome {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit.code == Some(0) && !self.timed_out
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
    // The thread sees the end of this pipe when the future is dropped.
    let (canceled, _cancel) = io::pipe().map_err(Error::Watch)?;
    fcntl(&canceled, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|errno| Error::Watch(errno.into()))?;
    let (sender, mut events) = mpsc::channel(LINES_UNDER_WAY);
    let watch = Watch { spec, timeout: options.timeout, canceled, events: sender };
    let thread = std::thread::Builder::new().name("run".to_owned());
    thread.spawn(move || watch.run()).map_err(Error::Watch)?;
    let mut last_lines = VecDeque::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Line(stream, text) => {
                on_line(stream, &text);
                last_lines.push_back(text);
                if last_lines.len() > options.last_lines {
                    last_lines.pop_front();
                }
            }
            Event::Ended(Ending { exit, timed_out }) => {
                return Ok(Outcome { exit, timed_out, last_lines: last_lines.into() });
            }
            Event::Failed(error) => return Err(error.into()),
        }
    }
    Err(Error::Lost)
}

enum Event {
    Line(Stream, String),
    Ended(Ending),
    Failed(StartError),
}

/// What the thread is given.
struct Watch {
    spec: Spec,
    timeout: Span,
    /// At its end when nobody waits any more.
    canceled: PipeReader,
    events: mpsc::Sender<Event>,
}

impl Watch {
    fn run(self) {
        let started =
            Prepared::new(&self.spec).and_then(|ready| Supervisor::start(ready, None, Clock::system()));
        let event = match started {
            Ok(supervisor) => Event::Ended(self.watch(supervisor)),
            Err(error) => Event::Failed(error),
        };
        // Nobody listens where the future was dropped.
        let _ = self.events.blocking_send(event);
    }

    fn watch(&self, mut supervisor: Supervisor) -> Ending {
        supervisor.limit(self.timeout.as_duration());
        let mut canceled = false;
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
                return ending;
            }
        }
    }
}
