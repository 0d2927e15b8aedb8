//! `run`, `sessions`: one-off commands are written down here, and carried out by who carries out everything else.

use std::sync::Arc;

use tandem_store::{Error, Expect, Transaction};
use tandem_types::api::Installation;
use tandem_types::app::App;
use tandem_types::assignment::{AssignedJob, Assignment, JobKind};
use tandem_types::build::Build;
use tandem_types::environment::Environment;
use tandem_types::instance::JobState;
use tandem_types::problem::Problem;
use tandem_types::release::Release;
use tandem_types::session::{LONGEST_COMMAND, RunCommand, Session, SessionSpec};
use tandem_types::{HostName, JobId, ProcessType, defaults, keys};

use crate::handle::Handle;
use crate::mirror::Versioned;
use crate::place::Place;
use crate::problem;
use crate::shared::{MOST_ATTEMPTS, cause};
use crate::start::busy;

impl Handle {
    /// Has a command run once, in the release that is current now.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`, `app_destroying`, `nothing_runs`, `command_invalid`, `too_many_sessions`.
    pub async fn run(&self, actor: &str, place: &Place, asked: RunCommand) -> Result<Session, Problem> {
        check(&asked)?;
        for _ in 0..MOST_ATTEMPTS {
            let (session, transaction) = self.new_session(actor, place, &asked)?;
            match self.shared.commit(transaction).await {
                Ok(_) => return Ok(session),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("write the command down", &error)),
            }
        }
        Err(busy(place))
    }

    /// All one-off commands of an environment that are listed, the newest first.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`.
    pub fn sessions(&self, place: &Place) -> Result<Vec<Session>, Problem> {
        self.environment(place)?;
        let prefix = keys::sessions(&place.app, &place.environment);
        Ok(self.shared.look(|mirror| {
            mirror.list::<Session>(&prefix).rev().map(|(_, session)| (*session.value).clone()).collect()
        }))
    }

    /// One of them.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`, `session_not_found`.
    pub fn session(&self, place: &Place, id: JobId) -> Result<Session, Problem> {
        Ok((*self.stored_session(place, id)?.value).clone())
    }

    /// Asks one to end: SIGTERM, and after ten seconds SIGKILL. Asking again changes nothing.
    ///
    /// # Errors
    /// As [`Handle::session`]; `session_over`.
    pub async fn end_session(&self, actor: &str, place: &Place, id: JobId) -> Result<Session, Problem> {
        for _ in 0..MOST_ATTEMPTS {
            let stored = self.stored_session(place, id)?;
            let mut session = (*stored.value).clone();
            if session.is_over() {
                return Err(over(&session));
            }
            if session.canceled.is_some() {
                return Ok(session);
            }
            let cause = cause(actor, "run.cancel", id.to_string(), place);
            session.canceled = Some(cause.clone());
            let key = keys::session(&place.app, &place.environment, id);
            let transaction = Transaction::new(cause).put(key, &session, stored.unchanged());
            match self.shared.commit(transaction).await {
                Ok(_) => return Ok(session),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("ask the command to end", &error)),
            }
        }
        Err(busy(place))
    }

    /// Whether a host may offer connections to a one-off command: while it is assigned to it.
    ///
    /// # Errors
    /// `session_not_assigned`.
    pub fn check_offer(&self, host: &HostName, id: JobId) -> Result<(), Problem> {
        let prefix = keys::assignments(host);
        let is_it = |job: &AssignedJob| job.kind == JobKind::Run && job.id == id;
        let is_assigned = self.shared.look(|mirror| {
            let mut all = mirror.list::<Assignment>(&prefix);
            all.any(|(_, assignment)| assignment.value.jobs.iter().any(is_it))
        });
        if is_assigned {
            return Ok(());
        }
        let title = format!("{id} is not assigned to {host}, or has ended");
        Err(Problem::new(404, "session_not_assigned", title).hint("tandem sessions"))
    }

    fn stored_session(&self, place: &Place, id: JobId) -> Result<Versioned<Session>, Problem> {
        self.environment(place)?;
        self.shared.get(&keys::session(&place.app, &place.environment, id)).ok_or_else(|| {
            Problem::new(404, "session_not_found", format!("{place} has no session {id}"))
                .detail("Those that ended are forgotten after a week; the journal still tells of them.")
                .hint(format!("tandem sessions {}", place.arguments()))
        })
    }

    fn new_session(
        &self,
        actor: &str,
        place: &Place,
        asked: &RunCommand,
    ) -> Result<(Session, Transaction), Problem> {
        let Place { app, environment } = place;
        let stored = self.stored_environment(place)?;
        if self.shared.value::<App>(&keys::app(app)).is_some_and(|app| app.destroying.is_some()) {
            return Err(problem::app_destroying(app));
        }
        let (release, build) = self.current(&stored.value).ok_or_else(|| problem::nothing_runs(place))?;
        let open = self.sessions(place)?.iter().filter(|session| !session.is_over()).count();
        if open >= defaults::MOST_SESSIONS {
            let title = format!("{open} one-off commands of {place} run already");
            let hint = format!("end one that `tandem sessions {}` shows", place.arguments());
            return Err(Problem::new(429, "too_many_sessions", title).hint(hint));
        }
        let missing = || problem::nothing_runs(place);
        let installation: Versioned<Installation> =
            self.shared.get(keys::INSTALLATION).ok_or_else(missing)?;
        let mut numbers = (*installation.value).clone();
        let id = numbers.next_job;
        numbers.next_job = id.next();
        let reason = [format!("{id}: {}", asked.command), asked.message.clone()];
        let reason: Vec<_> = reason.into_iter().filter(|part| !part.is_empty()).collect();
        let cause = cause(actor, "run.start", reason.join("; "), place);
        let web = build.spec.processes.get(&ProcessType::web());
        let spec = SessionSpec {
            terminal: asked.terminal.clone(),
            detached: asked.detach,
            cpus: web.and_then(|web| web.cpus),
            pids: web.map_or(defaults::PIDS, |web| web.pids),
        };
        let session = Session {
            id,
            app: app.clone(),
            environment: environment.clone(),
            release: release.number,
            build: build.number,
            command: asked.command.clone(),
            cause: cause.clone(),
            spec,
            timeout: asked.timeout,
            host: None,
            canceled: None,
            state: JobState::Waiting,
            created: self.shared.now(),
            started: None,
            finished: None,
        };
        let transaction = Transaction::new(cause)
            .put(keys::session(app, environment, id), &session, Expect::Absent)
            .put(keys::INSTALLATION.to_owned(), &numbers, installation.unchanged())
            // Whoever forgets its release and its build meanwhile expects the same.
            .check(keys::environment(app, environment), stored.unchanged());
        Ok((session, transaction))
    }

    fn current(&self, environment: &Environment) -> Option<(Arc<Release>, Arc<Build>)> {
        let number = environment.current?;
        self.shared.look(|mirror| {
            let key = keys::release(&environment.app, &environment.name, number);
            let release = mirror.value::<Release>(&key)?;
            let build = mirror.value::<Build>(&keys::build(&environment.app, release.build))?;
            Some((release, build))
        })
    }
}

