//! The limit of open files, and what follows from it for the number of connections.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files kept back for listeners, probes, the state file and static files.
const KEPT_BACK: u64 = 256;
/// A client's connection needs its own socket and, at times, one to an instance.
const PER_CONNECTION: u64 = 2;

/// Raises the limit as far as this process may; returns how many client connections it bears.
pub(crate) fn most_connections() -> usize {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::warn!("cannot read the limit of open files: {error}");
            (1024, 1024)
        }
    };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!("cannot raise the limit of open files above {soft}: {error}");
            soft
        }
    };
    let connections = limit.saturating_sub(KEPT_BACK) / PER_CONNECTION;
    usize::try_from(connections).unwrap_or(usize::MAX).max(1)
}
