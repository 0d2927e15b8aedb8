//! Starting rollouts: what is asked is checked, written down as `queued`, and carried out whether or not the caller
//! stays. One file for each thing to ask; this one has what they share.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_kit::points::{self, Point};
use tandem_rules::rollout::{self, PREEMPTED, preempted_by_rollback};
use tandem_store::{Error, Transaction};
use tandem_types::api::{RolloutAction, RolloutStarted, StartRollout};
use tandem_types::app::App;
use tandem_types::document::Cause;
use tandem_types::environment::Environment;
use tandem_types::git::GitSource;
use tandem_types::problem::Problem;
use tandem_types::rollout::{Rollout, RolloutKind, RolloutState, Source};
use tandem_types::{AppName, ProcessType, ReleaseNumber, RolloutNumber, Timestamp, keys};

use crate::handle::Handle;
use crate::mirror::Versioned;
use crate::place::Place;
use crate::problem;
use crate::shared::{MOST_ATTEMPTS, cause};

mod create;
mod deploy;
mod rollback;
mod scale;

/// A rollout as it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) kind: RolloutKind,
    pub(crate) cause: Cause,
    pub(crate) no_wait: bool,
    pub(crate) to: Option<ReleaseNumber>,
    pub(crate) source: Option<Source>,
    pub(crate) git: Option<GitSource>,
    pub(crate) scale: BTreeMap<ProcessType, u32>,
    pub(crate) processes: Vec<ProcessType>,
}

impl Ask {
    pub(crate) fn new(kind: RolloutKind, cause: Cause, no_wait: bool) -> Self {
        let (to, source, git, scale, processes) = Default::default();
        Self { kind, cause, no_wait, to, source, git, scale, processes }
    }
}

impl Handle {
    /// Writes a rollout down; it is carried out from then on. A first deploy creates the app and the environment.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`, `app_destroying`, `rollout_in_progress` (with `no_wait`), and what each action says:
    /// `source_missing`, `git_url_invalid` and its like, `release_not_found`, `same_release`, `never_served`, `build_gone`,
    /// `nothing_to_roll_back_to`,
    /// `nothing_runs`, `process_not_found`, `singleton`, `too_many_instances`.
    pub async fn start_rollout(
        &self,
        actor: &str,
        place: &Place,
        asked: StartRollout,
    ) -> Result<RolloutStarted, Problem> {
        let StartRollout { action, message, no_wait } = asked;
        let by = |verb: &str| cause(actor, verb, message.clone(), place);
        let ask = match action {
            RolloutAction::Deploy { tree, source } => {
                let source = Source { tree, info: source };
                self.ask_deploy(place, source, Ask::new(RolloutKind::Deploy, by("deploy.start"), no_wait))
                    .await?
            }
            RolloutAction::DeployGit { git } => {
                let ask = Ask::new(RolloutKind::Deploy, by("deploy.start"), no_wait);
                self.ask_deploy_git(place, git, ask).await?
            }
            RolloutAction::Rollback { release } => {
                let ask = Ask::new(RolloutKind::Rollback, by("rollback.start"), no_wait);
                self.ask_rollback(place, release, ask)?
            }
            RolloutAction::Restart { processes } => {
                let ask = Ask::new(RolloutKind::Restart, by("restart.start"), no_wait);
                self.ask_restart(place, processes, ask)?
            }
            RolloutAction::Scale { scale } => {
                let ask = Ask::new(RolloutKind::Scale, by("scale.start"), no_wait);
                self.ask_scale(place, scale, ask)?
            }
        };
        let number = self.write_rollout(place, &ask).await?;
        Ok(RolloutStarted { app: place.app.clone(), environment: place.environment.clone(), rollout: number })
    }

    async fn write_rollout(&self, place: &Place, ask: &Ask) -> Result<RolloutNumber, Problem> {
        for _ in 0..MOST_ATTEMPTS {
            let environment = self.stored_environment(place)?;
            let transaction = Transaction::new(ask.cause.clone());
            let (transaction, number) = self.with_rollout(&environment, ask, transaction)?;
            points::reached(Point::Entering(RolloutState::Queued)).await;
            match self.shared.commit(transaction).await {
                Ok(_) => {
                    points::reached(Point::Entered(RolloutState::Queued)).await;
                    return Ok(number);
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("write the rollout down", &error)),
            }
        }
        Err(busy(place))
    }

