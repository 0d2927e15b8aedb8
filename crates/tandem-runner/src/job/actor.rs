//! The actor's frame: find what is there, start, wait for the end, tell of it until nobody asks any more.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tandem_kit::error::chain;
use tandem_kit::points::{self, Effect};
use tandem_kit::tasks;
use tandem_sandbox::cgroup::Group;
use tandem_sandbox::shim::{Adopted, ExitRecord, ShimHandle, adopt};
use tandem_types::assignment::JobKind;
use tandem_types::instance::{JobObservation, JobState};
use tandem_types::{JobId, Span};

use super::outcome;
use super::talking::Talking;
use crate::context::Context;
use crate::folders::Unit;
use crate::intent::JobIntent;
use crate::order::{Fate, Orders};
use crate::{spec, tail};

/// Time a canceled job gets to end by itself.
const STOP_TIMEOUT: Span = Span::seconds(10);
/// Time beyond that after which its shim is helped.
const GRACE: Duration = Duration::from_secs(10);
/// Wait before a shim that lives and does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// One job.
pub(crate) struct Actor {
    pub(super) context: Arc<Context>,
    pub(super) orders: Orders<JobIntent>,
    pub(super) intent: Arc<JobIntent>,
    pub(super) folder: PathBuf,
    pub(super) line: JobObservation,
}

/// Where a job stands.
pub(crate) enum Phase {
    /// Look what is there.
    Find,
    /// Start it.
    Launch,
    /// It runs.
    Running(ShimHandle),
    /// It came out like this.
    Done(JobState),
    /// It had not begun when the whole host was halted, and may begin later.
    Halted,
}

impl Actor {
    /// An actor for a job that may have been started before.
    pub(crate) fn new(context: Arc<Context>, orders: Orders<JobIntent>) -> Self {
        let intent = orders.now().intent;
        let id = intent.job.id;
        let folder = context.folders.unit(Unit::Job(id));
        let line = JobObservation { id, state: JobState::Waiting, started: None, log_tail: Vec::new() };
        Self { context, orders, intent, folder, line }
    }

    /// Lives until it is told to leave. Dropped at any await, it leaves its process as it is.
    pub(crate) async fn run(mut self, found: Phase) {
        let mut phase = found;
        loop {
            phase = match phase {
                Phase::Find => self.find().await,
                Phase::Launch => self.launch().await,
                Phase::Running(shim) => self.running(shim).await,
                Phase::Done(state) => match self.done(state).await {
                    Fate::Leave => return self.remove().await,
                    Fate::Stay | Fate::Halt => return,
                },
                Phase::Halted => return,
            };
        }
    }

    pub(super) fn id(&self) -> JobId {
        self.intent.job.id
    }

    pub(super) fn unit(&self) -> Unit {
        Unit::Job(self.id())
    }

    pub(super) fn report(&mut self, state: JobState) {
        if state != self.line.state {
            tracing::info!(job = %self.id(), state = ?state, "job {} is {state:?}", self.id());
        }
        self.line.state = state;
        self.context.board.put_job(&self.line);
    }

