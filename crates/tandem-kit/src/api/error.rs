//! Why a call failed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tandem_types::problem::Problem;

use crate::http::BoxError;

/// Why a call to the server failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens on the unix socket.
    #[error("reach the server: nothing listens on {}", path.display())]
    NotRunning {
        /// The socket, as given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No connection came about.
    #[error("connect to {server}")]
    Connect {
        /// Where to, as printed by [`super::Server`].
        server: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server refused or failed, and says why.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The answer is not what this version understands.
    #[error("understand the answer to {request}")]
    Protocol {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        #[source]
        source: BoxError,
    },
    /// The server is there and does nothing.
    #[error("read the answer to {request}: nothing came within {waited:?}")]
    Silent {
        /// Method and path.
        request: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The connection ended before the answer did.
    #[error("read the answer to {request}: the connection was closed")]
    Closed {
        /// Method and path.
        request: String,
        /// What ended it.
        #[source]
        source: BoxError,
    },
}

impl Error {
    /// The next command to type, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotRunning { .. } => "start it with `tandem up`, or name another server with --server",
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run this as the user that started `tandem up`, or as root"
            }
            Self::Connect { .. } => "check the address given by --server or TANDEM_SERVER",
            Self::Problem(problem) if !problem.hint.is_empty() => &problem.hint,
            Self::Protocol { .. } => {
                "client and server may differ in version: compare `tandem --version` on both"
            }
            Self::Silent { .. } => "it may be stopped or hang: look at its process and its log",
            Self::Problem(_) | Self::Closed { .. } => return None,
        };
        Some(text.to_owned())
    }

    /// The problem, where the server sent one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the server could not be reached or was lost on the way: what a new try may heal.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::NotRunning { .. } | Self::Connect { .. } | Self::Silent { .. } | Self::Closed { .. }
        )
    }
}
