//! The last table and addresses on the disk, so that a balancer that starts while the server is away serves on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_kit::{files, tasks};
use tandem_types::InstanceId;
use tandem_types::routing::Table;
use tokio::sync::watch;

use super::Place;
use crate::handover::Voice;

/// Format of the file; a file of another format is not read.
const FORMAT: &str = "balancer_state/1";
/// Wait before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    format: String,
    /// The table that was served last.
    pub table: Table,
    /// Where its instances answered.
    pub places: BTreeMap<InstanceId, Place>,
}

impl Saved {
    /// A table with the places of its instances.
    pub(crate) fn new(table: Table, places: BTreeMap<InstanceId, Place>) -> Self {
        Self { format: FORMAT.to_owned(), table, places }
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    last: Option<Saved>,
    /// Whether this process has tried to write it.
    has_written: bool,
}

impl StateFile {
    /// The file in a state folder; nothing is read yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, last: None, has_written: false }
    }

    /// Reads the file. A damaged or foreign one counts as none: the server will say what is to be served.
    pub(crate) fn load(&mut self) -> Option<Saved> {
        let path = self.path.display();
        match files::read_json::<Saved>(&self.path) {
            Ok(Some(saved)) if saved.format == FORMAT => {
                self.last = Some(saved.clone());
                Some(saved)
            }
            Ok(Some(saved)) => {
                tracing::warn!("{path} has the format {}, which this version does not read", saved.format);
                None
            }
            Ok(None) => None,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "{path} cannot be read; waiting for the server instead");
                None
            }
        }
    }

    /// Reads what another process says that it would have written. A foreign format counts as none.
    pub(crate) fn read(saved: serde_json::Value) -> Option<Saved> {
        serde_json::from_value::<Saved>(saved).ok().filter(|saved| saved.format == FORMAT)
    }

    /// Writes what was not written yet.
    ///
    /// # Errors
    /// The disk refuses; the file stays as it was.
    pub(crate) async fn store(&mut self, saved: Saved) -> Result<(), files::Error> {
        if self.last.as_ref() == Some(&saved) {
            return Ok(());
        }
        let (path, content) = (self.path.clone(), saved.clone());
        let is_first = !std::mem::replace(&mut self.has_written, true);
        tasks::blocking("save the table", move || {
            files::write_json(&path, &content, 0o600)?;
            if is_first { remove_aside(&path) } else { Ok(()) }
        })
        .await?;
        self.last = Some(saved);
        Ok(())
    }
}

/// What an earlier process was writing when it was killed. Other files of the folder are being written meanwhile.
fn remove_aside(path: &Path) -> Result<(), files::Error> {
    let is_ours = |name: &str| path.file_name().is_some_and(|ours| ours == name);
    path.parent().map_or(Ok(()), |folder| files::remove_aside(folder, is_ours))
}

fn tell_failure(error: &files::Error) {
    let error: &dyn std::error::Error = error;
    tracing::error!(
        error,
        "the routing table could not be saved; a restart without the server would miss it"
    );
}

/// Writes the latest state as fast as the disk goes, until nobody can send another. Then the last one is tried once: a
/// full disk must not hold up the end. Ends when another process writes the file.
pub(crate) async fn keep_saved(
    mut file: StateFile,
    mut states: watch::Receiver<Option<Saved>>,
    voice: Voice,
) {
    while states.changed().await.is_ok() {
        loop {
            let Some(speaking) = voice.speak().await else { return };
            let Some(saved) = states.borrow_and_update().clone() else { break };
            let Err(error) = file.store(saved).await else { break };
            drop(speaking);
            tell_failure(&error);
            if states.has_changed().is_err() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_types::Epoch;
    use tandem_types::instance::Address;

    use super::*;

    fn saved(epoch: u64) -> Saved {
        let place =
            Place { host: "box".parse().unwrap(), address: Address::Tcp("127.0.0.1:20000".parse().unwrap()) };
        let table = Table { epoch: Epoch(epoch), routes: Vec::new() };
        Saved::new(table, BTreeMap::from([(InstanceId(1), place)]))
    }

    #[tokio::test]
    async fn what_was_written_is_read_back_and_written_again_only_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut file = StateFile::new(path.clone());
        assert_eq!(file.load(), None);
        file.store(saved(3)).await.unwrap();
        let mut again = StateFile::new(path.clone());
        assert_eq!(again.load(), Some(saved(3)));
        std::fs::remove_file(&path).unwrap();
        again.store(saved(3)).await.unwrap();
        assert!(!path.exists());
        again.store(saved(4)).await.unwrap();
        assert_eq!(StateFile::new(path).load(), Some(saved(4)));
    }

    #[tokio::test]
    async fn what_was_left_aside_goes_with_the_first_write_and_nothing_of_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = [".state.json.0a1b2c3d.tmp", ".process.json.0a1b2c3d.tmp"]
            .map(|name| folder.path().join(name))
            .into();
        for path in [&ours, &other] {
            files::write_atomic_unsynced(path, b"{", 0o600).unwrap();
        }
        StateFile::new(folder.path().join("state.json")).store(saved(3)).await.unwrap();
        assert_eq!((ours.exists(), other.exists()), (false, true));
    }

    #[test]
    fn a_damaged_or_foreign_file_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for content in ["", "{\"format\":", "[]"] {
            files::write_atomic(&path, content.as_bytes(), 0o600).unwrap();
            assert_eq!(StateFile::new(path.clone()).load(), None);
        }
        let newer = serde_json::to_string(&saved(1)).unwrap().replace("state/1", "state/2");
        files::write_atomic(&path, newer.as_bytes(), 0o600).unwrap();
        assert_eq!(StateFile::new(path).load(), None);
    }

    #[test]
    fn the_format_on_the_disk_stays_as_it_is() {
        let golden = include_str!("../golden/state.json").trim_end();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        files::write_atomic_unsynced(&path, golden.as_bytes(), 0o600).unwrap();
        let read = StateFile::new(path).load().unwrap();
        assert_eq!((read.table.routes.len(), &read.places), (2, &saved(8).places));
        assert_eq!(serde_json::to_string(&read).unwrap(), golden);
    }
}
