//! A runner's handle to a shim.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_types::instance::Exit;
use tandem_types::shim::{Answer, Request};
use tandem_types::{Span, Timestamp};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use super::input::read_answer;
use super::record::ShimRecord;
use super::{ExitRecord, ShimSpec};
use crate::cgroup::{self, Group};
use crate::listener::{self, Owner};
use crate::members::Members;
use crate::process::Identity;
use crate::spec::Weight;

/// A shim answers at once; one that does not within this time is stuck.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries to reach a shim that lives but broke off.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// A live shim. Dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct ShimHandle {
    dir: PathBuf,
    socket: PathBuf,
    shim: Identity,
    members: Members,
}

/// What a shim says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Protocol version of the shim.
    pub version: u32,
    /// Process id of the shim.
    pub shim_pid: i32,
    /// Process id of the child on the host, while it runs.
    pub child_pid: Option<i32>,
    /// When the child started.
    pub started: Timestamp,
    /// How it ended.
    pub exit: Option<Exit>,
    /// Whether it was killed because its time was up.
    pub timed_out: bool,
    /// Lines of output dropped so far.
    pub dropped_lines: u64,
    /// How long it has run, or ran, by a clock that nobody sets; a shim of before this was told does not say.
    pub ran_ms: Option<u64>,
}

