//! Certificates of the installation's domains (decision 023): kept by one server at a time, shown by all balancers.

mod attempt;
mod keeper;
mod local;
mod published;
mod served;
mod world;

pub(crate) use keeper::Keeper;
#[cfg(test)]
pub(crate) use published::Publication;
pub(crate) use world::{lines, problems};

use tandem_types::document::Cause;

/// Who does what to a domain's certificate, for the journal.
fn about(action: &str, reason: &str, domain: &str) -> Cause {
    Cause {
        actor: "system:https".to_owned(),
        action: action.to_owned(),
        reason: reason.to_owned(),
        subject: domain.to_owned(),
    }
}
