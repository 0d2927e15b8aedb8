//! Starting a job: only on the word of an assignment that is obeyed, and the release phase only once.

use std::collections::BTreeMap;

use tandem_kit::error::chain;
use tandem_kit::points::{self, Effect};
use tandem_sandbox::Limits;
use tandem_sandbox::shim::{LaunchError, ShimSpec, launch};
use tandem_types::assignment::JobKind;
use tandem_types::defaults;
use tandem_types::instance::JobState;

use super::actor::{Actor, Phase};
use super::outcome;
use crate::board::BuildKey;
use crate::environment::{self, Name};
use crate::intent::JobIntent;
use crate::logs::source::Source;
use crate::order::Fate;
use crate::spec::{self, Process};
use crate::{config, logs, tail};

/// What a program asks about its terminal.
const TERM: &str = "TERM";

impl Actor {
    /// Starts it, waiting for its build and its config.
    pub(super) async fn launch(&mut self) -> Phase {
        self.report(JobState::Waiting);
        let mut orders = self.orders.clone();
        let Some(gathered) = orders.unless_ended(self.gather()).await else {
            let reason = "it was canceled before it began".to_owned();
            let halted = orders.now().fate == Fate::Halt;
            return if halted { Phase::Halted } else { Phase::Done(JobState::NotStarted { reason }) };
        };
        let spec = match gathered {
            Ok(environment) => self.describe(environment).await,
            Err(reason) => Err(reason),
        };
        let spec = match spec {
            Ok(spec) => spec,
            Err(reason) => return Phase::Done(JobState::NotStarted { reason }),
        };
        points::reached(Effect::JobLaunching).await;
        match launch(&self.context.binary, &self.folder, &spec).await {
            Ok(shim) => {
                points::reached(Effect::JobLaunched).await;
                Phase::Running(shim)
            }
            Err(error @ LaunchError::NotStarted { .. }) => {
                Phase::Done(JobState::NotStarted { reason: chain(&error) })
            }
            Err(error) => {
                self.warn("the start is uncertain", &error);
                Phase::Find
            }
        }
    }

    /// Waits for its build and its config. An instance would ask for ever; a rollout waits for this and wants to know
    /// when the server said no.
    async fn gather(&mut self) -> Result<BTreeMap<String, String>, String> {
        self.orders.until(|order| order.confirmed).await;
        let JobIntent { place, job, build, .. } = &*self.intent;
        let key = BuildKey::new(&place.app, job.build, build);
        let mut board = self.context.board.watch();
        if board.wait_for(|sheet| sheet.staged.contains(&key)).await.is_err() {
            std::future::pending::<()>().await;
        }
        let mut patience = config::Patience::new();
        loop {
            let (context, JobIntent { place, build, job, .. }) = (&self.context, &*self.intent);
            match config::fetch(context, place, job.release, Some(job.id)).await {
                Ok(config) => {
                    let mut environment = environment::compose(config, build, Name::Job(job.id), None);
                    let terminal = job.session.as_ref().and_then(|session| session.terminal.as_ref());
                    environment.extend(terminal.map(|terminal| (TERM.to_owned(), terminal.term.clone())));
                    return Ok(environment);
                }
                Err(error) if config::is_refusal(&error) => return Err(chain(&error)),
                Err(error) => {
                    tracing::warn!(job = %job.id, error = &error as &dyn std::error::Error, "{} waits for its config", job.id);
                }
            }
            patience.wait().await;
        }
    }

    async fn describe(&self, environment: BTreeMap<String, String>) -> Result<ShimSpec, String> {
        let JobIntent { place, uid, build, job } = &*self.intent;
        outcome::write_intent(&self.folder, &self.intent).map_err(|error| chain(&error))?;
        let source = Source::of_job(&self.intent);
        let folder = self.context.folders.log(place, self.unit());
        logs::source::write(&folder, &source).map_err(|error| chain(&error))?;
        let kind = source.process.to_string();
        let tags = [
            ("app", place.app.to_string()),
            ("environment", place.environment.to_string()),
            ("release", job.release.to_string()),
            ("process", kind.clone()),
            ("index", source.index.to_string()),
        ];
        let own = job.session.as_ref();
        let limits = Limits {
            memory_bytes: Some(job.memory_bytes),
            cpus: own.and_then(|session| session.cpus),
            pids: Some(own.map_or(defaults::PIDS, |session| session.pids)),
            ..Limits::default()
        };
        let process = Process {
            unit: self.unit(),
            place,
            uid: *uid,
            build,
            command: &job.command,
            environment,
            limits,
            kind: &kind,
            log: tail::settings(folder, tags),
        };
        let spec = spec::compose(&self.context, process).await.map_err(|error| chain(&error))?;
        // What may do harm when it is done twice.
        let once = matches!(job.kind, JobKind::Release | JobKind::Run);
        let marker = once.then(|| self.folder.join(outcome::MARKER));
        Ok(ShimSpec { marker, timeout: job.timeout, session: job.session.clone(), ..spec })
    }
}
