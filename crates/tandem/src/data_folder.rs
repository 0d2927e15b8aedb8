//! The data folder as a command finds it: opened, or refused in words that say what to do. One that a newer version wrote
//! is refused before anything in it is touched.

use std::path::Path;

use tandem_kit::clock::Clock;
use tandem_kit::paths::{self, DataDir};
use tandem_kit::stamp::{self, Arrival};

use crate::cli::store::keep_before_upgrade;
use crate::failure::{Failure, chain_of};

/// Code of the refusal of a newer version's data folder.
const NEWER: &str = "newer_data_folder";

/// Opens the data folder, creating it where it is not there.
///
/// # Errors
///
/// It cannot be created, is somebody else's, or a newer version wrote it.
pub(crate) fn open(folder: &Path) -> Result<DataDir, Failure> {
    DataDir::open(folder).map_err(|error| match error {
        paths::Error::Stamp(error) => refused(&error),
        error => Failure::new(format!("failed to {}", chain_of(&error)))
            .hint("name a folder that this user may write to with --data or TANDEM_DATA"),
    })
}

/// For whoever reads in a data folder, or in a role's folder inside, without opening it.
///
/// # Errors
///
/// A newer version wrote it.
pub(crate) fn check(folder: &Path) -> Result<(), Failure> {
    stamp::check(folder).map(drop).map_err(|error| refused(&error))
}

/// Makes the folder this version's, under its lock. Where another version wrote before, the store is copied first.
///
/// # Errors
///
/// A newer version was quicker, or the disk refuses.
pub(crate) async fn take_over(data: &DataDir, clock: &Clock) -> Result<(), Failure> {
    let arrival = Arrival::at(data).map_err(|error| refused(&error))?;
    if let Some(previous) = arrival.other_version() {
        keep_before_upgrade(data, previous, clock).await;
    }
    arrival.settle(data).map_err(|error| refused(&error))
}

fn refused(error: &stamp::Error) -> Failure {
    let failure = match error {
        stamp::Error::Newer { .. } => Failure::new(error.to_string()).code(NEWER),
        _ => Failure::new(format!("failed to {}", chain_of(error))),
    };
    failure.hint(error.hint())
}