    /// Says in the log what went wrong with it, where it goes on all the same.
    pub(super) fn warn(&self, what: &str, error: &(dyn std::error::Error + 'static)) {
        tracing::warn!(job = %self.id(), error, "{}: {what}", self.id());
    }

    /// Looks into the folder.
    pub(crate) async fn find(&mut self) -> Phase {
        match outcome::read(&self.folder) {
            Ok(Some(state)) => return Phase::Done(state),
            Ok(None) => {}
            Err(error) => return Phase::Done(JobState::Unknown { reason: chain(&error) }),
        }
        // A machine that went down may have lost every file but the marker.
        let marked = self.folder.join(outcome::MARKER).exists();
        if !spec::is_in(&self.folder) {
            return if marked { self.lost() } else { Phase::Launch };
        }
        match adopt(&self.folder).await {
            Ok(Adopted::Live(shim)) => Phase::Running(shim),
            Ok(Adopted::Ended(record)) => Phase::Done(self.judge(record)),
            Ok(Adopted::Gone { ran }) if ran || marked => self.lost(),
            Ok(Adopted::Gone { .. }) => Phase::Launch,
            Err(error) => self.ask_again(chain(&error)).await,
        }
    }

    /// It was started and its shim is gone without a record. Only what may run again is started again.
    fn lost(&self) -> Phase {
        match self.intent.job.kind {
            JobKind::Smoke => Phase::Launch,
            JobKind::Release | JobKind::Run => Phase::Done(JobState::Unknown {
                reason: "it was started, and what watched over it ended before it did".to_owned(),
            }),
        }
    }

    async fn ask_again(&mut self, reason: String) -> Phase {
        tracing::warn!(job = %self.id(), "the shim of {} does not answer: {reason}", self.id());
        self.report(JobState::Running);
        if self.orders.unless_ended(tokio::time::sleep(AGAIN)).await.is_some() {
            return Phase::Find;
        }
        self.sweep_group().await;
        Phase::Done(JobState::Unknown { reason })
    }

    async fn running(&mut self, shim: ShimHandle) -> Phase {
        match shim.status().await {
            Ok(status) => self.line.started = Some(status.started),
            Err(error) => {
                tracing::debug!(job = %self.id(), error = &error as &dyn std::error::Error, "no status")
            }
        }
        self.report(JobState::Running);
        let talking = Talking::begin(&self.context, &self.intent.job, &shim);
        let ended = match self.orders.unless_ended(shim.wait_exit()).await {
            Some(ended) => ended,
            None => match self.stop(&shim).await {
                Some(ended) => ended,
                None => return self.lost_while_stopping().await,
            },
        };
        match ended {
            Ok(record) => {
                let state = self.judge(record);
                points::reached(Effect::JobEnded).await;
                if let Err(error) = shim.dismiss().await {
                    self.warn("could not dismiss the shim", &error);
                }
                if let Some(talking) = talking {
                    // Told as over, it would be forgotten with what its clients have not read yet.
                    tokio::select! {
                        () = talking.end() => {}
                        () = self.orders.until(|order| order.fate != Fate::Stay) => {}
                    }
                }
                Phase::Done(state)
            }
            Err(error) => {
                self.warn("lost the shim", &error);
                Phase::Find
            }
        }
    }

    async fn stop(&self, shim: &ShimHandle) -> Option<Result<ExitRecord, tandem_sandbox::shim::Error>> {
        let stopped = async {
            shim.stop(Signal::SIGTERM as i32, STOP_TIMEOUT).await?;
            shim.wait_exit().await
        };
        tokio::time::timeout(STOP_TIMEOUT.as_duration() + GRACE, stopped).await.ok()
    }

    async fn lost_while_stopping(&self) -> Phase {
        self.sweep_group().await;
        Phase::Done(JobState::Unknown { reason: "its shim did not stop it in time".to_owned() })
    }

    fn judge(&mut self, record: ExitRecord) -> JobState {
        self.line.started = Some(record.started);
        if record.timed_out { JobState::TimedOut } else { JobState::Ended { exit: record.exit } }
    }

    /// Writes an outcome down that no exit record tells. It is told even where that fails.
    fn keep(&self, state: &JobState) {
        if matches!(state, JobState::Ended { .. } | JobState::TimedOut) {
            return;
        }
        if let Err(error) = outcome::write(&self.folder, state) {
            self.warn("could not write down how it came out", &error);
        }
    }

    /// Tells how it came out for as long as somebody asks.
    async fn done(&mut self, state: JobState) -> Fate {
        self.keep(&state);
        self.line.log_tail =
            tail::last_lines(self.context.folders.log(&self.intent.place, self.unit())).await;
        self.report(state);
        self.orders.until(|order| order.fate != Fate::Stay).await;
        self.orders.now().fate
    }

    async fn sweep_group(&self) {
        let group = Group::open(&self.context.folders.cgroup_parent, &self.id().to_string());
        if let Err(error) = group.sweep().await {
            self.warn("could not end what is left", &error);
        }
    }

    async fn remove(self) {
        let (folders, unit) = (self.context.folders.clone(), self.unit());
        let log = folders.log(&self.intent.place, unit);
        tasks::blocking("job-remove", move || {
            crate::removal::remove(&folders, unit);
            crate::logs::fold::fold(&log);
        })
        .await;
        self.context.board.drop_job(self.id());
    }
}
