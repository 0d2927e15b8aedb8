//! Keeping all logs together small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tandem_kit::tasks;
use tandem_sandbox::logs;
use tandem_types::defaults;

use super::source;
use crate::board::Board;
use crate::folders::Folders;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(60);
/// Logs of ended instances and jobs kept per environment, the latest: some releases' worth.
const KEEP_ENDED: usize = 40;

/// Keeps them below [`defaults::LOG_TOTAL_BYTES`], for ever.
pub(crate) async fn keep_small(folders: Folders, board: Board) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let (folders, board) = (folders.clone(), board.clone());
        tasks::blocking("log-trim", move || trim(&folders, &board)).await;
    }
}

fn trim(folders: &Folders, board: &Board) {
    let mut kept = Vec::new();
    for logs in all(&folders.logs()).into_values() {
        kept.extend(drop_oldest(logs, board));
    }
    if let Err(error) = logs::trim(&kept, defaults::LOG_TOTAL_BYTES) {
        tracing::warn!(error = &error as &dyn std::error::Error, "could not trim the logs");
    }
}

/// Environment folder → its logs.
fn all(folder: &Path) -> BTreeMap<PathBuf, Vec<(PathBuf, source::Source)>> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    let places = entries.filter_map(|entry| Some(entry.ok()?.path()));
    places.map(|place| (place.clone(), source::list(&place))).collect()
}

/// Removes the oldest logs that nobody writes any more, and returns the others.
fn drop_oldest(logs: Vec<(PathBuf, source::Source)>, board: &Board) -> Vec<PathBuf> {
    let has_writer = |source: &source::Source| {
        board.look(|sheet| {
            source.instance.is_some_and(|id| sheet.instances.contains_key(&id))
                || source.job.is_some_and(|id| sheet.jobs.contains_key(&id))
        })
    };
    let (mut kept, mut ended) = (Vec::new(), Vec::new());
    for (folder, source) in logs {
        if has_writer(&source) { kept.push(folder) } else { ended.push(folder) }
    }
    ended.sort_by_key(|folder| std::cmp::Reverse(last_written(folder)));
    for folder in ended.split_off(ended.len().min(KEEP_ENDED)) {
        if let Err(error) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(error = &error as &dyn std::error::Error, "could not remove {}", folder.display());
        }
    }
    kept.extend(ended);
    kept
}

/// Chunks are made and closed until the end, so the folder's own time says enough.
fn last_written(folder: &Path) -> SystemTime {
    let modified = std::fs::metadata(folder).and_then(|metadata| metadata.modified());
    modified.unwrap_or(SystemTime::UNIX_EPOCH)
}
