//! Proof that whoever answers on an instance's port is the instance, and an explanation where nobody does.
//!
//! Apps share the host's network: any user could sit on a port before the instance does, and would get its traffic.

use std::io;

use tandem_kit::error::chain;
use tandem_kit::tasks;
use tandem_sandbox::listener::{self, Owner};
use tandem_sandbox::shim::ShimHandle;

use crate::probe::Failure;

/// Turns the answer to a probe into what it means for the instance itself. Looking for it elsewhere costs some
/// milliseconds, so that is only done where it should listen by now.
pub(super) async fn judge(
    shim: &ShimHandle,
    port: u16,
    answer: Result<(), Failure>,
    should_listen: bool,
) -> Result<(), String> {
    let shim = shim.clone();
    tasks::blocking("port-owner", move || {
        let owner = shim.owner_of_port(port);
        match (owner, answer) {
            (Ok(Owner::Nobody), Err(Failure::Refused(_))) if should_listen => Err(elsewhere(&shim, port)),
            (owner, answer) => explain(owner, answer, port),
        }
    })
    .await
}

fn explain(owner: io::Result<Owner>, answer: Result<(), Failure>, port: u16) -> Result<(), String> {
    match (owner, answer) {
        (Ok(Owner::Stranger), _) => Err(format!("something else listens on port {port}")),
        (Ok(Owner::Ours), Err(Failure::Refused(_))) => {
            Err(format!("it listens on port {port}, but not on 127.0.0.1"))
        }
        (_, Err(failure)) => Err(failure.to_string()),
        (Ok(Owner::Ours), Ok(())) => Ok(()),
        (Ok(Owner::Nobody), Ok(())) => Err(format!("nothing listens on port {port} any more")),
        (Err(error), Ok(())) => Err(format!("cannot tell who listens on port {port}: {}", chain(&error))),
    }
}

/// A command that does not use `$PORT` usually listens where its framework does by habit.
fn elsewhere(shim: &ShimHandle, port: u16) -> String {
    // Where the table cannot be read, the answer to the probe is all that is known.
    let ports = listener::ports_of(&shim.processes()).unwrap_or_default();
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    match ports.as_slice() {
        [] => Failure::Refused(port).to_string(),
        [one] => format!("the app listens on port {one} instead of {port}: is $PORT used?"),
        several => {
            format!("the app listens on ports {} instead of {port}: is $PORT used?", several.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_its_own_counts() {
        let refused = || Err(Failure::Refused(20_000));
        assert_eq!(explain(Ok(Owner::Ours), Ok(()), 20_000), Ok(()));
        for (owner, answer, told) in [
            (Ok(Owner::Stranger), Ok(()), "something else listens on port 20000"),
            (Ok(Owner::Stranger), refused(), "something else listens on port 20000"),
            (Ok(Owner::Ours), refused(), "it listens on port 20000, but not on 127.0.0.1"),
            (Ok(Owner::Nobody), refused(), "nothing listens on port 20000 yet: connection refused"),
            (Ok(Owner::Nobody), Ok(()), "nothing listens on port 20000 any more"),
            (Err(io::Error::other("no table")), Ok(()), "cannot tell who listens on port 20000: no table"),
        ] {
            assert_eq!(explain(owner, answer, 20_000), Err(told.to_owned()));
        }
    }
}
