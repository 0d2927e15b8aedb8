//! The balancer as a process: one per state folder, found by others through its lock and what it wrote down.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tandem_kit::files::{self, LockGuard};
use tandem_types::{BalancerId, Timestamp};

use crate::handover;

const LOCK: &str = "lock";
const PROCESS: &str = "process.json";

/// A balancer that runs (`process.json` in its state folder, written once it serves).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id. Alone it proves nothing; the lock does.
    pub pid: u32,
    /// Its name.
    pub id: BalancerId,
    /// When it started.
    pub started: Timestamp,
    /// Where it serves HTTP, with the real ports.
    pub http: Vec<SocketAddr>,
    /// Where it serves HTTPS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub https: Vec<SocketAddr>,
    /// Where its figures are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// Version of the program.
    pub version: String,
}

impl Process {
    /// The balancer that holds a state folder and serves; none where nobody holds it, or who holds it does not serve yet.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn find(state_dir: &Path) -> Result<Option<Self>, files::Error> {
        if !Self::is_held(state_dir)? {
            return Ok(None);
        }
        files::read_json(&state_dir.join(PROCESS))
    }

    /// Whether a process holds a state folder: a balancer that serves, or one that does not serve yet.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn is_held(state_dir: &Path) -> Result<bool, files::Error> {
        let lock = state_dir.join(LOCK);
        Ok(lock.exists() && files::lock_exclusive(&lock)?.is_none())
    }

    /// The balancer that served here last, whether or not it still does; none where nobody ever did, or where it ended
    /// before it said so. Its addresses are the ones that people know.
    #[must_use]
    pub fn last(state_dir: &Path) -> Option<Self> {
        files::read_json(&state_dir.join(PROCESS)).ok().flatten()
    }

    /// Whether the one that serves can hand its listening sockets over to a new one. Where nobody serves, or it is of a
    /// version that cannot: no.
    #[must_use]
    pub fn hands_over(state_dir: &Path) -> bool {
        handover::offers(state_dir)
    }

    /// Ends once the balancer that serves has answered, whatever it said; also where nobody serves, or one of a version that
    /// cannot be asked. While it hangs this waits.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn answers(state_dir: &Path) -> std::io::Result<()> {
        handover::answers(state_dir).await
    }

    pub(crate) fn write(&self, state_dir: &Path) -> Result<(), files::Error> {
        files::write_json(&state_dir.join(PROCESS), self, 0o600)
    }
}

/// Takes the state folder for this process alone. None: another process has the lock, a balancer or one that looks for it
/// (see [`Process::find`]).
pub(crate) fn lock(state_dir: &Path) -> Result<Option<LockGuard>, files::Error> {
    files::ensure_dir(state_dir, 0o700)?;
    let Some(guard) = files::lock_exclusive(&state_dir.join(LOCK))? else { return Ok(None) };
    // Nobody else writes it now.
    files::remove_aside(state_dir, |name| name == PROCESS)?;
    // What the one before wrote is no longer true; whoever waits for the file must not find it.
    let stale = state_dir.join(PROCESS);
    match std::fs::remove_file(&stale) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(files::Error { doing: "remove", path: stale, source: error })
        }
        _ => Ok(Some(guard)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An older or newer `tandem up` reads it, to take the balancer over or to replace it.
    #[test]
    fn the_process_file_stays_readable() {
        let golden = include_str!("golden/process.json").trim_end();
        let process: Process = serde_json::from_str(golden).unwrap();
        assert_eq!((process.pid, process.version.as_str(), process.http.len()), (4242, "0.1.0", 2));
        let (now, before): (serde_json::Value, serde_json::Value) =
            (serde_json::to_value(&process).unwrap(), serde_json::from_str(golden).unwrap());
        for (name, value) in before.as_object().unwrap() {
            assert_eq!(now.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn a_balancer_is_found_while_it_holds_its_folder_and_not_after() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process {
            pid: 1,
            id: "box".parse().unwrap(),
            started: Timestamp::UNIX_EPOCH,
            http: vec!["127.0.0.1:8080".parse().unwrap()],
            https: vec!["127.0.0.1:8443".parse().unwrap()],
            metrics: Some("127.0.0.1:9100".parse().unwrap()),
            version: "0.1.0".to_owned(),
        };
        assert_eq!(Process::find(folder.path()).unwrap(), None);
        let guard = lock(folder.path()).unwrap().unwrap();
        assert_eq!(Process::find(folder.path()).unwrap(), None);
        process.write(folder.path()).unwrap();
        assert_eq!(Process::find(folder.path()).unwrap(), Some(process));
        assert!(lock(folder.path()).unwrap().is_none());
        drop(guard);
        assert_eq!(Process::find(folder.path()).unwrap(), None);
        // One that was killed while it wrote.
        let aside = folder.path().join(".process.json.0a1b2c3d.tmp");
        files::write_atomic_unsynced(&aside, b"{", 0o600).unwrap();
        let _guard = lock(folder.path()).unwrap().unwrap();
        assert!(!aside.exists());
        assert_eq!(Process::find(folder.path()).unwrap(), None);
    }
}
