//! Where logs stand, and their last lines in the order of time.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tandem_kit::tasks;
use tandem_sandbox::logs::{self, Position};
use tandem_types::event::LogLine;

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

fn tail(folders: &Folders, query: &Query) -> io::Result<(Vec<LogLine>, Vec<Opened>)> {
    let (mut lines, mut opened) = (Vec::new(), Vec::new());
    for (mut folder, source) in find(folders, &query.selection) {
        if !folder.exists() {
            // Folded since it was found.
            folder = logs::folded(&folder);
        }
        let tail = logs::tail(&folder, query.lines)?;
        lines.extend(tail.lines.into_iter().map(|line| source.tell(line)));
        opened.push(Opened { folder, source: Arc::new(source), position: tail.position });
    }
    lines.sort_by_key(|line: &LogLine| line.time);
    lines.drain(..lines.len().saturating_sub(query.lines));
    Ok((lines, opened))
}
