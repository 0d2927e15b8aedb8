//! Lines as they are written, over all logs that fit, those included that begin later.
//!
//! Only what has an actor can still write, so only that is followed, and each is left when its actor is gone. A
//! job's lines end with the job.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, SelectAll, StreamExt as _};
use tandem_sandbox::logs::{Follow, Line, Position};
use tandem_types::event::LogLine;
use tandem_types::instance::JobState;
use tokio::sync::watch;

use super::query::{Query, Selection};
use super::shelf::{Opened, Shelf};
use super::source::Source;
use crate::board::{Board, Sheet};
use crate::folders::Unit;

/// A log whose writer is gone has no more to say when nothing came for this long.
const SILENCE: Duration = Duration::from_millis(100);

/// The lines that a request asks for.
///
/// # Errors
/// A log cannot be read.
pub(crate) async fn lines(shelf: Shelf, query: Query) -> io::Result<BoxStream<'static, LogLine>> {
    let board = shelf.board.watch();
    let (lines, opened) = shelf.tail(&query).await?;
    let there = stream::iter(lines);
    if !query.follow {
        return Ok(there.boxed());
    }
    let mut following = Following {
        shelf,
        selection: query.selection,
        board,
        logs: SelectAll::new(),
        known: BTreeSet::new(),
    };
    opened.into_iter().for_each(|log| following.add(log));
    let coming = stream::unfold(following, |mut following| async move {
        let line = following.next().await?;
        Some((line, following))
    });
    Ok(there.chain(coming).boxed())
}

struct Following {
    shelf: Shelf,
    selection: Selection,
    board: watch::Receiver<Sheet>,
    logs: SelectAll<BoxStream<'static, LogLine>>,
    known: BTreeSet<Unit>,
}

impl Following {
    async fn next(&mut self) -> Option<LogLine> {
        loop {
            if self.logs.is_empty() && self.is_over() {
                // A short job may have begun and ended since its log was looked for.
                self.discover().await;
                if self.logs.is_empty() {
                    return None;
                }
            }
            tokio::select! {
                line = self.logs.next(), if !self.logs.is_empty() => if line.is_some() { return line },
                changed = self.board.changed() => {
                    changed.ok()?;
                    self.discover().await;
                }
            }
        }
    }

    /// An environment may always get new instances; a job that has ended gets no new lines.
    fn is_over(&self) -> bool {
        match self.selection {
            Selection::Place { .. } => false,
            Selection::Job(id) => {
                self.known.contains(&Unit::Job(id)) || !can_write(&self.board.borrow(), Unit::Job(id))
            }
        }
    }

    async fn discover(&mut self) {
        self.board.mark_unchanged();
        for (folder, source) in self.shelf.find(&self.selection).await {
            if source.unit().is_some_and(|unit| !self.known.contains(&unit)) {
                self.add(Opened { folder, source: Arc::new(source), position: Position::default() });
            }
        }
    }

    fn add(&mut self, log: Opened) {
        let Some(unit) = log.source.unit() else { return };
        if !log.folder.is_dir() {
            // Folded: its writer is gone, and its lines were read.
            return;
        }
        // A job is followed even when it has just ended: what it wrote since its lines were read is still to come.
        let is_job = matches!(self.selection, Selection::Job(_));
        if !is_job && !can_write(&self.board.borrow(), unit) {
            return;
        }
        match Follow::new(&log.folder, log.position) {
            Ok(follow) => {
                self.known.insert(unit);
                self.logs.push(one(follow, log.source, silent_end(self.shelf.board.clone(), unit)));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot follow the log of {unit}");
            }
        }
    }
}

fn can_write(sheet: &Sheet, unit: Unit) -> bool {
    match unit {
        Unit::Instance(id) => sheet.instances.contains_key(&id),
        Unit::Job(id) => {
            sheet.jobs.get(&id).is_some_and(|job| matches!(job.state, JobState::Waiting | JobState::Running))
        }
    }
}

/// Ready when the writer is gone.
async fn silent_end(board: Board, unit: Unit) {
    // A board that is gone has no writers either.
    let _ = board.watch().wait_for(|sheet| !can_write(sheet, unit)).await;
}

/// The lines of one log until its writer is gone and it has no more to say.
fn one(
    follow: Follow,
    source: Arc<Source>,
    end: impl Future<Output = ()> + Send + 'static,
) -> BoxStream<'static, LogLine> {
    let state = (follow, Box::pin(end), false);
    let lines = stream::unfold(state, |(mut follow, mut end, mut ended)| async move {
        let line = loop {
            if ended {
                break tokio::time::timeout(SILENCE, follow.next()).await.ok().and_then(readable);
            }
            tokio::select! {
                line = follow.next() => break readable(line),
                () = &mut end => ended = true,
            }
        };
        line.map(|line| (line, (follow, end, ended)))
    });
    lines.map(move |line| source.tell(line)).boxed()
}

fn readable(line: io::Result<Option<Line>>) -> Option<Line> {
    line.unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot go on reading a log");
        None
    })
}
