//! The access log: a line for each request, in a file.
//!
//! Threads put lines into memory of their own; one thread that does nothing else writes them, so that a slow disk holds up
//! nobody. A full disk costs lines, which are counted. Whoever rotates the file renames it, and the lines that follow go to
//! a new one; SIGHUP does the same where the file was only copied or truncated by others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tandem_types::traffic::Served;
use tokio::signal::unix::{SignalKind, signal};

use super::line::Pen;
use super::{AccessFormat, Facts, Seen};

/// Time between two writes.
const EVERY: Duration = Duration::from_millis(200);
/// Bytes that may wait with a thread: more than any thread serves while a disk takes its time, and little enough to lose
/// nothing else when it hangs.
const MOST_WAITING: usize = 8 << 20;
/// Bytes of memory that are kept for the next lines.
const KEPT: usize = 256 << 10;
/// Rights of the file: it has the addresses of clients.
const MODE: u32 = 0o640;

/// What is written, and where.
#[derive(Debug, Clone)]
pub struct AccessLogConfig {
    /// The file; made where it is missing, else written on behind what is in it.
    pub path: PathBuf,
    /// Form of the lines.
    pub format: AccessFormat,
    /// Whether the queries of URLs are written, too. They often hold what nobody else should read.
    pub with_query: bool,
}

/// Why there is no access log. Fits after "failed to".
#[derive(Debug, thiserror::Error)]
#[error("open the access log {}", path.display())]
pub struct AccessLogError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub cause: io::Error,
}

/// Lines on their way to the file.
#[derive(Debug)]
pub struct AccessLog {
    path: PathBuf,
    /// By thread.
    waiting: Box<[Mutex<Waiting>]>,
    reopen: AtomicBool,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    lines: Vec<u8>,
    pen: Pen,
}

/// The log is written until this is dropped; what was put into it before is in the file then, if the disk takes it.
#[derive(Debug)]
pub struct Writing {
    /// Dropped to end the thread.
    goes_on: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// Opens the file and begins to write, for so many threads.
    pub(super) fn open(
        config: AccessLogConfig,
        threads: usize,
    ) -> Result<(Arc<Self>, Writing), AccessLogError> {
        let AccessLogConfig { path, format, with_query } = config;
        let failed = |cause| AccessLogError { path: path.clone(), cause };
        let file = open(&path).map_err(failed)?;
        let waiting = || Mutex::new(Waiting { lines: Vec::new(), pen: Pen::new(format, with_query) });
        let log = Arc::new(Self {
            path: path.clone(),
            waiting: (0..threads).map(|_| waiting()).collect(),
            reopen: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        });
        let (goes_on, ended) = mpsc::channel();
        let mut writer =
            Writer { log: Arc::clone(&log), file, torn: false, failing: None, spare: Vec::new() };
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        let thread = thread.spawn(move || {
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                writer.write_all();
            }
            writer.write_all();
        });
        let thread = Some(thread.map_err(failed)?);
        Ok((log, Writing { goes_on: Some(goes_on), thread }))
    }

    /// Writes a line.
    pub(super) fn write(&self, thread: usize, served: Option<&Served>, record: (&Facts, &Seen<'_>)) {
        let mut waiting = lock(&self.waiting[thread]);
        let Waiting { lines, pen } = &mut *waiting;
        if lines.len() < MOST_WAITING {
            pen.write(lines, served, record);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew at each SIGHUP, for ever.
    pub(super) async fn reopen_at_hangup(self: Arc<Self>) {
        match signal(SignalKind::hangup()) {
            Ok(mut hangups) => {
                while hangups.recv().await.is_some() {
                    self.reopen.store(true, Ordering::Relaxed);
                }
            }
            Err(error) => tracing::warn!("SIGHUP does not open the access log anew: {error}"),
        }
        std::future::pending().await
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.goes_on = None;
        // One that broke down has nothing more to say.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(MODE).open(path)
}

/// Whether a file has that name.
fn is_named(file: &File, path: &Path) -> bool {
    let same =
        |ours: fs::Metadata, named: fs::Metadata| (ours.dev(), ours.ino()) == (named.dev(), named.ino());
    file.metadata().is_ok_and(|ours| fs::metadata(path).is_ok_and(|named| same(ours, named)))
}

/// The thread that writes.
struct Writer {
    log: Arc<AccessLog>,
    file: File,
    /// The last thing in the file is a part of a line.
    torn: bool,
    /// It is known that lines are lost, and how many were before.
    failing: Option<u64>,
    spare: Vec<u8>,
}

impl Writer {
    fn write_all(&mut self) {
        let asked = self.log.reopen.swap(false, Ordering::Relaxed);
        for thread in 0..self.log.waiting.len() {
            std::mem::swap(&mut lock(&self.log.waiting[thread]).lines, &mut self.spare);
            let lines = std::mem::take(&mut self.spare);
            if !lines.is_empty() {
                if asked || !is_named(&self.file, &self.log.path) {
                    self.reopen();
                }
                self.write(&lines);
            }
            self.spare = lines;
            self.spare.clear();
            self.spare.shrink_to(KEPT);
        }
        if asked {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        match open(&self.log.path) {
            Ok(file) => (self.file, self.torn) = (file, false),
            // What is open still takes lines.
            Err(error) => self.fails(&error),
        }
    }

    fn write(&mut self, lines: &[u8]) {
        let mut rest = lines;
        if self.torn && self.file.write(b"\n").is_ok_and(|count| count == 1) {
            self.torn = false;
        }
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(count @ 1..) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => return self.lose(rest, lines, &io::ErrorKind::WriteZero.into()),
                Err(error) => return self.lose(rest, lines, &error),
            }
        }
        if let Some(before) = self.failing.take() {
            let lost = self.log.lost.load(Ordering::Relaxed) - before;
            let path = self.log.path.display();
            tracing::warn!("the access log {path} is written again; {lost} lines were lost");
        }
    }

    fn lose(&mut self, rest: &[u8], lines: &[u8], error: &io::Error) {
        self.fails(error);
        self.log.lost.fetch_add(rest.iter().filter(|byte| **byte == b'\n').count() as u64, Ordering::Relaxed);
        let written = &lines[..lines.len() - rest.len()];
        self.torn |= !written.is_empty() && !written.ends_with(b"\n");
    }

    /// Says so once until it goes on.
    fn fails(&mut self, error: &io::Error) {
        if self.failing.is_none() {
            self.failing = Some(self.log.lost.load(Ordering::Relaxed));
            let path = self.log.path.display();
            tracing::warn!("the access log {path} cannot be written, lines are lost: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
