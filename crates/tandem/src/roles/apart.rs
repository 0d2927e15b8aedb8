//! What `tandem server` and `tandem runner` have in common: one role of an installation, in a process of its own, which
//! other processes of the same data folder do without for a while.
//!
//! However one of them is ended, it ends alone: apps, balancer and the other role go on. Only `tandem down` stops all
//! (decision 016).

use std::path::{Path, PathBuf};

use serde::Serialize;
use tandem_kit::files;
use tandem_kit::paths::{self, DataDir};

use super::lock::{self, Locks, Role};
use super::up::ending::Signals;
use crate::cli::Global;
use crate::data_folder;
use crate::failure::Failure;
use crate::output::Output;

/// Why a role that runs apart ends.
pub(super) enum End {
    /// It was told to, alone.
    Leave,
    /// Everything is being stopped.
    Down,
    /// A part of it failed.
    Failed(Failure),
}

/// The data folder, and the right to run a role on it.
pub(super) struct Post {
    pub(super) data: DataDir,
    _locks: Locks,
}

impl Post {
    /// Opens the data folder that was named and takes the role's locks.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or somebody else has the role.
    pub(super) async fn take(global: &Global, role: Role) -> Result<Self, Failure> {
        let folder = global.data.clone().unwrap_or_else(paths::default_data_dir);
        let data = data_folder::open(&folder)?;
        let locks = lock::take_soon(&data, &folder, role).await?;
        Ok(Self { data, _locks: locks })
    }
}

/// Waits for a reason to end. `down` ends when everything is to be stopped.
pub(super) async fn wait(
    signals: &mut Signals,
    down: impl Future<Output = ()>,
    failed: impl Future<Output = Failure>,
) -> End {
    tokio::select! {
        () = signals.any() => End::Leave,
        () = down => End::Down,
        failure = failed => End::Failed(failure),
    }
}

/// Tells that it answers, on standard output and in the ready file.
///
/// # Errors
///
/// One of them cannot be written.
pub(super) fn tell_ready<T: Serialize>(
    ready: &T,
    line: &str,
    (file, output): (Option<&PathBuf>, &Output),
) -> Result<(), Failure> {
    if let Some(file) = file {
        files::write_json(file, ready, 0o644).map_err(|e| Failure::chain("write the ready file", &e))?;
    }
    if output.json { output.value(ready) } else { output.line(format!("ready: {line}")) }
}

/// Takes a ready file away: nothing answers there any more. After a kill it stays, as that of `tandem up` does.
pub(super) fn forget_ready(file: Option<&Path>) {
    let Some(file) = file else { return };
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!("failed to remove the ready file {}: {error}", file.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::lock::Holder;
    use super::*;

    #[tokio::test]
    async fn a_role_is_taken_right_behind_a_kill() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let global = Global { data: Some(folder.path().to_owned()), ..Global::default() };
        for (role, own) in [(Role::Server, "server.lock"), (Role::Runner, "runner.lock")] {
            let dead = Holder::new(u32::MAX, None);
            files::write_json(&Holder::file(data.runtime(), role), &dead, 0o600).expect("it is written");
            let lock = files::lock_exclusive(&data.root().join(own)).expect("it can be asked");
            let child = lock.expect("nobody holds it");
            let gone = async {
                // Only now: the first try is over.
                tokio::task::yield_now().await;
                drop(child);
            };
            let (taken, ()) = tokio::join!(Post::take(&global, role), gone);
            drop(taken.expect("its holder was dead"));
        }
        data.remove_runtime().expect("the runtime folder goes");
    }
}
