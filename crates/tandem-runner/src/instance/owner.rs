//! Proof that whoever answers on an instance's port is the instance, and an explanation where nobody does.
//!
//! Apps share the host's network: any user could sit on a port before the instance does, and would get its traffic.

use std::io;
use std::net::SocketAddr;

use tandem_kit::error::chain;
use tandem_kit::probe::Failure;
use tandem_kit::tasks;
use tandem_sandbox::listener::{self, Owner};
use tandem_sandbox::shim::ShimHandle;

use crate::probe::Target;

/// What to do about a server that listens elsewhere.
const USE_PORT: &str = "have the command of web listen on 127.0.0.1:$PORT";

/// Why an instance is not ready; for people, after "not ready: ".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) text: String,
    /// What to change, where that can be told.
    pub(super) advice: Option<String>,
    /// Whether no waiting changes it.
    pub(super) is_lasting: bool,
}

impl Reason {
    fn new(text: String) -> Self {
        Self { text, advice: None, is_lasting: false }
    }

    fn with_advice(text: String, advice: &str) -> Self {
        Self { advice: Some(advice.to_owned()), ..Self::new(text) }
    }

    fn of(failure: &Failure, target: &Target) -> Self {
        let text = match failure {
            Failure::Connect(_) if failure.is_refused() => {
                format!("nothing listens on port {} yet: connection refused", target.port)
            }
            failure => chain(failure),
        };
        Self { text, advice: failure.advice(target.is_django), is_lasting: failure.is_lasting() }
    }
}

/// Turns the answer to a probe into what it means for the instance itself. Looking for it elsewhere costs some
/// milliseconds, so that is only done where it should listen by now.
pub(super) async fn judge(
    shim: &ShimHandle,
    target: &Target,
    answer: Result<(), Failure>,
    should_listen: bool,
) -> Result<(), Reason> {
    let (shim, target) = (shim.clone(), target.clone());
    tasks::blocking("port-owner", move || {
        let owner = shim.owner_of_port(target.port);
        let is_refused = answer.as_ref().is_err_and(Failure::is_refused);
        if is_refused && should_listen && matches!(owner, Ok(Owner::Nobody | Owner::Ours)) {
            // Where the table cannot be read, the answer to the probe is all that is known.
            let addresses: Vec<_> = addresses(&shim).collect();
            if !addresses.is_empty() {
                return Err(elsewhere(&addresses, target.port));
            }
        }
        explain(owner, answer, &target)
    })
    .await
}

/// Where it listens on its port, if that is on all interfaces of the machine.
pub(super) async fn exposed(shim: &ShimHandle, port: u16) -> Option<SocketAddr> {
    let shim = shim.clone();
    let find =
        move || addresses(&shim).find(|address| address.port() == port && address.ip().is_unspecified());
    tasks::blocking("port-address", find).await
}

fn addresses(shim: &ShimHandle) -> impl Iterator<Item = SocketAddr> {
    listener::addresses_of(&shim.processes()).unwrap_or_default().into_iter()
}

fn explain(owner: io::Result<Owner>, answer: Result<(), Failure>, target: &Target) -> Result<(), Reason> {
    let port = target.port;
    let text = match (owner, answer) {
        (Ok(Owner::Ours), Ok(())) => return Ok(()),
        (Ok(Owner::Stranger), _) => format!("something else listens on port {port}"),
        (_, Err(failure)) => return Err(Reason::of(&failure, target)),
        (Ok(Owner::Nobody), Ok(())) => format!("nothing listens on port {port} any more"),
        (Err(error), Ok(())) => format!("cannot tell who listens on port {port}: {}", chain(&error)),
    };
    Err(Reason::new(text))
}

/// A command that does not use `$PORT` usually listens where its framework does by habit.
fn elsewhere(addresses: &[SocketAddr], port: u16) -> Reason {
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let shown = shown.join(" and ");
    let text = if addresses.iter().any(|address| address.port() == port) {
        format!("it listens on {shown}, but not on 127.0.0.1:{port}")
    } else {
        format!("it listens on {shown}, $PORT is {port}")
    };
    Reason::with_advice(text, USE_PORT)
}

#[cfg(test)]
mod tests {
    use tandem_kit::probe::{Purpose, Question};
    use tandem_types::Health;

    use super::*;

    fn target() -> Target {
        let question = Question { host: "a".to_owned(), health: Health::default(), purpose: Purpose::Gate };
        Target { port: 20_000, question, is_django: true }
    }

    fn refused() -> Result<(), Failure> {
        Err(Failure::Connect(io::ErrorKind::ConnectionRefused.into()))
    }

    #[test]
    fn only_an_answer_of_its_own_counts() {
        assert_eq!(explain(Ok(Owner::Ours), Ok(()), &target()), Ok(()));
        for (owner, answer, told) in [
            (Ok(Owner::Stranger), Ok(()), "something else listens on port 20000"),
            (Ok(Owner::Stranger), refused(), "something else listens on port 20000"),
            (Ok(Owner::Nobody), refused(), "nothing listens on port 20000 yet: connection refused"),
            (Ok(Owner::Nobody), Ok(()), "nothing listens on port 20000 any more"),
            (Err(io::Error::other("no table")), Ok(()), "cannot tell who listens on port 20000: no table"),
        ] {
            assert_eq!(explain(owner, answer, &target()), Err(Reason::new(told.to_owned())));
        }
    }

    #[test]
    fn what_to_change_goes_with_the_reason() {
        let failure = Failure::HttpsForEver { path: "/".to_owned(), host: "a".to_owned() };
        let reason = explain(Ok(Owner::Ours), Err(failure), &target()).unwrap_err();
        assert!(reason.is_lasting && reason.advice.unwrap().contains("SECURE_PROXY_SSL_HEADER"));
    }

    #[test]
    fn where_it_listens_instead_is_told_with_what_to_change() {
        let at = |addresses: &[&str]| {
            let addresses: Vec<_> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            elsewhere(&addresses, 20_001)
        };
        let reason = at(&["127.0.0.1:8000"]);
        assert_eq!(reason.text, "it listens on 127.0.0.1:8000, $PORT is 20001");
        assert!(reason.advice.unwrap().contains("127.0.0.1:$PORT"));
        let text = at(&["127.0.0.1:8000", "[::]:9000"]).text;
        assert_eq!(text, "it listens on 127.0.0.1:8000 and [::]:9000, $PORT is 20001");
        assert_eq!(at(&["[::1]:20001"]).text, "it listens on [::1]:20001, but not on 127.0.0.1:20001");
    }
}
