//! `tandem store`: the file in which this machine's server keeps everything, from outside: checked, copied, put back.
//!
//! These verbs speak to no server: they are for the day on which it does not start.

mod check;
mod evidence;
mod list;
mod restore;
mod snapshot;

use tandem_kit::files;
use tandem_kit::paths::DataDir;
use tandem_store::sqlite;

use crate::data_folder;
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
The server goes on meanwhile. The last ten taken by hand are kept, besides those taken by
themselves.

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

/// The same for who reads the store as this version understands it, which a newer version's is not.
fn known_data(session: &Session) -> Result<DataDir, Failure> {
    let data = data(session)?;
    data_folder::check(data.root())?;
    Ok(data)
}

/// Takes up a restore that was cut off, unless somebody has the store open: who opened it has done so. What would be
/// looked at else is the store that was to be replaced.
fn finish_restore(data: &DataDir) -> Result<(), Failure> {
    if !sqlite::restore::is_cut_off(&data.database()) {
        return Ok(());
    }
    let lock = files::lock_exclusive(&data.lock()).map_err(|e| Failure::chain("lock the data folder", &e))?;
    if lock.is_some() {
        sqlite::restore::finish(&data.database()).map_err(|error| failed(&error))?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_that_was_cut_off_is_taken_up_unless_somebody_has_the_store_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let write = |name: &str| {
            let file = data.root().join(name);
            files::write_atomic_unsynced(&file, name.as_bytes(), 0o600).expect("it is written");
        };
        let stands = || std::fs::read_to_string(data.database()).expect("a store");
        write("tandem.sqlite3");
        write("tandem.sqlite3.restored");
        let held = files::lock_exclusive(&data.lock()).expect("it can be asked").expect("nobody holds it");
        finish_restore(&data).expect("it is another's");
        assert_eq!(stands(), "tandem.sqlite3");
        drop(held);
        finish_restore(&data).expect("it is taken up");
        assert_eq!(stands(), "tandem.sqlite3.restored");
        data.remove_runtime().expect("the runtime folder goes");
    }
}
