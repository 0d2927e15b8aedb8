//! One `tandem up` per data folder: whoever holds the lock has the lease on everything in it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_kit::files::{self, LockGuard};
use tandem_kit::paths::DataDir;

use crate::failure::{Failure, chain_of};

/// Who holds the lock, for the message of whoever comes second. In the runtime folder: a reboot forgets it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// Its data folder, for whoever looks for it elsewhere. A server of before this was told does not say.
    #[serde(default)]
    pub(crate) data: Option<PathBuf>,
}

impl Holder {
    /// Where it stands in a runtime folder.
    pub(crate) fn file(runtime: &Path) -> PathBuf {
        runtime.join("up.json")
    }
}

/// Takes the lock of a data folder; `folder` is how people named it.
///
/// # Errors
///
/// Somebody else holds it: the message names the process.
pub(super) fn take(data: &DataDir, folder: &Path) -> Result<LockGuard, Failure> {
    let lock = files::lock_exclusive(&data.lock()).map_err(|e| Failure::chain("lock the data folder", &e))?;
    let Some(lock) = lock else { return Err(held(data, folder)) };
    let holder = Holder { pid: std::process::id(), data: Some(data.root().to_owned()) };
    files::write_json(&Holder::file(data.runtime()), &holder, 0o600)
        .map_err(|e| Failure::chain("note who holds the lock", &e))?;
    data.remove_aside().map_err(|e| Failure::chain("clear what a killed `tandem up` left", &e))?;
    Ok(lock)
}

fn held(data: &DataDir, folder: &Path) -> Failure {
    let holder = files::read_json::<Holder>(&Holder::file(data.runtime()));
    if let Err(error) = &holder {
        tracing::debug!("{}", chain_of(error));
    }
    let who = match holder.ok().flatten() {
        Some(holder) => format!(" (process {})", holder.pid),
        None => String::new(),
    };
    let folder = folder.display();
    Failure::new(format!("another `tandem up`{who} runs on the data folder {folder}")).hint(format!(
        "`tandem status --data {folder}` shows it, `tandem down --data {folder}` stops it, --data names another folder"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_told_which_process_was_first() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let first = take(&data, folder.path()).expect("nobody holds it");
        let Err(Failure::Told(told)) = take(&data, folder.path()) else { panic!("two hold one lock") };
        assert!(told.title.contains(&std::process::id().to_string()), "{}", told.title);
        assert!(told.hint.contains("tandem down --data"), "{}", told.hint);
        drop(first);
        drop(take(&data, folder.path()).expect("it is free again"));
        data.remove_runtime().expect("the runtime folder goes");
    }
}
