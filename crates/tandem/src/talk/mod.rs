//! Talking with a one-off command from here: this terminal, or these pipes, and a connection that may be cut.
//!
//! Nothing that was typed or piped in is lost or sent twice when the server is started again: the shim tells how much it has
//! taken, and what it has not is kept here.

mod conversation;
mod keyboard;
mod screen;

use std::time::Duration;

use http::Method;
use tandem_kit::api::Error;
use tandem_types::JobId;
use tandem_types::frame::{Ended, PROTOCOL};
use tandem_types::instance::{Exit as Ending, JobState};
use tandem_types::session::Session as Command;
use tokio::time::sleep;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::place::Place;
use crate::session::Session;

use conversation::{Conversation, End};
pub(crate) use screen::{is_on_terminal, window};

/// Between two tries to reach the server again.
const AGAIN: Duration = Duration::from_millis(500);
/// Time in which nothing is heard of the command, after which it is given up: as long as a machine takes to start again.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time without an answer after which people are told what is waited for.
const SAYS_WHY: Duration = Duration::from_secs(2);
/// Looks whether a command that is over says how it ended, half a second each.
const LOOKS: u32 = 20;
/// What `timeout` ends with when time was up.
const TIMED_OUT: u8 = 124;

/// How somebody talks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// This terminal is the command's.
    pub(crate) terminal: bool,
    /// Comes back to a command that runs: begins with the last screenful.
    pub(crate) screenful: bool,
    /// Both outputs go to standard error, and the command gets no input.
    pub(crate) aside: bool,
    /// Has not started it: leaves it where its starter would end it, and passes no signal on.
    pub(crate) visits: bool,
    /// Only looks: it gets no input from here, and no end of its input.
    pub(crate) looks_on: bool,
}

/// Talks until the command ends, or until somebody leaves it.
///
/// # Errors
///
/// The session cannot be reached for long, or output was lost.
pub(crate) async fn talk(
    session: &Session,
    place: &Place,
    id: JobId,
    manner: Manner,
) -> Result<Exit, Failure> {
    let mut conversation =
        Conversation::new(manner).map_err(|e| Failure::chain("draw a random number", &e))?;
    let outcome = converse(session, (place, id), &mut conversation).await;
    conversation.give_terminal_back();
    let target = session.target(place);
    let begun_in_vain = !manner.visits && !conversation.was_heard();
    let left = || format!("left {id}, which goes on; `tandem sessions{target} --end {id}` ends it");
    match outcome {
        Err(failure) if begun_in_vain => Err(match give_up(session, place, id).await {
            Some(words) => failure.detail(words),
            None => failure,
        }),
        Err(failure) => Err(failure),
        Ok(End::Left { signal }) => {
            if begun_in_vain {
                let words = give_up(session, place, id).await;
                session.output.note(words.unwrap_or_else(|| format!("{id} is over")));
            } else {
                session.output.note(format!("\n{}, `tandem attach{target} {id}` comes back", left()));
            }
            Ok(signal.map_or(Exit::Done, |signal| Exit::Command(128 + signal)))
        }
        Ok(End::ReaderGone) => {
            if manner.visits {
                session.output.note(left());
            }
            Err(Failure::ReaderGone)
        }
        Ok(End::Refused { reason }) => Err(Failure::new(format!("{id} lets nobody in: {reason}"))
            .hint(format!("tandem logs{target} --process run"))),
        Ok(End::NoTerminal(failure)) => Err(failure),
        Ok(End::Ended(ended)) => {
            let exit = told(session, &ended);
            match conversation.lost() {
                0 => Ok(exit),
                lost => Err(Failure::new(format!(
                    "{lost} bytes of output were lost, since nobody read them in time"
                ))
                .detail(format!("the command itself ended with code {}", code(&ended.exit)))
                .hint(format!("what is kept of it is in `tandem logs --process run{target}`"))),
            }
        }
    }
}

/// Ends a command that nobody has heard of: whoever wanted it is gone, and must not be surprised by it hours later. None:
/// it was over.
async fn give_up(session: &Session, place: &Place, id: JobId) -> Option<String> {
    let path = place.path(&format!("sessions/{id}"));
    let asked = async { session.client()?.delete::<Command>(&path).await.map_err(Failure::from) };
    match asked.await {
        Ok(_) => Some(format!("nothing was heard of {id}; it was asked to end, and does not begin any more")),
        Err(failure) if failure.code_is() == Some("session_over") => None,
        Err(failure) => {
            let target = session.target(place);
            let why = failure.render(session.output.data_style()).unwrap_or_default();
            Some(format!("{id} could not be ended; type `tandem sessions{target} --end {id}`\n{why}"))
        }
    }
}

