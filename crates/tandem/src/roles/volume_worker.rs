//! `tandem volume-worker`: packs or unpacks one volume with the rights of its app. All of it is in
//! `tandem_runner::worker`; SQLite is the store's, so the two are put together here. No runtime is started before.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tandem_kit::error::chain;
use tandem_runner::Databases;
use tandem_runner::worker::{self, Work};
use tandem_store::sqlite::foreign;

use crate::exit::Exit;

/// Arguments of `volume-worker`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do
    work: Kind,
    /// Folder of the volume
    folder: PathBuf,
    /// User of the environment
    uid: u32,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Pack,
    Unpack,
}

/// Does it, and says in one line why not.
pub(crate) fn run(args: &Args) -> Exit {
    let work = match args.work {
        Kind::Pack => Work::Pack,
        Kind::Unpack => Work::Unpack,
    };
    let databases = Databases {
        check: |path| foreign::check(path).map_err(|error| chain(&error)),
        copy: |from, to| foreign::copy(from, to).map_err(|error| chain(&error)),
        pace: Duration::from_secs(10),
    };
    match worker::run(work, (&args.folder, args.uid), databases) {
        Ok(()) => Exit::Done,
        Err(error) => {
            // The runner reads it; where it is gone, nobody else does.
            let line = format!("error: {}\n", chain(&error).replace('\n', " "));
            drop(std::io::stderr().write_all(line.as_bytes()));
            Exit::Failed
        }
    }
}