/// Why a shim could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The shim died without leaving a record. Its app died with it.
    #[error("ask the shim: it is gone without a record")]
    Gone,
    /// It lives but does not answer.
    #[error("ask the shim at {}", socket.display())]
    Unreachable {
        /// Its control socket.
        socket: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// It does not do what it was asked.
    #[error("ask the shim: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// Its record cannot be read.
    #[error("read how the process ended")]
    Record(#[from] tandem_kit::files::Error),
    /// The processes that it left cannot be killed.
    #[error("clear up after the shim")]
    Sweep(#[from] cgroup::Error),
}

impl ShimHandle {
    /// A handle to the shim that has written down itself in the folder.
    pub(super) fn open(dir: &Path, spec: &ShimSpec) -> Option<Self> {
        let record = ShimRecord::read(dir)?;
        let sandbox = &spec.sandbox;
        let members = Members {
            group: Group::open(&sandbox.cgroup_parent, &sandbox.id),
            isolation: sandbox.isolation,
            // Where it is not known, the shim's own descendants are.
            first: record.child.unwrap_or((record.shim.pid, record.shim.start_time)),
            keeper: Some(record.shim.pid),
        };
        Some(Self { dir: dir.to_owned(), socket: spec.socket.clone(), shim: record.shim, members })
    }

    /// The shim's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Process id of the shim.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.shim.pid
    }

    /// Host process ids of the app's living processes, bubblewrap's own left out.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        self.members.of_app().iter().map(|stat| stat.pid).collect()
    }

    /// Who listens on the TCP port: this app, nobody, a stranger.
    ///
    /// # Errors
    /// As [`listener::owner_of_port`].
    pub fn owner_of_port(&self, port: u16) -> io::Result<Owner> {
        listener::owner_of_port(port, &self.processes())
    }

    /// Sets the app's share of CPU.
    ///
    /// # Errors
    /// As [`Group::set_weight`].
    pub fn set_weight(&self, weight: Weight) -> Result<(), cgroup::Error> {
        self.members.group.set_weight(weight)
    }

    /// How is it?
    ///
    /// # Errors
    /// Fails where the shim does not answer within 5 s.
    pub async fn status(&self) -> Result<Status, Error> {
        as_status(self.ask(Request::Status).await?)
    }

    /// Sends the signal to every process of the app.
    ///
    /// # Errors
    /// Fails where the shim does not answer or the app has ended.
    pub async fn signal(&self, signal: i32) -> Result<(), Error> {
        as_done(self.ask(Request::Signal { signal }).await?)
    }

    /// Signals the app to end and kills what is left after the time-out. Returns at once; see [`ShimHandle::wait_exit`].
    /// Asking again with the same signal does not send it again.
    ///
    /// # Errors
    /// Fails where the shim does not answer.
    pub async fn stop(&self, signal: i32, timeout: Span) -> Result<(), Error> {
        as_done(self.ask(Request::Stop { signal, timeout_ms: timeout.as_millis() }).await?)
    }

    /// Lets a shim whose child has ended go. Its folder stays; its control groups are gone already. A shim that is gone
    /// is fine too.
    ///
    /// # Errors
    /// Fails where the child still runs.
    pub async fn dismiss(&self) -> Result<(), Error> {
        match self.ask(Request::Dismiss).await {
            Err(Error::Gone) => Ok(()),
            answer => as_done(answer?),
        }
    }

    /// Begins to talk with a one-off command: from now on the connection is one of frames, and the first is the client's.
    ///
    /// # Errors
    /// Fails where the shim does not answer, or runs something else.
    pub async fn attach(&self) -> Result<UnixStream, Error> {
        let began = async {
            let mut stream = UnixStream::connect(&self.socket).await?;
            send(&mut stream, &Request::Attach).await?;
            let answer = read_answer(&mut stream).await?;
            Ok((stream, answer))
        };
        let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut));
        let began = tokio::time::timeout(ANSWERS_WITHIN, began).await.unwrap_or_else(late);
        let (stream, answer) = began.map_err(|source| self.unreachable(source))?;
        as_done(answer)?;
        Ok(stream)
    }

    /// Waits for the end, without limit; the record is durable by then. May be dropped and called again.
    ///
    /// # Errors
    /// [`Error::Gone`] where the shim dies without a record; what is left of the app is killed then.
    pub async fn wait_exit(&self) -> Result<ExitRecord, Error> {
        loop {
            let told = self.exchange(Request::Wait).await.ok().map(as_status).transpose()?;
            if let Some(record) = ExitRecord::read(&self.dir)? {
                return Ok(record);
            }
            // The disk is full; what the shim says must do.
            if let Some(Status { exit: Some(exit), started, timed_out, dropped_lines, ran_ms, .. }) = told {
                return Ok(ExitRecord { started, exit, timed_out, dropped_lines, ran_ms });
            }
            if !self.shim.lives() {
                return self.gone().await;
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Whether the shim's process lives.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.shim.lives()
    }

    /// Kills what a dead shim left.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        self.members.kill();
        Ok(self.members.group.sweep().await?)
    }

    /// The shim may have written its record as its last act.
    async fn gone(&self) -> Result<ExitRecord, Error> {
        if let Some(record) = ExitRecord::read(&self.dir)? {
            return Ok(record);
        }
        self.sweep().await?;
        Err(Error::Gone)
    }

    async fn ask(&self, request: Request) -> Result<Answer, Error> {
        let late = || Err(io::Error::from(io::ErrorKind::TimedOut));
        let answer =
            tokio::time::timeout(ANSWERS_WITHIN, self.exchange(request)).await.unwrap_or_else(|_| late());
        answer.map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: io::Error) -> Error {
        match self.lives() {
            true => Error::Unreachable { socket: self.socket.clone(), source },
            false => Error::Gone,
        }
    }

    async fn exchange(&self, request: Request) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        send(&mut stream, &request).await?;
        read_answer(stream).await
    }
}

async fn send(stream: &mut UnixStream, request: &Request) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

fn as_status(answer: Answer) -> Result<Status, Error> {
    match answer {
        Answer::Status { version, shim_pid, child_pid, started, exit, timed_out, dropped_lines, ran_ms } => {
            Ok(Status { version, shim_pid, child_pid, started, exit, timed_out, dropped_lines, ran_ms })
        }
        other => Err(unexpected(other)),
    }
}

fn as_done(answer: Answer) -> Result<(), Error> {
    match answer {
        Answer::Ok => Ok(()),
        other => Err(unexpected(other)),
    }
}

fn unexpected(answer: Answer) -> Error {
    match answer {
        Answer::Refused { reason } => Error::Refused { reason },
        other => Error::Refused { reason: format!("it answered {other:?}") },
    }
}
