//! One question to one instance, over its port on the loopback.

use std::net::Ipv4Addr;

use tandem_kit::probe::{self, Failure, Question};
use tandem_types::defaults;
use tokio::net::TcpStream;

/// Whom to ask, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Port on loopback.
    pub(crate) port: u16,
    /// What to ask, and which answers are good.
    pub(crate) question: Question,
    /// Whether its build is known to be a Django project.
    pub(crate) is_django: bool,
}

/// Asks once, within [`defaults::PROBE_TIMEOUT`].
pub(crate) async fn probe(target: &Target) -> Result<(), Failure> {
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, target.port));
    probe::ask(&target.question, connect, defaults::PROBE_TIMEOUT).await
}
