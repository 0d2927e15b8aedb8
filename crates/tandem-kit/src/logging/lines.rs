//! Standard error as a place for log lines that nobody ever waits for, and a log file that rotates itself.
//!
//! A process whose parent may die before it cannot have its lines carried away through a pipe, so its parent gives it
//! a file as standard error, and it rotates that file itself: everything moves one number up, a new file takes the
//! name and the place of standard output and error, so that panics and whatever else is printed follow. All of that is
//! done between two lines, so none is lost; a crash in between leaves a gap in the numbers, which the next rotation
//! closes. Where standard error is anything else (a terminal, a service manager's socket), nothing is rotated.
//!
//! A line that cannot be written at once, since the disk is full or nobody reads, is dropped and counted; the next one
//! that can be written says how many were.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing_subscriber::fmt::MakeWriter;

/// Length in bytes from which a file is put aside.
const LONGEST: u64 = 10 * 1024 * 1024;
/// Files that are kept, the current one among them.
const FILES: u32 = 5;
/// Bytes after which it is looked how long the file is, and whether it still has its name.
const LOOK_EVERY: u64 = 64 * 1024;
/// What a pipe that takes anything at all takes without a wait.
const PIPE_PAGE: usize = 4096;

/// Where lines go. Shared by all threads.
#[derive(Debug)]
pub(super) struct Lines(Mutex<Sink>);

#[derive(Debug)]
struct Sink {
    out: File,
    /// Set where `out` is a file that may be rotated.
    rotation: Option<Rotation>,
    /// Whether writing may mean waiting for a reader.
    waits: bool,
    /// Lines lost since the last one that was written.
    dropped: u64,
    /// Whether the last thing written is a part of a line.
    torn: bool,
}

#[derive(Debug)]
struct Rotation {
    path: PathBuf,
    longest: u64,
    look_every: u64,
    /// Bytes written since the last look.
    written: u64,
    streams: Streams,
}

/// Which of the process's own streams lead to the file.
#[derive(Debug, Clone, Copy, Default)]
struct Streams {
    stdout: bool,
    stderr: bool,
}

impl Lines {
    /// Lines for standard error, which is rotated if it is the file `own`.
    ///
    /// # Errors
    /// There is no standard error.
    pub(super) fn stderr(own: &Path) -> io::Result<Self> {
        let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let streams = Streams { stdout: is_named(io::stdout().as_fd(), own)?, stderr: true };
        let rotation = is_named(out.as_fd(), own)?.then(|| Rotation {
            path: own.to_owned(),
            longest: LONGEST,
            look_every: LOOK_EVERY,
            written: LOOK_EVERY,
            streams,
        });
        Self::to(out, rotation)
    }

    fn to(out: File, rotation: Option<Rotation>) -> io::Result<Self> {
        let waits = !out.metadata()?.is_file();
        Ok(Self(Mutex::new(Sink { out, rotation, waits, dropped: 0, torn: false })))
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        // A panic between two writes leaves nothing half done that matters.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a stream leads to the regular file of that name.
fn is_named(stream: BorrowedFd<'_>, path: &Path) -> io::Result<bool> {
    let ours = File::from(stream.try_clone_to_owned()?).metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok(named.is_file() && (named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Lines {
    /// Takes a whole line; never fails, see the module's head.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.sink().line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn line(&mut self, line: &[u8]) {
        let mut text = Vec::new();
        if self.torn {
            text.push(b'\n');
        }
        if self.dropped > 0 {
            let note =
                format!("{} log lines were lost here: the disk was full or nobody read\n", self.dropped);
            text.extend_from_slice(note.as_bytes());
        }
        text.extend_from_slice(line);
        let mut written = 0;
        match self.write_at_once(&text, &mut written) {
            Ok(()) => (self.dropped, self.torn) = (0, false),
            Err(_) => {
                self.dropped += 1;
                self.torn |= written > 0;
            }
        }
        self.look_after(written as u64);
    }

    /// Writes what can be written without a wait; `written` grows by that.
    fn write_at_once(&mut self, text: &[u8], written: &mut usize) -> io::Result<()> {
        while *written < text.len() {
            let rest = &text[*written..];
            let part = if self.waits { &rest[..rest.len().min(PIPE_PAGE)] } else { rest };
            if self.waits && !takes_more(self.out.as_fd())? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            match self.out.write(part) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => *written += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks after the file when it has grown by so much that it is worth a look.
    fn look_after(&mut self, written: u64) {
        let Some(rotation) = &mut self.rotation else { return };
        rotation.written += written;
        if rotation.written < rotation.look_every {
            return;
        }
        rotation.written = 0;
        match rotation.next_file(&self.out) {
            Ok(None) => {}
            Ok(Some(file)) => self.out = file,
            Err(error) => {
                // The next look tries again. Where even this cannot be written there is nobody to tell.
                let note = format!("the log {} cannot be rotated: {error}\n", rotation.path.display());
                let _ = self.write_at_once(note.as_bytes(), &mut 0);
            }
        }
    }
}

impl Rotation {
    /// The file to write to from now on. None: the one that is written to.
    fn next_file(&self, out: &File) -> io::Result<Option<File>> {
        // Somebody may have moved or removed it: whoever opens the name must find what is written.
        if is_named(out.as_fd(), &self.path)? {
            if out.metadata()?.len() < self.longest {
                return Ok(None);
            }
            for number in (1..FILES).rev() {
                match fs::rename(self.numbered(number - 1), self.numbered(number)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        if self.streams.stdout {
            nix::unistd::dup2_stdout(&file)?;
        }
        if self.streams.stderr {
            nix::unistd::dup2_stderr(&file)?;
        }
        Ok(Some(file))
    }

    /// `balancer.log`, `balancer.log.1`, …: the higher, the older.
    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

fn takes_more(out: BorrowedFd<'_>) -> io::Result<bool> {
    let mut polled = [PollFd::new(out, PollFlags::POLLOUT)];
    poll(&mut polled, PollTimeout::ZERO)?;
    Ok(polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLOUT)))
}

#[cfg(test)]
mod tests;
