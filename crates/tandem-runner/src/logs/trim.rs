//! Keeping all logs together small.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tandem_kit::{disk, tasks};
use tandem_rules::room;
use tandem_sandbox::logs;
use tandem_types::defaults;

use super::{fold, source};
use crate::board::Board;
use crate::folders::{Folders, Unit};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(60);
/// Logs of ended instances and jobs kept per environment, the latest: some releases' worth.
const KEEP_ENDED: usize = 40;

/// Keeps them below what [`room::logs_allowed`] says, for ever. From the start on: a smaller budget was perhaps why
/// somebody started anew.
pub(crate) async fn keep_small(folders: Folders, board: Board) {
    loop {
        let (folders, board) = (folders.clone(), board.clone());
        tasks::blocking("log-trim", move || trim(&folders, &board, disk::budget())).await;
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The budget is that of this host's data folder; none: nobody set it.
fn trim(folders: &Folders, board: &Board, budget: Option<u64>) {
    fold_ended(folders, board);
    let mut kept = Vec::new();
    for logs in all(&folders.logs()).into_values() {
        kept.extend(drop_oldest(logs, |unit| has_writer(folders, board, unit)));
    }
    // A disk that does not answer is not known to be small.
    let most = disk::space(&folders.logs()).map_or(defaults::LOG_TOTAL_BYTES, |space| {
        room::logs_allowed(&space, room::budget(&space, budget), defaults::LOG_TOTAL_BYTES)
    });
    if let Err(error) = logs::trim(&kept, most) {
        tracing::warn!(error = &error as &dyn std::error::Error, "could not trim the logs");
    }
}

/// Folds what an actor did not come to: of a runner that was killed, or of an earlier version.
fn fold_ended(folders: &Folders, board: &Board) {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    for folder in entries(&folders.logs()).flat_map(|place| entries(&place.path())).map(|log| log.path()) {
        let unit = folder.file_name().and_then(|name| Unit::parse(name.to_str()?));
        let ended = unit.is_some_and(|unit| !has_writer(folders, board, unit));
        let quiet = last_written(&folder).elapsed().is_ok_and(|quiet| quiet >= INTERVAL);
        if ended && quiet && folder.is_dir() {
            fold::fold(&folder);
        }
    }
}

/// Whether it has an actor, or is still to be ended without one: its folder goes after its shim.
fn has_writer(folders: &Folders, board: &Board, unit: Unit) -> bool {
    let has_actor = board.look(|sheet| match unit {
        Unit::Instance(id) => sheet.instances.contains_key(&id),
        Unit::Job(id) => sheet.jobs.contains_key(&id),
    });
    has_actor || folders.unit(unit).exists()
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
fn drop_oldest(logs: Vec<(PathBuf, source::Source)>, has_writer: impl Fn(Unit) -> bool) -> Vec<PathBuf> {
    let (mut kept, mut ended) = (Vec::new(), Vec::new());
    for (folder, source) in logs {
        let written = source.unit().is_some_and(&has_writer);
        if written { kept.push(folder) } else { ended.push(folder) }
    }
    ended.sort_by_key(|folder| std::cmp::Reverse(last_written(folder)));
    for folder in ended.split_off(ended.len().min(KEEP_ENDED)) {
        let removed =
            if folder.is_dir() { std::fs::remove_dir_all(&folder) } else { std::fs::remove_file(&folder) };
        if let Err(error) = removed {
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

#[cfg(test)]
mod tests {
    use std::fs::File;

    use tandem_kit::files;
    use tandem_kit::paths::DataDir;

    use super::*;

    /// A log as a runner that was killed, or an earlier version, left it.
    fn old_log(place: &Path, unit: &str, chunks: &[&str]) -> PathBuf {
        let folder = place.join(unit);
        files::ensure_dir(&folder, 0o700).expect("there is room");
        let source = format!(r#"{{"instance":"{unit}","release":"r2","process":"web","index":1}}"#);
        let write = |name: &str, text: &str| {
            files::write_atomic_unsynced(&folder.join(name), text.as_bytes(), 0o600).expect("there is room");
        };
        write("source.json", &source);
        for (number, text) in (1..).zip(chunks) {
            write(&format!("{number:08}.log"), text);
        }
        let of = |path: &Path| File::open(path).expect("it is there");
        of(&folder).set_modified(SystemTime::UNIX_EPOCH).expect("it is ours");
        folder
    }

    const CHUNK: &str = "# tandem-log/1 {\"index\":\"1\",\"process\":\"web\",\"release\":\"r2\"}\n2026-11-21T01:02:03.123456Z o said\n";

    #[test]
    fn a_log_stays_as_it_is_while_its_writer_has_a_folder_even_without_an_actor() {
        let folder = tempfile::tempdir().expect("there is room");
        let data = DataDir::open(folder.path()).expect("there is room");
        let folders = Folders::open(&data).expect("there is room");
        let log = old_log(&folders.logs().join("guestbook.production"), "i5", &[CHUNK]);
        let unit = folders.unit(Unit::parse("i5").expect("it is a name"));
        files::ensure_dir(&unit, 0o700).expect("there is room");
        trim(&folders, &Board::default(), None);
        assert!(log.join("00000001.log").exists());
        std::fs::remove_dir(&unit).expect("it is empty");
        trim(&folders, &Board::default(), None);
        assert!(!log.exists() && logs::folded(&log).exists());
        data.remove_runtime().expect("it is ours");
    }

    #[test]
    fn what_ended_long_ago_is_folded_and_is_still_the_same_log() {
        let folder = tempfile::tempdir().expect("there is room");
        let data = DataDir::open(folder.path()).expect("there is room");
        let folders = Folders::open(&data).expect("there is room");
        let place = folders.logs().join("guestbook.production");
        let other = CHUNK.replace("r2", "r3");
        let [small, large, strange] = [
            old_log(&place, "i1", &[CHUNK]),
            old_log(&place, "i2", &[CHUNK, CHUNK]),
            old_log(&place, "i3", &[&other]),
        ];
        let empty = place.join("i4");
        files::ensure_dir(&empty, 0o700).expect("there is room");
        let before: Vec<_> = source::list(&place).into_iter().map(|(_, source)| source).collect();
        for _ in 0..2 {
            trim(&folders, &Board::default(), None);
            assert_eq!([small.exists(), large.exists(), strange.exists()], [false, true, true]);
            let mut logs = source::list(&place);
            logs.sort_by_key(|(_, source)| before.iter().position(|other| other == source));
            assert_eq!(logs.iter().map(|(_, source)| source.clone()).collect::<Vec<_>>(), before);
            for (log, _) in logs {
                assert_eq!(logs::tail(&log, 1).expect("it is readable").lines[0].text, "said", "{log:?}");
            }
        }
        data.remove_runtime().expect("it is ours");
    }
}