    /// Adds a rollout to a transaction, and takes the environment's next number for it. The transaction writes the
    /// environment as given but for that number.
    pub(crate) fn with_rollout(
        &self,
        stored: &Versioned<Environment>,
        ask: &Ask,
        transaction: Transaction,
    ) -> Result<(Transaction, RolloutNumber), Problem> {
        let environment = &*stored.value;
        let (app, name) = (&environment.app, &environment.name);
        let transaction = self.with_living_app(app, transaction)?;
        let unfinished: Vec<_> =
            self.shared.look(|mirror| mirror.unfinished(&keys::rollouts(app, name)).collect());
        if ask.no_wait {
            refuse_to_wait(&unfinished, ask.kind)?;
        }
        let number = environment.next_rollout;
        let environment = Environment { next_rollout: number.next(), ..environment.clone() };
        let key = keys::environment(app, name);
        let mut transaction = transaction.put(key, &environment, stored.unchanged());
        if ask.kind == RolloutKind::Rollback {
            transaction = self.preempt(&unfinished, number, transaction);
        }
        let rollout = queued(&environment, number, ask, self.shared.now());
        let key = keys::rollout(app, name, number);
        Ok((transaction.put(key, &rollout, tandem_store::Expect::Absent), number))
    }

    /// Lets a transaction fail where the app is being destroyed by then.
    pub(crate) fn with_living_app(
        &self,
        app: &AppName,
        transaction: Transaction,
    ) -> Result<Transaction, Problem> {
        let key = keys::app(app);
        let Some(stored) = self.shared.get::<App>(&key) else { return Ok(transaction) };
        if stored.value.destroying.is_some() {
            return Err(problem::app_destroying(app));
        }
        Ok(transaction.check(key, stored.unchanged()))
    }

    /// Aborts what has not moved traffic yet: whoever goes back does not want it to take over afterwards.
    fn preempt(
        &self,
        unfinished: &[Versioned<Rollout>],
        number: RolloutNumber,
        mut transaction: Transaction,
    ) -> Transaction {
        let values: Vec<_> = unfinished.iter().map(|stored| Arc::clone(&stored.value)).collect();
        let aside = preempted_by_rollback(&values);
        for stored in unfinished.iter().filter(|stored| aside.contains(&stored.value.number)) {
            let rollout = &stored.value;
            let abort = Cause {
                action: PREEMPTED.to_owned(),
                reason: format!("the rollback {number} goes first"),
                ..transaction.cause.clone()
            };
            let aborted = Rollout { abort: Some(abort), ..(**rollout).clone() };
            let key = keys::rollout(&rollout.app, &rollout.environment, rollout.number);
            transaction = transaction.put(key, &aborted, stored.unchanged());
        }
        transaction
    }
}

fn queued(environment: &Environment, number: RolloutNumber, ask: &Ask, now: Timestamp) -> Rollout {
    let place = (environment.app.clone(), environment.name.clone());
    Rollout {
        source: ask.source.clone(),
        git: ask.git.clone(),
        to: ask.to,
        scale: ask.scale.clone(),
        processes: ask.processes.clone(),
        ..rollout::queued(place, number, (ask.kind, ask.cause.clone()), now)
    }
}

/// A rollback waits for nothing that it can push aside or end.
fn refuse_to_wait(unfinished: &[Versioned<Rollout>], kind: RolloutKind) -> Result<(), Problem> {
    let blocks = |stored: &&Versioned<Rollout>| {
        kind != RolloutKind::Rollback
            || matches!(stored.value.state, RolloutState::Committing | RolloutState::Reverting)
    };
    let Some(first) = unfinished.iter().find(blocks) else { return Ok(()) };
    let Rollout { app, environment, number, cause, created, kind, .. } = &*first.value;
    let since = created.strftime("%H:%M:%S UTC");
    let (kind, place) = (kind_name(*kind), Place { app: app.clone(), environment: environment.clone() });
    let title = format!("{number} of {place} is under way: a {kind} by {} since {since}", cause.actor);
    let arguments = place.arguments();
    let hint = format!(
        "leave --no-wait away to wait for it, or type `tandem rollout watch {number} {arguments}` or \
         `tandem rollout abort {number} {arguments}`"
    );
    Err(Problem::new(409, "rollout_in_progress", title).hint(hint))
}

/// What people call a kind of rollout.
pub(crate) fn kind_name(kind: RolloutKind) -> &'static str {
    match kind {
        RolloutKind::Deploy => "deploy",
        RolloutKind::Rollback => "rollback",
        RolloutKind::Config => "config change",
        RolloutKind::Scale => "change of scale",
        RolloutKind::Restart => "restart",
    }
}

/// Others changed the same documents again and again.
pub(crate) fn busy(place: &Place) -> Problem {
    Problem::new(503, "busy", format!("{place} is being changed by others all the time")).hint("try again")
}
