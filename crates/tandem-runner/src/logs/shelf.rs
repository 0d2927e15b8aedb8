//! Where logs stand, and their last lines in the order of time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_kit::tasks;
use tandem_sandbox::logs::{self, Position, Tail};
use tandem_types::event::LogLine;

use super::order;
use super::query::{Query, Selection};
use super::source::{self, Source};
use crate::board::Board;
use crate::context::Context;
use crate::folders::{Folders, Unit};

/// A handle on all logs of this host.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    folders: Folders,
    pub(super) board: Board,
}

/// A log (its folder, or its file where it is folded) and the place up to which it was read.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) folder: PathBuf,
    pub(super) source: Arc<Source>,
    pub(super) position: Position,
}

impl Shelf {
    /// The shelf of a runner.
    pub(crate) fn of(context: &Context) -> Self {
        Self { folders: context.folders.clone(), board: context.board.clone() }
    }

    /// Whether a job is known, by its actor or by its log.
    pub(crate) async fn knows(&self, selection: &Selection) -> bool {
        match selection {
            Selection::Place { .. } => true,
            Selection::Job(id) => {
                self.board.look(|sheet| sheet.jobs.contains_key(id)) || !self.find(selection).await.is_empty()
            }
        }
    }

    /// The logs that fit.
    pub(super) async fn find(&self, selection: &Selection) -> Vec<(PathBuf, Source)> {
        let (folders, selection) = (self.folders.clone(), selection.clone());
        tasks::blocking("log-find", move || find(&folders, &selection)).await
    }

    /// The last lines of all that fit, oldest first, and where each log goes on.
    pub(super) async fn tail(&self, query: &Query) -> io::Result<(Vec<LogLine>, Vec<Opened>)> {
        let (folders, query) = (self.folders.clone(), query.clone());
        tasks::blocking("log-tail", move || tail(&folders, &query)).await
    }
}

fn find(folders: &Folders, selection: &Selection) -> Vec<(PathBuf, Source)> {
    let mut found = match selection {
        Selection::Place { place, .. } => source::list(&folders.logs_of(place)),
        Selection::Job(id) => find_job(folders, Unit::Job(*id)),
    };
    found.retain(|(_, source)| selection.wants(source));
    found
}

/// A job's number is unique over all environments, but its log is in the folder of one.
fn find_job(folders: &Folders, unit: Unit) -> Vec<(PathBuf, Source)> {
    let Ok(entries) = std::fs::read_dir(folders.logs()) else {
        return Vec::new();
    };
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path().join(unit.to_string())));
    folders.flat_map(|folder| [logs::folded(&folder), folder]).filter_map(|log| source::read(&log)).collect()
}

/// The end of one log, and where it is: one that was found as a folder may have been folded since, which takes its chunk
/// out before the folder goes. Where it was found in both places, it is read in each.
fn tail_of(log: &Path, lines: usize, is_found: impl Fn(&Path) -> bool) -> io::Result<(PathBuf, Tail)> {
    let tail = logs::tail(log, lines)?;
    let folded = logs::folded(log);
    if tail == Tail::default() && folded.is_file() && !is_found(&folded) {
        let tail = logs::tail(&folded, lines)?;
        return Ok((folded, tail));
    }
    Ok((log.to_owned(), tail))
}

fn tail(folders: &Folders, query: &Query) -> io::Result<(Vec<LogLine>, Vec<Opened>)> {
    let (mut lines, mut opened) = (Vec::new(), Vec::new());
    let found = find(folders, &query.selection);
    for (log, source) in &found {
        let (folder, tail) = tail_of(log, query.lines, |folded| found.iter().any(|(log, _)| log == folded))?;
        lines.push(tail.lines.into_iter().map(|line| source.tell(line)).collect());
        opened.push(Opened { folder, source: Arc::new(source.clone()), position: tail.position });
    }
    Ok((order::last(lines, query.lines), opened))
}

#[cfg(test)]
mod tests {
    use tandem_kit::files;
    use tandem_kit::paths::DataDir;
    use tandem_types::{InstanceId, ProcessType, ReleaseNumber};

    use super::*;

    #[test]
    fn the_last_lines_are_those_written_last_though_the_clock_was_set_back() {
        let root = tempfile::tempdir().expect("there is room");
        let data = DataDir::open(root.path()).expect("there is room");
        let folders = Folders::open(&data).expect("there is room");
        let query = Query::of_place("app=shop&env=production&lines=2").expect("it is well formed");
        let Selection::Place { place, .. } = &query.selection else { panic!("{query:?}") };
        for (number, lines) in [(1, ["13:00", "12:02"]), (2, ["13:01", "12:01"])] {
            let log = folders.log(place, Unit::Instance(InstanceId(number)));
            let source = Source {
                instance: Some(InstanceId(number)),
                job: None,
                release: ReleaseNumber(1),
                process: ProcessType::web(),
                index: 1,
            };
            source::write(&log, &source).expect("there is room");
            let text = lines.map(|time| format!("2026-11-21T{time}:00.000000Z o {time}\n")).concat();
            let text = format!("# tandem-log/1 {{}}\n{text}");
            files::write_atomic_unsynced(&log.join("00000001.log"), text.as_bytes(), 0o600)
                .expect("there is room");
        }
        let (lines, _) = tail(&folders, &query).expect("they are readable");
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts[1..], ["12:02"], "{texts:?}");
        data.remove_runtime().expect("the runtime folder goes");
    }

    #[test]
    fn a_log_that_is_being_folded_is_read_once() {
        let place = tempfile::tempdir().expect("there is room");
        let log = place.path().join("i1");
        files::ensure_dir(&log, 0o700).expect("there is room");
        let folded = logs::folded(&log);
        files::write_atomic_unsynced(&folded, b"2026-11-21T01:02:03.123456Z o said\n", 0o600)
            .expect("there is room");
        for remove_folder in [false, true] {
            if remove_folder {
                std::fs::remove_dir(&log).expect("it is empty");
            }
            let (path, tail) = tail_of(&log, 9, |_| false).expect("it is readable");
            assert_eq!((path, tail.lines.len()), (folded.clone(), 1));
            let (path, tail) = tail_of(&log, 9, |path| path == folded).expect("it is readable");
            assert_eq!((path, tail.lines.len()), (log.clone(), 0), "its lines come from the other place");
        }
    }
}
