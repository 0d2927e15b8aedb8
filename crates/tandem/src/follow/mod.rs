//! Following a rollout: its events as lines, its end as a result and an exit code.
//!
//! The rollout is the server's: whoever follows may leave (Ctrl-C) or lose the connection, and it goes on. A broken
//! stream is taken up again behind the last event seen, so a restart of the server costs no line.

mod lines;
mod result;
mod stream;

use std::time::Duration;

use tandem_kit::clock::Moment;
use tandem_types::RolloutNumber;
use tandem_types::api::{RolloutResult, RolloutStarted};
use tandem_types::event::Event;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Spinner;
use crate::place::Place;
use crate::session::Session;
pub(crate) use lines::name_of;
pub(crate) use result::facts;

use lines::Lines;
use stream::Events;

/// After the flip the command waits this long for the end of the drain, so that a quiet one still shows its verdict;
/// requests that take longer, and old workers that finish their job, hold nobody up.
const GRACE_AFTER_FLIP: Duration = Duration::from_secs(2);

/// How long to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Until {
    /// Until the traffic is confirmed to have moved
    Flip,
    /// Until the rollout is judged and over
    Verdict,
}

/// A rollout to follow.
#[derive(Debug)]
pub(crate) struct Followed {
    /// Where it happens.
    pub(crate) place: Place,
    /// Which.
    pub(crate) rollout: RolloutNumber,
    /// When the command began, for the total time; none: the time of the rollout itself is told.
    pub(crate) begun: Option<Moment>,
    /// How long to stay.
    pub(crate) until: Until,
}

impl Followed {
    /// The rollout that a request started.
    pub(crate) fn new(started: &RolloutStarted, begun: Moment) -> Self {
        let place = Place::new(started.app.clone(), started.environment.clone());
        Self { place, rollout: started.rollout, begun: Some(begun), until: Until::Flip }
    }
}

/// Prints events until the end asked for, then the result, and tells the exit code.
///
/// # Errors
///
/// The rollout's own problem where it failed; a server that is gone for good.
pub(crate) async fn follow(session: &Session, followed: &Followed) -> Result<Exit, Failure> {
    let result = watch(session, followed).await?;
    tell(session, &result)
}

/// Shows the result of [`watch`] and makes the exit code of it.
///
/// # Errors
///
/// The rollout's own problem where it failed.
pub(crate) fn tell(session: &Session, result: &RolloutResult) -> Result<Exit, Failure> {
    result::tell(session, result)
}

/// Prints events until the end asked for and gathers the result, which the caller shows.
///
/// # Errors
///
/// As [`follow`], but a rollout that failed is a result.
pub(crate) async fn watch(session: &Session, followed: &Followed) -> Result<RolloutResult, Failure> {
    tokio::select! {
        ended = watch_events(session, followed) => ended?,
        signal = tokio::signal::ctrl_c() => {
            signal.map_err(|e| Failure::chain("listen for Ctrl-C", &e))?;
            return Err(left(session, followed));
        }
    }
    result::gather(session, followed).await
}

/// Only the exit code of the result of [`watch`], for verbs that show it in their own way.
///
/// # Errors
///
/// The rollout's own problem where it failed.
pub(crate) fn conclude(result: &RolloutResult) -> Result<Exit, Failure> {
    result::told(result)
}

async fn watch_events(session: &Session, followed: &Followed) -> Result<(), Failure> {
    let spinner = Spinner::new(&session.output);
    let mut lines = Lines::new(session.output.style());
    let mut events = Events::new(session, followed)?;
    while let Some(event) = events.next().await? {
        lines.render(&event).iter().for_each(|line| spinner.print(line));
        match &event.event {
            Event::StepStarted { step } => spinner.show(lines::name_of(*step)),
            Event::StepFinished { .. } => spinner.hide(),
            Event::Shifted { .. } if followed.until == Until::Flip => events.limit(GRACE_AFTER_FLIP),
            Event::Finished { .. } => break,
            _ => {}
        }
    }
    Ok(())
}

/// Ctrl-C: the command ends, the rollout does not.
fn left(session: &Session, followed: &Followed) -> Failure {
    let (rollout, place) = (followed.rollout, &followed.place);
    session.output.always(format!(
        "\n{rollout} of {place} goes on without you\n\n{} `tandem rollout watch {rollout}{}` to see how it ends, \
         `tandem rollout abort {rollout}{}` to stop it",
        session.output.style().cyan("hint:"),
        arguments(session, place),
        arguments(session, place),
    ));
    Failure::Silent(Exit::Failed)
}

/// What must be added to a command so that it means the same place from any folder.
fn arguments(session: &Session, place: &Place) -> String {
    let mut text = String::new();
    if session.global.app.is_some() {
        text.push_str(&format!(" --app {}", place.app));
    }
    if place.environment.as_str() != "production" {
        text.push_str(&format!(" --env {}", place.environment));
    }
    text
}
