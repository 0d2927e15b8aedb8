//! The data folder as a command finds it: opened, or refused in words that say what to do. One that a newer version wrote
//! is refused before anything in it is touched.

use std::path::Path;

use tandem_kit::paths::{self, DataDir};
use tandem_kit::stamp::{self, Arrival};

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

/// Under the lock of the folder: who wrote before. Nothing is written yet.
///
/// # Errors
///
/// A newer version was quicker.
pub(crate) fn arrive(data: &DataDir) -> Result<Arrival, Failure> {
    Arrival::at(data).map_err(|error| refused(&error))
}

/// Makes the folder this version's.
///
/// # Errors
///
/// The disk refuses.
pub(crate) fn settle(arrival: Arrival, data: &DataDir) -> Result<(), Failure> {
    arrival.settle(data).map_err(|error| refused(&error))
}

fn refused(error: &stamp::Error) -> Failure {
    let failure = match error {
        stamp::Error::Newer { .. } => Failure::new(error.to_string()).code(NEWER),
        _ => Failure::new(format!("failed to {}", chain_of(error))),
    };
    failure.hint(error.hint())
}
