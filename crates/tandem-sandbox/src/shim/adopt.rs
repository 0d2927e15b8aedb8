//! Finding a shim again.

use std::path::Path;

use super::{Error, ExitRecord, ShimHandle};

/// What is found in a shim's folder.
#[derive(Debug)]
pub enum Adopted {
    /// It lives. Its child may have ended all the same: see its status.
    Live(ShimHandle),
    /// It is gone and left its record.
    Ended(ExitRecord),
    /// It is gone without a record (killed, or another boot): the app died with it, its group has been swept.
    Gone {
        /// Whether the command may have run: false only where it certainly was never executed.
        ran: bool,
    },
}

/// Looks for the shim whose folder is `dir` (with its `spec.json`).
///
/// # Errors
/// Fails where the shim lives and does not answer, or its group cannot be swept.
pub async fn adopt(dir: &Path) -> Result<Adopted, Error> {
    let _ = dir;
    todo!()
}
