//! The actor's frame: what it holds, how it goes from phase to phase, and what it tells the board.

use std::path::PathBuf;
use std::sync::Arc;

use tandem_rules::restart::Backoff;
use tandem_sandbox::logs;
use tandem_sandbox::shim::ShimHandle;
use tandem_types::InstanceId;
use tandem_types::instance::{Findings, InstanceObservation, InstanceState};
use tokio::time::Instant;

use super::record::Record;
use super::running::Run;
use crate::context::Context;
use crate::folders::Unit;
use crate::intent::Intent;
use crate::order::Orders;
use crate::tail;

/// One instance.
pub(crate) struct Actor {
    pub(super) context: Arc<Context>,
    pub(super) orders: Orders<Intent>,
    pub(super) folder: PathBuf,
    pub(super) record: Record,
    pub(super) line: InstanceObservation,
    pub(super) backoff: Backoff,
    /// What `PORT` says in its environment, once it was started.
    pub(super) port: Option<u16>,
    /// Since when its process runs.
    pub(super) since: Option<Instant>,
}

/// Where an instance stands.
pub(crate) enum Phase {
    /// Look what is there.
    Find,
    /// Start it.
    Launch,
    /// It runs.
    Running(Box<Run>),
    /// It crashed and is started again at this time.
    Rest(Instant),
    /// It runs and should end.
    Stop(ShimHandle),
    /// It ended because it should.
    Stopped,
}

impl Actor {
    /// An actor for an instance that may have been started before, as the record tells.
    pub(crate) fn new(context: Arc<Context>, orders: Orders<Intent>, record: Option<Record>) -> Self {
        let intent = orders.now().intent;
        let record =
            Record { intent: (*intent).clone(), ..record.unwrap_or_else(|| Record::new((*intent).clone())) };
        let folder = context.folders.unit(Unit::Instance(intent.instance.id));
        let line = line(&record);
        Self { context, orders, folder, record, line, backoff: Backoff::new(), port: None, since: None }
    }

    /// Lives until it is told to leave. Dropped at any await, it leaves its process as it is.
    pub(crate) async fn run(mut self, found: Phase) {
        let mut phase = found;
        loop {
            phase = match phase {
                Phase::Find => self.find().await,
                Phase::Launch => self.launch().await,
                Phase::Running(run) => self.running(*run).await,
                Phase::Rest(until) => self.rest(until).await,
                Phase::Stop(shim) => self.stop(shim).await,
                Phase::Stopped => match self.stopped().await {
                    Some(next) => next,
                    None => break,
                },
            };
        }
        self.remove().await;
    }

    pub(super) fn id(&self) -> InstanceId {
        self.record.intent.instance.id
    }

    pub(super) fn unit(&self) -> Unit {
        Unit::Instance(self.id())
    }

    /// Tells the board how it is; a state that is good needs no explanation.
    pub(super) fn report(&mut self, state: InstanceState) {
        if state != self.line.state {
            self.log(state);
        }
        self.line.state = state;
        if matches!(state, InstanceState::Ready | InstanceState::Stopped) {
            self.line.detail = None;
            self.line.log_tail.clear();
            let exposed = self.line.found.exposed.filter(|_| state == InstanceState::Ready);
            self.line.found = Findings { exposed, ..Findings::default() };
        }
        self.line.restarts = self.record.restarts;
        self.line.last_exit.clone_from(&self.record.last_exit);
        self.context.board.put_instance(&self.line);
    }

    fn log(&self, state: InstanceState) {
        let (id, release) = (self.id(), self.line.release);
        let detail = self.line.detail.as_deref().unwrap_or_default();
        match state {
            InstanceState::Crashed | InstanceState::Unhealthy => {
                tracing::warn!(instance = %id, release = %release, "instance {id} is {state:?}: {detail}");
            }
            _ => tracing::info!(instance = %id, release = %release, "instance {id} is {state:?}"),
        }
    }

    /// As [`Actor::report`], saying why.
    pub(super) fn report_because(&mut self, state: InstanceState, detail: impl Into<String>) {
        self.line.detail = Some(detail.into());
        self.report(state);
    }

    /// Puts the last lines of its output into the report to come; returns the last error in it.
    pub(super) async fn attach_tail(&mut self) -> Option<String> {
        let folder = self.context.folders.log(&self.record.intent.place, self.unit());
        let tail = tail::read(folder).await;
        self.line.log_tail = tail.last_lines;
        tail.last_error
    }

    /// Keeps the record. A disk that refuses costs an adoption, not the instance.
    pub(super) fn keep_record(&self) {
        if let Err(error) = self.record.write(&self.folder) {
            self.warn("could not write the record", &error);
        }
    }

    /// Says in the log what went wrong with it, where it goes on all the same.
    pub(super) fn warn(&self, what: &str, error: &(dyn std::error::Error + 'static)) {
        tracing::warn!(instance = %self.id(), error, "{}: {what}", self.id());
    }

    /// Takes over what it should be; what it runs as now changes only in the parts that may.
    pub(super) fn adopt_intent(&mut self, intent: &Intent) {
        if self.record.intent != *intent {
            self.record.intent = intent.clone();
            self.keep_record();
        }
    }

    /// Tags of its log.
    pub(super) fn log_settings(&self) -> logs::Settings {
        let intent = &self.record.intent;
        let tags = [
            ("app", intent.place.app.to_string()),
            ("environment", intent.place.environment.to_string()),
            ("release", intent.instance.release.to_string()),
            ("process", intent.instance.process.to_string()),
            ("index", intent.instance.index.to_string()),
        ];
        tail::settings(self.context.folders.log(&intent.place, self.unit()), tags)
    }
}

fn line(record: &Record) -> InstanceObservation {
    let Intent { place, instance, .. } = &record.intent;
    InstanceObservation {
        id: instance.id,
        app: place.app.clone(),
        environment: place.environment.clone(),
        release: instance.release,
        process: instance.process.clone(),
        index: instance.index,
        state: InstanceState::Waiting,
        address: None,
        pid: None,
        started: None,
        restarts: record.restarts,
        last_exit: record.last_exit.clone(),
        detail: None,
        log_tail: Vec::new(),
        found: Findings::default(),
    }
}