async fn converse(
    session: &Session,
    (place, id): (&Place, JobId),
    conversation: &mut Conversation,
) -> Result<End, Failure> {
    let path = place.path(&format!("sessions/{id}"));
    let attach = format!("{path}/attach");
    let client = session.client()?;
    let mut patience = Box::pin(sleep(PATIENCE));
    let mut told = false;
    loop {
        let attached = tokio::select! {
            attached = client.upgrade(Method::GET, &attach, PROTOCOL) => attached,
            end = conversation.left_meanwhile() => return Ok(end),
            () = &mut patience => return Err(silent(session, place, id, conversation)),
            () = sleep(SAYS_WHY), if !told => {
                told = true;
                tell_waiting(session, id, conversation);
                continue;
            }
        };
        let end = match attached {
            Ok(link) => {
                let end = conversation.run(link, &mut patience).await;
                if conversation.heard_lately() {
                    (patience, told) = (Box::pin(sleep(PATIENCE)), false);
                }
                end
            }
            Err(Error::Problem(problem)) if problem.code == "session_over" => {
                return over(session, &path).await;
            }
            Err(Error::Problem(problem)) if problem.status != 503 => {
                return Err(Error::Problem(problem).into());
            }
            Err(_) => None,
        };
        if let Some(end) = end {
            return Ok(end);
        }
        tokio::select! {
            () = sleep(AGAIN) => {}
            end = conversation.left_meanwhile() => return Ok(end),
        }
    }
}

fn tell_waiting(session: &Session, id: JobId, conversation: &Conversation) {
    let what = if conversation.was_heard() {
        format!("the connection to {id} is cut; trying again")
    } else {
        format!("{id} waits for its host; `tandem status` says whether one is there")
    };
    session.output.note(format!("\r\n{what} (Ctrl-C gives up)\r"));
}

fn silent(session: &Session, place: &Place, id: JobId, conversation: &Conversation) -> Failure {
    let target = session.target(place);
    if let Some(reason) = conversation.refused() {
        return Failure::new(format!("{id} lets nobody in: {reason}"))
            .hint(format!("tandem attach{target} {id}"));
    }
    if conversation.was_heard() {
        let title = format!("{id} cannot be reached; it goes on as long as its host runs");
        return Failure::new(title).hint(format!("tandem attach{target} {id}"));
    }
    Failure::new(format!("the host of {id} does not answer")).hint("tandem status")
}

/// How a command ended of which only the server knows.
async fn over(session: &Session, path: &str) -> Result<End, Failure> {
    for _ in 0..LOOKS {
        let command: Command = session.client()?.get(path).await?;
        let refuse = |title: String| Err(Failure::new(title).hint("tandem sessions"));
        match command.state {
            JobState::Ended { exit } => return Ok(End::Ended(Ended { exit, timed_out: false })),
            JobState::TimedOut => {
                let at = command.finished.unwrap_or(command.created);
                let exit = Ending { code: None, signal: Some(9), out_of_memory: false, at };
                return Ok(End::Ended(Ended { exit, timed_out: true }));
            }
            JobState::NotStarted { reason } => return refuse(format!("it could not be started: {reason}")),
            JobState::Unknown { reason } => return refuse(format!("nobody knows how it ended: {reason}")),
            JobState::Waiting | JobState::Running => sleep(AGAIN).await,
        }
    }
    Err(Failure::new("the server does not say how it ended").hint("tandem sessions"))
}

fn told(session: &Session, ended: &Ended) -> Exit {
    if ended.timed_out {
        session.output.note("its time was up, and it was killed");
        return Exit::Command(TIMED_OUT);
    }
    if ended.exit.out_of_memory {
        session.output.note("killed: it used more memory than a web process of this app may");
    }
    Exit::Command(code(&ended.exit))
}

/// As shells say it: 128 and the signal's number for one that a signal ended.
fn code(exit: &Ending) -> u8 {
    let code = exit.code.or(exit.signal.map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_a_shell() {
        let exit =
            |code, signal| Ending { code, signal, out_of_memory: false, at: jiff::Timestamp::UNIX_EPOCH };
        assert_eq!(code(&exit(Some(0), None)), 0);
        assert_eq!(code(&exit(Some(42), None)), 42);
        assert_eq!(code(&exit(None, Some(2))), 130);
        assert_eq!(code(&exit(None, None)), 255);
    }
}
