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
pub(crate) use screen::{RawMode, is_on_terminal, window};

/// Between two tries to reach the server again.
const AGAIN: Duration = Duration::from_millis(500);
/// Tries until it is given up: two minutes, as long as a machine takes to start again.
const TRIES: u32 = 240;
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
    let raw = manner.terminal.then(RawMode::enter).transpose()?;
    let outcome = converse(session, (place, id), &mut conversation).await;
    drop(raw);
    let target = session.target(place);
    match outcome? {
        End::Left => {
            session
                .output
                .note(format!("\nleft {id}, which goes on; `tandem attach {id}{target}` comes back"));
            Ok(Exit::Done)
        }
        End::ReaderGone => Err(Failure::ReaderGone),
        End::Ended(ended) => {
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

async fn converse(
    session: &Session,
    (place, id): (&Place, JobId),
    conversation: &mut Conversation,
) -> Result<End, Failure> {
    let path = place.path(&format!("sessions/{id}"));
    let client = session.client()?;
    let (mut tries, mut told) = (0, false);
    loop {
        let attached = client.upgrade(Method::GET, &format!("{path}/attach"), PROTOCOL).await;
        let end = match attached {
            Ok(link) => {
                tries = 0;
                conversation.run(link).await
            }
            Err(Error::Problem(problem)) if problem.code == "session_over" => {
                return over(session, &path).await;
            }
            Err(Error::Problem(problem)) if problem.status != 503 => {
                return Err(Error::Problem(problem).into());
            }
            Err(error) if !conversation.was_heard() && tries >= 3 => return Err(error.into()),
            Err(_) => None,
        };
        if let Some(end) = end {
            return Ok(end);
        }
        tries += 1;
        if tries >= TRIES {
            let target = session.target(place);
            return Err(Failure::new(format!("{id} cannot be reached; it goes on as long as its host runs"))
                .hint(format!("tandem attach {id}{target}")));
        }
        if !told && tries > 1 {
            session.output.note(format!("\r\nthe connection to {id} is cut; trying again\r"));
            told = true;
        }
        sleep(AGAIN).await;
    }
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
