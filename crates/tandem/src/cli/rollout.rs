//! `tandem rollout watch|list|abort`, and what deploy, rollback, restart and scale share: asking for a rollout and
//! following it.

use tandem_kit::clock::Moment;
use tandem_kit::points::{self, Effect};
use tandem_types::RolloutNumber;
use tandem_types::api::{Reason, RolloutStarted, StartRollout};
use tandem_types::rollout::{Rollout, RolloutKind, RolloutState, Verdict};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::follow::{self, Followed, Until};
use crate::output::{Cell, Style, Table, ago, milliseconds};
use crate::place::Place;
use crate::session::Session;

/// Verbs of `rollout`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Follow a rollout to its end; the exit code is its verdict
    #[command(after_help = "\
Examples:
  tandem rollout watch         the latest rollout
  tandem rollout watch ro7     a certain one, also after its end")]
    Watch {
        /// Rollout to follow [default: the latest]
        rollout: Option<RolloutNumber>,
    },
    /// List the rollouts of an app, latest first
    #[command(after_help = "\
Example:
  tandem rollout list --env staging")]
    List {
        /// How many at most
        #[arg(short = 'n', long, default_value_t = 20, value_name = "NUMBER", value_parser = super::at_least_one())]
        lines: usize,
    },
    /// Stop a rollout: the release that served before serves on
    #[command(after_help = "\
Before the traffic moved, the new instances are stopped and nothing else changes; after it, the
traffic goes back. A rollout that has ended is taken back by `tandem rollback`.

Examples:
  tandem rollout abort                    the one under way
  tandem rollout abort ro7 -m 'wrong branch'")]
    Abort {
        /// Rollout to stop [default: the latest]
        rollout: Option<RolloutNumber>,
    },
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    let place = session.place().await?;
    match verb {
        Verb::Watch { rollout } => watch(session, place, rollout).await,
        Verb::List { lines } => list(session, &place, lines).await,
        Verb::Abort { rollout } => abort(session, place, rollout).await,
    }
}

/// A rollout to ask for.
pub(super) struct Start {
    pub(super) place: Place,
    pub(super) request: StartRollout,
    /// When the command began.
    pub(super) begun: Moment,
    pub(super) until: Until,
}

/// Asks for a rollout, follows it, tells its result.
pub(super) async fn start(session: &Session, start: Start) -> Result<Exit, Failure> {
    let path = start.place.path("rollouts");
    points::reached(Effect::ClientSent).await;
    let started: RolloutStarted = session.client()?.post(&path, &start.request).await?;
    points::reached(Effect::ClientTold).await;
    session.output.note(format!("{} of {}", started.rollout, start.place));
    let followed = Followed { until: start.until, ..Followed::new(&started, start.begun) };
    follow::follow(session, &followed).await
}

async fn watch(session: &Session, place: Place, rollout: Option<RolloutNumber>) -> Result<Exit, Failure> {
    let rollout = number_or_latest(session, &place, rollout).await?;
    let followed = Followed { place, rollout, begun: None, until: Until::Verdict };
    let outcome = follow::watch(session, &followed).await?;
    let result = &outcome.result;
    if session.output.json {
        session.output.value(result)?;
    } else if result.state == RolloutState::Completed {
        // Not "is live": a later rollout may have moved the traffic on.
        session.output.line(format!("{rollout} completed: {}", follow::facts(result)))?;
    }
    follow::conclude(&outcome)
}

async fn abort(session: &Session, place: Place, rollout: Option<RolloutNumber>) -> Result<Exit, Failure> {
    let rollout = number_or_latest(session, &place, rollout).await?;
    let reason = Reason { reason: session.global.reason() };
    let path = place.path(&format!("rollouts/{rollout}/abort"));
    let _: Rollout = session.client()?.post(&path, &reason).await?;
    session.output.note(format!("asked {rollout} of {place} to stop"));
    let target = session.target(&place);
    let followed = Followed { place, rollout, begun: None, until: Until::Verdict };
    let outcome = follow::watch(session, &followed).await?;
    let result = &outcome.result;
    if session.output.json {
        session.output.value(result)?;
    }
    match result.state {
        RolloutState::Aborted if session.output.json => Ok(Exit::Done),
        RolloutState::Aborted => {
            session.output.line(format!("{rollout} is aborted"))?;
            Ok(Exit::Done)
        }
        RolloutState::Completed => {
            Err(Failure::new(format!("{rollout} was completed before it could be aborted"))
                .hint(format!("`tandem rollback{target}` takes the traffic back to the release before it")))
        }
        _ => follow::conclude(&outcome),
    }
}

async fn number_or_latest(
    session: &Session,
    place: &Place,
    rollout: Option<RolloutNumber>,
) -> Result<RolloutNumber, Failure> {
    if let Some(rollout) = rollout {
        return Ok(rollout);
    }
    let latest: Rollout = session.client()?.get(&place.path("rollouts/latest")).await?;
    Ok(latest.number)
}

async fn list(session: &Session, place: &Place, lines: usize) -> Result<Exit, Failure> {
    let mut rollouts: Vec<Rollout> = session.client()?.get(&place.path("rollouts")).await?;
    rollouts.sort_by_key(|rollout| std::cmp::Reverse(rollout.number));
    rollouts.truncate(lines);
    let now = session.clock.now();
    session.output.show(&rollouts, |rollouts| {
        let style = session.output.data_style();
        let mut table =
            Table::new(&["ROLLOUT", "KIND", "RELEASE", "STATE", "VERDICT", "TOOK", "WHEN", "BY", "REASON"]);
        for rollout in rollouts {
            table.row(row(rollout, style, now));
        }
        table.render(style, &format!("no rollout of {place} yet; type `tandem deploy`"))
    })?;
    Ok(Exit::Done)
}

fn row(rollout: &Rollout, style: Style, now: jiff::Timestamp) -> Vec<Cell> {
    let took = rollout.finished.map(|end| end.duration_since(rollout.created).as_millis());
    let took = took.map(|millis| milliseconds(u64::try_from(millis).unwrap_or_default()));
    vec![
        rollout.number.into(),
        kind(rollout.kind).into(),
        rollout.to.map(|release| release.to_string()).unwrap_or_default().into(),
        state(rollout.state, style),
        verdict(rollout.verdict).into(),
        took.unwrap_or_default().into(),
        ago(rollout.created, now).into(),
        rollout.cause.actor.as_str().into(),
        rollout.cause.reason.as_str().into(),
    ]
}

fn kind(kind: RolloutKind) -> &'static str {
    match kind {
        RolloutKind::Deploy => "deploy",
        RolloutKind::Rollback => "rollback",
        RolloutKind::Config => "config",
        RolloutKind::Scale => "scale",
        RolloutKind::Restart => "restart",
    }
}

fn state(state: RolloutState, style: Style) -> Cell {
    let name = follow::name_of(state);
    match state {
        RolloutState::Completed => Cell::painted(name, |text| style.green(text)),
        RolloutState::Failed | RolloutState::Reverted => Cell::painted(name, |text| style.red(text)),
        _ => Cell::painted(name, |text| style.yellow(text)),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Undecided => "undecided",
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
    }
}
