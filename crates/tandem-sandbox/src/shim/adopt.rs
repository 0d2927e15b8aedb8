//! Finding a shim again.

use std::path::Path;

use tandem_kit::files;

use super::record;
use super::{Error, ExitRecord, ShimHandle, ShimSpec};

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
/// Fails where the shim lives and does not answer, where its record cannot be read, or its group not be swept.
pub async fn adopt(dir: &Path) -> Result<Adopted, Error> {
    // Damaged by a crash of the machine: no process of that boot is left to be found.
    let spec: Option<ShimSpec> = files::read_json(&record::spec_file(dir)).ok().flatten();
    let handle = spec.as_ref().and_then(|spec| ShimHandle::open(dir, spec));
    if let Some(handle) = handle.as_ref().filter(|handle| handle.lives()) {
        match handle.status().await {
            Ok(_) => return Ok(Adopted::Live(handle.clone())),
            // It ended just now.
            Err(Error::Gone) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(record) = ExitRecord::read(dir)? {
        return Ok(Adopted::Ended(record));
    }
    if let Some(handle) = handle {
        handle.sweep().await?;
    }
    let marker = spec.and_then(|spec| spec.marker);
    Ok(Adopted::Gone {
        ran: marker.map_or_else(|| record::shim_file(dir).exists(), |marker| marker.exists()),
    })
}
