//! Finding a shim again.

use std::io;
use std::path::Path;
use std::time::Duration;

use tandem_kit::files;
use tokio::time::{Instant, sleep};

use super::record;
use super::{Error, ExitRecord, ShimHandle, ShimSpec};

/// A shim that was launched writes itself down within some milliseconds; on a machine that is overloaded it was seen to take a
/// second.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

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

/// Looks for the shim whose folder is `dir` (with its `spec.json`). One that was launched a moment before its runner was killed
/// may have yet to begin; it is waited for.
///
/// # Errors
/// Fails where the shim lives and does not answer, where its record cannot be read, or its group not be swept.
pub async fn adopt(dir: &Path) -> Result<Adopted, Error> {
    let deadline = Instant::now() + BEGINS_WITHIN;
    loop {
        // Asked first: whoever let go of it before has written down everything that there is to read.
        let is_locked = record::is_locked(dir)?;
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
        if !is_locked {
            return gone(dir, spec, handle).await;
        }
        if Instant::now() >= deadline {
            let socket = spec.map(|spec| spec.socket).unwrap_or_default();
            let source = io::Error::new(io::ErrorKind::TimedOut, "it was launched and has not begun");
            return Err(Error::Unreachable { socket, source });
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn gone(dir: &Path, spec: Option<ShimSpec>, handle: Option<ShimHandle>) -> Result<Adopted, Error> {
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
