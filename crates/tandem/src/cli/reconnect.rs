//! What `-f` does when the server goes away: it waits with growing pauses and goes on, as long as somebody looks. Not where the
//! server of this machine is there and stays stopped: then the verb ends with what lets it go on ([`crate::hung`]).

use std::time::Duration;

use tandem_kit::api;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::session::Session;

/// First pause before a new attempt; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause: whoever restarts a server looks at the logs first.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A stream that is taken up again.
pub(super) struct Reconnect {
    pause: Duration,
    was_open: bool,
    told: bool,
}

impl Reconnect {
    /// Before the first connection: one that does not come about is an error.
    pub(super) fn new() -> Self {
        Self { pause: FIRST_PAUSE, was_open: false, told: false }
    }

    /// Something was read: the next loss is a new one.
    pub(super) fn heard(&mut self) {
        *self = Self { was_open: true, ..Self::new() };
    }

    /// Tells the loss once and waits before the next attempt.
    ///
    /// # Errors
    ///
    /// The end is a refusal, or there was no connection to begin with.
    pub(super) async fn wait(&mut self, session: &Session, end: Option<api::Error>) -> Result<(), Failure> {
        if let Some(error) = end.filter(|error| !self.may_heal(error)) {
            return Err(error.into());
        }
        self.was_open = true;
        if !self.told {
            self.told = true;
            session.output.note("the connection to the server is lost; waiting for it to come back");
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// A server that starts has no runner yet (502, 503); one that was never there is not waited for.
    fn may_heal(&self, error: &api::Error) -> bool {
        match error {
            api::Error::Closed { .. } => true,
            api::Error::Problem(problem) => self.was_open && matches!(problem.status, 502 | 503),
            error => self.was_open && error.is_lost(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_types::problem::Problem;

    #[test]
    fn a_server_that_was_never_there_is_not_waited_for_and_a_refusal_ends_it() {
        let refused = || api::Error::Connect { server: "x".into(), source: std::io::Error::other("refused") };
        let problem = |status| api::Error::Problem(Problem::new(status, "code", "title"));
        let mut reconnect = Reconnect::new();
        assert!(!reconnect.may_heal(&refused()) && !reconnect.may_heal(&problem(503)));
        reconnect.heard();
        assert!(reconnect.may_heal(&refused()) && reconnect.may_heal(&problem(503)));
        assert!(!reconnect.may_heal(&problem(404)), "the app is gone");
    }
}
