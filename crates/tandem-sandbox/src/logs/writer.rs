//! A log as it is written.
//!
//! A thread of its own writes, because a write to a slow or dead disk can hang for minutes, and the pipes of the app
//! must be read meanwhile. Where a write fails (a full disk), it is tried again until it works; the queue drops and
//! counts what does not fit. A disk that is nearly full counts as one that refuses: what is left is for what cannot
//! be dropped.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use tandem_kit::clock::Clock;
use tandem_kit::disk;
use tandem_types::event::Stream;

use super::queue::{Queue, Taken};
use super::{Settings, chunks, format};

/// Between two tries on a disk that refuses.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The shim's end of a log.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
    clock: Clock,
}

impl Writer {
    /// Opens the log and starts its thread.
    pub(crate) fn start(settings: Settings, clock: Clock) -> io::Result<Self> {
        tandem_kit::files::ensure_dir(&settings.dir, 0o700)?;
        let queue = Arc::new(Queue::default());
        let mut log = Log { settings, clock: clock.clone(), chunk: None };
        let lines = Arc::clone(&queue);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || log.write_all(&lines))?;
        Ok(Self { queue, clock })
    }

    /// Adds a line; never waits.
    pub(crate) fn line(&self, stream: Stream, text: &str) {
        self.queue.put(&format::write(self.clock.now(), stream, text));
    }

    /// Lines that could not be kept so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.dropped_in_all()
    }

    /// Waits until what was added is on the disk's way, for at most `limit`.
    pub(crate) fn flush(&self, limit: Duration) {
        self.queue.wait_until_written(limit);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The thread's end.
struct Log {
    settings: Settings,
    clock: Clock,
    /// The file being written.
    chunk: Option<Chunk>,
}

/// Behind their number: why lines are missing, and where to look.
pub(super) const DROPPED: &str = "lines dropped: the log could not be written in time; `tandem status` tells of a disk that is nearly full";

struct Chunk {
    number: u64,
    file: File,
    bytes: u64,
}

impl Log {
    fn write_all(&mut self, queue: &Queue) {
        while let Some(Taken { mut lines, dropped }) = queue.take() {
            if dropped > 0 {
                let remark = format!("{dropped} {DROPPED}");
                lines.push_str(&format::write(self.clock.now(), Stream::Tandem, &remark));
            }
            let mut rest = lines.as_str();
            while !rest.is_empty() {
                match self.write_some(rest) {
                    Ok(written) => {
                        rest = &rest[written..];
                        queue.stall(false);
                    }
                    Err(_) if queue.is_closed() => return,
                    Err(_) => {
                        queue.stall(true);
                        queue.pause(TRY_AGAIN);
                    }
                }
            }
        }
    }

    /// Writes as many whole lines as fit into the chunk, one at least.
    fn write_some(&mut self, lines: &str) -> io::Result<usize> {
        self.ensure_room()?;
        let most = self.settings.chunk_bytes;
        let chunk = match self.chunk.take().filter(|chunk| chunk.bytes < most) {
            Some(chunk) => self.chunk.insert(chunk),
            None => {
                let chunk = self.next_chunk()?;
                self.chunk.insert(chunk)
            }
        };
        let room = usize::try_from(most - chunk.bytes.min(most)).unwrap_or(usize::MAX);
        let count = whole_lines(lines, room);
        chunk.append(&lines.as_bytes()[..count])?;
        Ok(count)
    }

    /// Leaves the last quarter of the disk's reserve to others. A disk that cannot be asked decides by itself.
    fn ensure_room(&self) -> io::Result<()> {
        match disk::space(&self.settings.dir) {
            Ok(space) if space.is_below(4) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    /// Goes on with the last chunk where it has room, else begins the next one and deletes the oldest.
    fn next_chunk(&self) -> io::Result<Chunk> {
        let dir = &self.settings.dir;
        let numbers = chunks::list(dir)?;
        let last = numbers.last().copied().unwrap_or(0);
        let mut chunk = Chunk::open(dir, last.max(1))?;
        if chunk.bytes >= self.settings.chunk_bytes {
            chunk = Chunk::open(dir, last + 1)?;
        }
        let before = numbers.iter().filter(|number| **number < chunk.number);
        let kept = self.settings.chunks.max(1) - 1;
        for number in before.clone().take(before.count().saturating_sub(kept)) {
            std::fs::remove_file(chunks::path(dir, *number))?;
        }
        chunk.begin(&format::head(&self.settings.tags))?;
        Ok(chunk)
    }
}

impl Chunk {
    fn open(dir: &std::path::Path, number: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).mode(0o600).open(chunks::path(dir, number))?;
        let bytes = file.seek(SeekFrom::End(0))?;
        Ok(Self { number, file, bytes })
    }

    /// Says whose lines follow. A line that a crash tore is ended first.
    fn begin(&mut self, head: &str) -> io::Result<()> {
        let mut last = [b'\n'];
        if self.bytes > 0 {
            self.file.seek(SeekFrom::Start(self.bytes - 1))?;
            self.file.read_exact(&mut last)?;
        }
        let end = if last == *b"\n" { "" } else { "\n" };
        self.append(format!("{end}{head}").as_bytes())
    }

    /// Writes all of it or nothing: half a line would be read as one.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// Length of the whole lines at the beginning of the text that fit into `room` bytes; one line at least.
fn whole_lines(text: &str, room: usize) -> usize {
    let bytes = text.as_bytes();
    let fits = &bytes[..room.min(bytes.len())];
    let end =
        fits.iter().rposition(|byte| *byte == b'\n').or_else(|| bytes.iter().position(|byte| *byte == b'\n'));
    end.map_or(bytes.len(), |end| end + 1)
}
