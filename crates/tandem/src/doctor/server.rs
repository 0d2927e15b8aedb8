//! The server: whether it answers, and whether it is of this version.

use std::time::Duration;

use tandem_kit::api;
use tandem_kit::error::chain;
use tandem_kit::version::Version;
use tandem_types::api::Status;

use super::Finding;
use crate::failure::Failure;
use crate::session::Session;

const NAME: &str = "server";
/// A server that is well answers this in milliseconds.
const SOON: Duration = Duration::from_secs(5);

pub(super) async fn look(session: &Session) -> Finding {
    let client = match session.client() {
        Ok(client) => client.clone().waiting(SOON),
        Err(failure) => {
            let why = match failure {
                Failure::Told(told) => told.title,
                Failure::Silent(_) | Failure::ReaderGone => "its address makes no sense".to_owned(),
            };
            return Finding::lacking(NAME, why)
                .costs("nothing can be deployed from here")
                .line("check --server and TANDEM_SERVER");
        }
    };
    let is_named = session.global.server.is_some();
    judge(client.get::<Status>("/v1/status").await, is_named, &Version::current().name)
}

/// `is_named`: somebody said where it is, so that it should be there.
fn judge(answer: Result<Status, api::Error>, is_named: bool, own: &str) -> Finding {
    match answer {
        Ok(status) if status.version != own => {
            let says = format!("it is {}, and this is {own}", status.version);
            Finding::note(NAME, says)
                .costs("what only one of the two knows does not work")
                .line("install the same version on both, then start `tandem up` again")
        }
        Ok(status) if !status.problems.is_empty() => {
            let says = format!("{own}, with something to look at: {}", status.problems[0]);
            Finding::note(NAME, says).line("tandem status")
        }
        Ok(_) => Finding::good(NAME, own),
        Err(api::Error::Problem(problem)) => Finding::lacking(NAME, problem.title)
            .costs("nothing can be deployed from here")
            .line(problem.hint),
        Err(error) if is_named => Finding::lacking(NAME, format!("it does not answer: {}", chain(&error)))
            .costs("nothing can be deployed from here")
            .line("check --server and TANDEM_SERVER, and whether `tandem up` runs there"),
        Err(_) => Finding::note(NAME, "none runs on this machine with this data folder").line("tandem up"),
    }
}

#[cfg(test)]
mod tests {
    use tandem_types::problem::Problem;

    use super::super::State;
    use super::*;

    #[test]
    fn a_server_that_should_be_there_and_is_not_is_lacking() {
        let closed =
            || Err(api::Error::Closed { request: "GET /v1/status".to_owned(), source: "it is gone".into() });
        assert_eq!(judge(closed(), true, "0.2.0").state, State::Lacking);
        assert_eq!(judge(closed(), false, "0.2.0").line, "tandem up");
        let refused = Problem::new(401, "token_needed", "a request over TCP needs a token").hint("set it");
        assert_eq!(judge(Err(api::Error::Problem(refused)), true, "0.2.0").line, "set it");
    }
}
