//! `tandem store`: the file in which this machine's server keeps everything, from outside: checked, copied, put back.
//!
//! These verbs speak to no server: they are for the day on which it does not start.

mod check;
mod evidence;
mod list;
mod restore;
mod snapshot;

use std::path::PathBuf;

use tandem_kit::paths::DataDir;

use crate::exit::Exit;
use crate::failure::{Failure, chain_of};
use crate::session::Session;

pub(crate) use restore::keep_before_upgrade;

/// Verbs of `store`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "\
The store is one file in the data folder. Snapshots of it are taken every hour in which something
changed and before another version of Tandem opens it; they lie in the folder `snapshots` beside it.

Examples:
  tandem store check              is everything whole? Works beside a running server
  tandem store restore            put the latest snapshot back
  tandem store restore --list     which there are")]
pub(crate) enum Verb {
    /// Read everything once and say whether it is whole
    #[command(after_help = "\
It changes nothing, and works beside a running server as well as without one.

Examples:
  tandem store check
  tandem store check --json | jq .problems")]
    Check,
    /// Put a snapshot in the place of a damaged store; apps and balancer go on
    Restore(restore::Args),
    /// Take a snapshot now
    #[command(after_help = "\
The server goes on meanwhile. The last ten taken by hand are kept, besides those taken by themselves.

Examples:
  tandem store snapshot           before something risky")]
    Snapshot,
}

pub(super) async fn run(verb: Verb, session: &Session) -> Result<Exit, Failure> {
    if session.global.server.is_some() {
        return Err(Failure::usage("`tandem store` works on a data folder, not through a server")
            .hint("type it on the server's machine, with --data where the folder is not the usual one"));
    }
    match verb {
        Verb::Check => check::run(session).await,
        Verb::Restore(args) => restore::run(args, session).await,
        Verb::Snapshot => snapshot::run(session).await,
    }
}

/// The data folder, which must be there: to make one would hide that another was meant. A newer version's is opened too,
/// since putting an older store back is how people leave it.
fn data(session: &Session) -> Result<DataDir, Failure> {
    let folder = session.data();
    if !folder.is_dir() {
        return Err(Failure::new(format!("there is no data folder {}", folder.display()))
            .hint("name the data folder with --data or TANDEM_DATA"));
    }
    DataDir::open_any(&folder).map_err(|error| Failure::new(format!("failed to {}", chain_of(&error))))
}

/// The store's file as people named its folder.
fn database(session: &Session) -> Result<PathBuf, Failure> {
    Ok(data(session)?.database())
}

/// A failure of the store with what to do about it.
pub(crate) fn failed(error: &tandem_store::Error) -> Failure {
    let failure = Failure::new(format!("failed to {}", chain_of(error)));
    match error {
        tandem_store::Error::Corrupt { .. } => failure.code("store_damaged"),
        _ => failure,
    }
    .hint(error.hint().unwrap_or_default())
}
