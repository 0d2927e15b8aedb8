//! A log as it grows.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::{Line, Position, chunks, format};

/// Read in one go; then the lines are handed out.
const READ_BYTES: u64 = 64 * 1024;

/// Yields the lines behind a position as they are written.
#[derive(Debug)]
pub struct Follow {
    dir: PathBuf,
    events: pipe::Receiver,
    position: Position,
    /// The chunk of `position`, once it is there.
    file: Option<File>,
    /// A line without its end.
    partial: Vec<u8>,
    lines: VecDeque<Line>,
    gone: bool,
}

impl Follow {
    /// Follows the log in the folder, which must exist, from behind the position. Must be called inside a runtime.
    ///
    /// # Errors
    /// Fails where the folder cannot be watched.
    pub fn new(dir: &Path, position: Position) -> io::Result<Self> {
        let watch = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let wanted = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        watch.add_watch(dir, wanted)?;
        let mut follow = Self {
            dir: dir.to_owned(),
            // Not a pipe, but read like one: the safe way to have the runtime wait for a descriptor.
            events: pipe::Receiver::from_owned_fd_unchecked(watch.into())?,
            position,
            file: None,
            partial: Vec::new(),
            lines: VecDeque::new(),
            gone: false,
        };
        // Now, so that a log that is folded before it is read is read to its end.
        follow.open_chunk(position)?;
        Ok(follow)
    }

    /// The next line; waits for it. None once the folder is gone. May be dropped and called again without loss.
    ///
    /// # Errors
    /// Fails where a chunk cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            if self.read_more()? {
                continue;
            }
            if self.gone {
                return Ok(None);
            }
            self.wait().await?;
        }
    }

    /// Whether there was anything to read.
    fn read_more(&mut self) -> io::Result<bool> {
        if self.file.is_none() && !self.open_chunk(self.position)? {
            return Ok(false);
        }
        // Looked for before the read: a chunk is whole once there is a later one.
        let later = chunks::list(&self.dir)?.into_iter().find(|number| *number > self.position.chunk);
        let count = self.read_chunk()?;
        if count > 0 {
            return Ok(true);
        }
        match later {
            Some(chunk) => {
                self.partial.clear();
                self.open_chunk(Position { chunk, offset: 0 })
            }
            None => {
                // An open file keeps its folder in the kernel, which then does not tell that the folder was removed.
                if !chunks::path(&self.dir, self.position.chunk).exists() {
                    self.file = None;
                }
                Ok(false)
            }
        }
    }

    /// Opens the chunk of a position, or the oldest one behind it where the writer has deleted that one.
    fn open_chunk(&mut self, position: Position) -> io::Result<bool> {
        let next = chunks::list(&self.dir)?.into_iter().find(|number| *number >= position.chunk);
        let Some(chunk) = next else { return Ok(false) };
        let offset = if chunk == position.chunk { position.offset } else { 0 };
        let mut file = match File::open(chunks::path(&self.dir, chunk)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            file => file?,
        };
        file.seek(SeekFrom::Start(offset))?;
        self.position = Position { chunk, offset };
        self.file = Some(file);
        Ok(true)
    }

    fn read_chunk(&mut self) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        let count = file.take(READ_BYTES).read_to_end(&mut self.partial)?;
        self.position.offset += count as u64;
        let whole = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = self.partial[..whole].split(|byte| *byte == b'\n');
        self.lines.extend(lines.filter_map(format::read));
        self.partial.drain(..whole);
        Ok(count)
    }

    async fn wait(&mut self) -> io::Result<()> {
        // Room for some events with the longest names.
        let mut buffer = [0; 4096];
        let count = self.events.read(&mut buffer).await?;
        let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        self.gone |= masks(&buffer[..count]).any(|mask| mask.intersects(gone));
        Ok(())
    }
}

/// What happened, of each event that was read: see inotify(7) for their form.
fn masks(mut events: &[u8]) -> impl Iterator<Item = AddWatchFlags> {
    std::iter::from_fn(move || {
        let (head, rest) = events.split_first_chunk::<16>()?;
        let word = |at: usize| head[at..at + 4].try_into().map(u32::from_ne_bytes);
        let (mask, name_bytes) = (word(4).ok()?, word(12).ok()?);
        events = rest.get(name_bytes as usize..)?;
        Some(AddWatchFlags::from_bits_truncate(mask))
    })
}
