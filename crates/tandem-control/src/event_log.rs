//! What people see of rollouts while they run: one log of events per rollout, kept as a file of JSON lines.
//!
//! The truth about a rollout is its document; this is its story, with every line of output. A log of a rollout under
//! way is in memory, so that any number of watchers read it without touching the disk; the file is written along and
//! serves those who come later. It is not synced: after a power cut the end of the story may be missing, never a fact.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::Stream;
use tandem_kit::{ballast, files};
use tandem_rules::rollout::{Told, untold};
use tandem_types::event::{Event, RolloutEvent};
use tandem_types::rollout::Rollout;
use tandem_types::{AppName, EnvironmentName, RolloutNumber, Timestamp};
use tokio::sync::watch;

use crate::steady::Steady;

/// Lines of output kept per rollout; a build that floods its log is told once that the rest is not kept.
const LINES_MOST: u64 = 20_000;
/// Bytes of these lines: a line may be of 16 KiB, and all of them are in memory while the rollout is under way.
const LINE_BYTES_MOST: u64 = 8 << 20;

/// Why a log cannot be kept or read. Fits after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder or file cannot be made or written.
    #[error("write the log of the rollout {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The folder cannot be made.
    #[error("make the folder of rollout logs")]
    Folder(#[source] files::Error),
    /// The file cannot be read.
    #[error("read the log of the rollout {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// Which log.
pub type Key = (AppName, EnvironmentName, RolloutNumber);

/// All logs of an installation. Cheap to clone.
#[derive(Clone)]
pub struct EventLogs {
    root: PathBuf,
    clock: Steady,
    open: Arc<Mutex<HashMap<Key, EventLog>>>,
}

impl EventLogs {
    /// Logs below `root`, which is made when the first is written.
    #[must_use]
    pub fn new(root: PathBuf, clock: Steady) -> Self {
        Self { root, clock, open: Arc::default() }
    }

    /// The log of a rollout that was asked for at `created`, from memory or from its file; empty where neither is. A
    /// torn last line, as a crash leaves it, is cut off.
    ///
    /// A log that began before `created` is another's: numbers start anew when an app is destroyed and deployed
    /// again. It is thrown away.
    ///
    /// # Errors
    /// Fails when the file is there but cannot be read, or is another's and cannot be removed.
    pub fn log(&self, key: &Key, created: Timestamp) -> Result<EventLog, Error> {
        let mut open = self.open.lock().expect("no holder of this lock panics");
        if let Some(log) = open.get(key).filter(|log| !log.began_before(created)) {
            return Ok(log.clone());
        }
        open.remove(key);
        let path = self.path(key);
        let mut events = read(&path)?;
        if events.first().is_some_and(|first| first.time < created) {
            remove_file(&path)?;
            events.clear();
        }
        let log = EventLog::new(path, self.clock.clone(), events);
        if !log.is_finished() {
            open.insert(key.clone(), log.clone());
        }
        Ok(log)
    }

    /// Lets go of the memory of a log; whoever reads it goes on reading.
    pub fn close(&self, key: &Key) {
        self.open.lock().expect("no holder of this lock panics").remove(key);
    }

    /// Removes the file of a rollout whose document is gone.
    ///
    /// # Errors
    /// Fails when the file is there but cannot be removed.
    pub fn remove(&self, key: &Key) -> Result<(), Error> {
        self.close(key);
        remove_file(&self.path(key))
    }

    /// Removes every log of an environment that began before `since`, of which no document need be left.
    ///
    /// # Errors
    /// Fails when the folder cannot be listed, or a file can neither be read nor removed.
    pub fn remove_older(
        &self,
        app: &AppName,
        environment: &EnvironmentName,
        since: Timestamp,
    ) -> Result<(), Error> {
        let folder = self.folder(app, environment);
        let mut open = self.open.lock().expect("no holder of this lock panics");
        open.retain(|key, log| (&key.0, &key.1) != (app, environment) || !log.began_before(since));
        let files = match std::fs::read_dir(&folder) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            files => files.and_then(Iterator::collect::<Result<Vec<_>, _>>),
        };
        for file in files.map_err(|cause| Error::Read { path: folder, cause })? {
            let path = file.path();
            if read(&path)?.first().is_none_or(|first| first.time < since) {
                remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn folder(&self, app: &AppName, environment: &EnvironmentName) -> PathBuf {
        self.root.join(format!("{app}.{environment}"))
    }

    /// Where a log is, or would be.
    pub(crate) fn path(&self, (app, environment, rollout): &Key) -> PathBuf {
        self.folder(app, environment).join(format!("{}.ndjson", rollout.0))
    }
}

/// The log of one rollout. Cheap to clone.
#[derive(Clone)]
pub struct EventLog {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    clock: Steady,
    state: Mutex<State>,
    /// Number of events; watchers wait for it to grow.
    length: watch::Sender<usize>,
}

struct State {
    events: Vec<Arc<RolloutEvent>>,
    file: Option<std::fs::File>,
    /// Lines that the disk had no room for; they come before the next.
    unwritten: Vec<u8>,
    lines: u64,
    line_bytes: u64,
    /// Whether people were told that the rest is not kept.
    told_of_rest: bool,
    /// How much of the rollout's document the events tell.
    told: Told,
}

impl EventLog {
    fn new(path: PathBuf, clock: Steady, events: Vec<Arc<RolloutEvent>>) -> Self {
        let texts = events.iter().filter_map(|event| line_text(&event.event));
        let (lines, line_bytes) =
            texts.fold((0, 0), |(lines, bytes), text| (lines + 1, bytes + text.len() as u64));
        let (length, _) = watch::channel(events.len());
        let mut told = Told::default();
        events.iter().for_each(|event| told.count(&event.event));
        let unwritten = Vec::new();
        let state = State { events, file: None, unwritten, lines, line_bytes, told_of_rest: false, told };
        let state = Mutex::new(state);
        Self { shared: Arc::new(Shared { path, clock, state, length }) }
    }

    /// Adds an event behind the last one. Nothing comes behind `Finished`.
    ///
    /// # Errors
    /// Fails when the file cannot be written; watchers get the event all the same.
    pub fn append(&self, event: Event) -> Result<(), Error> {
        let mut state = self.shared.state.lock().expect("no holder of this lock panics");
        let written = state.push(&self.shared.path, self.shared.clock.now(), event);
        let length = state.events.len();
        drop(state);
        self.shared.length.send_replace(length);
        written
    }

    /// Adds what the rollout's document tells and the log does not yet.
    ///
    /// # Errors
    /// Fails when the file cannot be written; watchers get the events all the same.
    pub fn catch_up(&self, rollout: &Rollout) -> Result<(), Error> {
        let mut state = self.shared.state.lock().expect("no holder of this lock panics");
        let untold = untold(rollout, &state.told, self.shared.clock.now());
        let written = untold.into_iter().map(|(time, event)| state.push(&self.shared.path, time, event));
        let written = written.fold(Ok(()), Result::and);
        let length = state.events.len();
        drop(state);
        self.shared.length.send_if_modified(|known| std::mem::replace(known, length) != length);
        written
    }

    /// Tells once that it waits for another rollout.
    ///
    /// # Errors
    /// Fails when the file cannot be written; watchers get the event all the same.
    pub fn append_once(&self, event: Event) -> Result<(), Error> {
        let state = self.shared.state.lock().expect("no holder of this lock panics");
        let known = state.events.iter().any(|known| known.event == event);
        drop(state);
        if known { Ok(()) } else { self.append(event) }
    }

    /// Number of lines of output from one source.
    #[must_use]
    pub fn lines_from(&self, wanted: &str) -> usize {
        let state = self.shared.state.lock().expect("no holder of this lock panics");
        let fits = |event: &&Arc<RolloutEvent>| matches!(&event.event, Event::Line { source, .. } if source == wanted);
        state.events.iter().filter(fits).count()
    }

    /// The events behind `after`, in order. With `follow` the stream waits for more and ends behind `Finished`;
    /// without, it ends where the log does now.
    pub fn stream(&self, after: u64, follow: bool) -> impl Stream<Item = Arc<RolloutEvent>> + Send + use<> {
        let cursor = (
            self.shared.clone(),
            self.shared.length.subscribe(),
            usize::try_from(after).unwrap_or(usize::MAX),
        );
        futures_util::stream::unfold(cursor, move |(shared, mut length, index)| async move {
            loop {
                length.mark_unchanged();
                if let Some(event) = shared.get(index) {
                    return Some((event, (shared, length, index + 1)));
                }
                if !follow || shared.ends_before(index) || length.changed().await.is_err() {
                    return None;
                }
            }
        })
    }

    fn began_before(&self, time: Timestamp) -> bool {
        let state = self.shared.state.lock().expect("no holder of this lock panics");
        state.events.first().is_some_and(|first| first.time < time)
    }

    /// Whether the last event is `Finished`.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.ends_before(usize::MAX)
    }
}

impl Shared {
    fn get(&self, index: usize) -> Option<Arc<RolloutEvent>> {
        self.state.lock().expect("no holder of this lock panics").events.get(index).cloned()
    }

    /// Whether the log is finished and holds nothing at or behind `index`.
    fn ends_before(&self, index: usize) -> bool {
        let state = self.state.lock().expect("no holder of this lock panics");
        let finished = state.events.last().is_some_and(|last| matches!(last.event, Event::Finished { .. }));
        finished && index >= state.events.len()
    }
}

impl State {
    /// Adds an event to memory and file, unless the story has ended.
    fn push(&mut self, path: &Path, time: Timestamp, event: Event) -> Result<(), Error> {
        if self.told.finished {
            return Ok(());
        }
        let Some(event) = self.admit(event) else { return Ok(()) };
        self.told.count(&event);
        let sequence = self.events.len() as u64 + 1;
        let event = Arc::new(RolloutEvent { sequence, time, event });
        self.events.push(Arc::clone(&event));
        self.write(path, &event)
    }

    /// The event as it is kept: output over the limit is told of once, then dropped.
    fn admit(&mut self, event: Event) -> Option<Event> {
        let Some(text) = line_text(&event) else { return Some(event) };
        self.lines += 1;
        self.line_bytes += text.len() as u64;
        if self.lines <= LINES_MOST && self.line_bytes <= LINE_BYTES_MOST {
            return Some(event);
        }
        let told = std::mem::replace(&mut self.told_of_rest, true);
        let most = if self.lines > LINES_MOST {
            format!("{LINES_MOST} lines")
        } else {
            format!("{} MiB", LINE_BYTES_MOST >> 20)
        };
        (!told).then(|| Event::Warning { text: format!("more than {most} of output; the rest is not kept") })
    }

    /// Writes the event behind those that could not be written before.
    fn write(&mut self, path: &Path, event: &RolloutEvent) -> Result<(), Error> {
        serde_json::to_writer(&mut self.unwritten, event).expect("an event is plain data with text keys");
        self.unwritten.push(b'\n');
        let refuse = |cause| Error::Write { path: path.to_owned(), cause };
        if self.file.is_none() {
            if let Some(folder) = path.parent() {
                files::ensure_dir(folder, 0o700).map_err(Error::Folder)?;
            }
            let open = || std::fs::File::options().append(true).create(true).open(path);
            self.file = Some(ballast::with_room(path, open).map_err(refuse)?);
        }
        let file = self.file.as_mut().expect("it was opened above");
        ballast::with_room(path, || append_whole(file, &self.unwritten)).map_err(refuse)?;
        self.unwritten.clear();
        Ok(())
    }
}

fn line_text(event: &Event) -> Option<&str> {
    match event {
        Event::Line { text, .. } => Some(text),
        _ => None,
    }
}

/// All or nothing: behind half a line nothing could be read.
fn append_whole(file: &mut std::fs::File, bytes: &[u8]) -> std::io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(bytes).inspect_err(|_| {
        // Cutting back needs no room; the first error is the one to tell.
        let _ = file.set_len(before);
    })
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Write { path: path.to_owned(), cause })
        }
        _ => Ok(()),
    }
}

/// The events of a file, and the file cut back to them.
fn read(path: &Path) -> Result<Vec<Arc<RolloutEvent>>, Error> {
    let refuse = |cause| Error::Read { path: path.to_owned(), cause };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(refuse(cause)),
    };
    let (mut events, mut whole) = (Vec::new(), 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(event) = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok()) else {
            break;
        };
        events.push(Arc::new(event));
        whole += line.len();
    }
    if whole < text.len() {
        let file = std::fs::File::options().write(true).open(path).map_err(refuse)?;
        file.set_len(whole as u64).map_err(refuse)?;
    }
    Ok(events)
}

#[cfg(test)]
mod tests;
