//! Following a rollout: its events as lines, its end as a result and an exit code.
//!
//! The rollout is the server's: whoever follows may leave (Ctrl-C) or lose the connection, and it goes on. A broken
//! stream is taken up again behind the last event seen, so a restart of the server costs no line.

mod lines;
mod result;
mod stream;

use std::collections::HashSet;
use std::time::Duration;

use tandem_kit::clock::Moment;
use tandem_types::RolloutNumber;
use tandem_types::api::RolloutStarted;
use tandem_types::event::{Event, RolloutEvent};
use tokio::time::{sleep, timeout};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Spinner;
use crate::place::Place;
use crate::session::Session;
pub(crate) use lines::name_of;
pub(crate) use result::{Outcome, facts};

use lines::Lines;
use stream::Events;

/// After the flip the command waits this long for the end of the drain, so that a quiet one still shows its verdict;
/// requests that take longer, and old workers that finish their job, hold nobody up.
const GRACE_AFTER_FLIP: Duration = Duration::from_secs(2);

/// Wait before the events are followed on whose end was not the rollout's.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// Looks at a rollout whose events keep ending before it does, until its outcome is called unknown.
const LOOKS: u32 = 60;
/// Longest wait for how things stand when somebody leaves: they want to be gone.
const LAST_LOOK: Duration = Duration::from_secs(2);

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
    let outcome = watch(session, followed).await?;
    tell(session, &outcome)
}

/// Shows the result of [`watch`] and makes the exit code of it.
///
/// # Errors
///
/// The rollout's own problem where it failed; that its traffic has not moved.
pub(crate) fn tell(session: &Session, outcome: &Outcome) -> Result<Exit, Failure> {
    result::tell(session, outcome)
}

/// Prints events until the end asked for and gathers the result, which the caller shows.
///
/// # Errors
///
/// As [`follow`], but a rollout that failed is a result.
pub(crate) async fn watch(session: &Session, followed: &Followed) -> Result<Outcome, Failure> {
    let ended = tokio::select! {
        ended = watch_to_end(session, followed) => Some(ended),
        signal = tokio::signal::ctrl_c() => {
            signal.map_err(|e| Failure::chain("listen for Ctrl-C", &e))?;
            None
        }
    };
    match ended {
        Some(ended) => ended,
        None => Err(left(session, followed).await),
    }
}

/// Only the exit code of the result of [`watch`], for verbs that show it in their own way.
///
/// # Errors
///
/// As [`tell`].
pub(crate) fn conclude(outcome: &Outcome) -> Result<Exit, Failure> {
    result::told(outcome)
}

/// The end of the events is no end of the rollout: the server's record decides, and until it does, the events are
/// followed on.
async fn watch_to_end(session: &Session, followed: &Followed) -> Result<Outcome, Failure> {
    let spinner = Spinner::new(&session.output);
    let mut lines = Lines::new(session.output.style());
    let mut events = Events::new(session, followed)?;
    let mut streamed = HashSet::new();
    let mut looks = 0;
    loop {
        watch_events(&mut events, |event| {
            lines.render(event).iter().for_each(|line| spinner.print(line));
            match &event.event {
                Event::StepStarted { step } => spinner.show(lines::name_of(*step)),
                Event::StepFinished { .. } => spinner.hide(),
                Event::Line { text, .. } if !session.output.quiet => {
                    streamed.insert(text.trim().to_owned());
                }
                _ => {}
            }
        })
        .await?;
        let rollout = result::read(session, followed).await?;
        looks += 1;
        if result::is_settled(&rollout, followed.until) || looks >= LOOKS {
            let mut outcome = result::gather(session, followed, rollout).await?;
            outcome.streamed = streamed;
            return Ok(outcome);
        }
        sleep(BETWEEN_LOOKS).await;
        events.go_on();
    }
}

async fn watch_events(events: &mut Events<'_>, mut show: impl FnMut(&RolloutEvent)) -> Result<(), Failure> {
    while let Some(event) = events.next().await? {
        show(&event);
        match &event.event {
            Event::Shifted { .. } if events.until() == Until::Flip => events.limit(GRACE_AFTER_FLIP),
            Event::Finished { .. } => break,
            _ => {}
        }
    }
    Ok(())
}

/// Ctrl-C: the command ends, the rollout does not. With `--json` standard output gets it as it stands.
async fn left(session: &Session, followed: &Followed) -> Failure {
    let (rollout, place) = (followed.rollout, &followed.place);
    let target = session.target(place);
    let title = format!("{rollout} of {place} goes on without you");
    let hint = format!(
        "`tandem rollout watch {rollout}{target}` to see how it ends, \
         `tandem rollout abort {rollout}{target}` to stop it"
    );
    if session.output.json {
        let known = async {
            let rollout = result::read(session, followed).await?;
            result::gather(session, followed, rollout).await
        };
        match timeout(LAST_LOOK, known).await {
            Ok(Ok(outcome)) => drop(session.output.value(&outcome.result)),
            // The failure itself becomes the answer.
            Ok(Err(_)) | Err(_) => return Failure::new(title).hint(hint).code("left"),
        }
    }
    session.output.always(format!("\n{title}\n\n{} {hint}", session.output.style().cyan("hint:")));
    Failure::Silent(Exit::Failed)
}