/// Told to whoever comes too late.
#[must_use]
pub fn over(session: &Session) -> Problem {
    let Session { id, app, environment, .. } = session;
    let title = match &session.state {
        JobState::Ended { exit } => format!("{id} has ended: {exit}"),
        JobState::TimedOut => format!("{id} has ended: its time was up"),
        JobState::NotStarted { reason } => format!("{id} could not be started: {reason}"),
        JobState::Unknown { reason } => format!("{id} is over, and nobody knows how it ended: {reason}"),
        JobState::Waiting | JobState::Running => format!("{id} runs"),
    };
    let place = Place { app: app.clone(), environment: environment.clone() };
    let hint = format!("what it wrote is in `tandem logs --process run {}`", place.arguments());
    Problem::new(410, "session_over", title).hint(hint)
}

fn check(asked: &RunCommand) -> Result<(), Problem> {
    let refuse = |title: &str, hint: &str| Err(Problem::new(422, "command_invalid", title).hint(hint));
    let RunCommand { command, terminal, .. } = asked;
    if command.trim().is_empty() {
        return refuse("there is no command", "tandem run -- COMMAND");
    }
    if command.len() > LONGEST_COMMAND || command.contains('\0') {
        return refuse("the command is too long, or no text", "put it into a file of the app");
    }
    if terminal.as_ref().is_some_and(|terminal| !terminal.is_sound()) {
        return refuse("TERM is no name of a terminal", "TERM=xterm tandem run -- COMMAND");
    }
    Ok(())
}
