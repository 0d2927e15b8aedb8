//! The two output pipes of a command.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{ChildStderr, ChildStdout};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tandem_types::defaults::LOG_LINE_BYTES;
use tandem_types::event::Stream;

use super::lines::Lines;

/// What a pipe of the kernel holds: one read empties it.
const PIPE_BYTES: usize = 64 * 1024;
/// Reads of one pipe in one go; then the others get their turn.
const READS_IN_A_ROW: usize = 8;

/// Rounds of reads when the command is over: more than any pipe holds.
const LAST_READS: usize = 64;

/// Takes the lines of a command.
pub(crate) type OnLine<'a> = &'a mut dyn FnMut(Stream, &str);

/// Both pipes; each ends by itself.
#[derive(Debug)]
pub(super) struct Output {
    pipes: Vec<Pipe>,
    buffer: Vec<u8>,
    bytes: u64,
    /// What was read, as it came, where somebody wants it so.
    raw: Option<Vec<Piece>>,
    /// Whether nothing is read for now.
    held: bool,
}

/// Bytes of one read.
pub(crate) type Piece = (Stream, Vec<u8>);

#[derive(Debug)]
struct Pipe {
    stream: Stream,
    file: std::fs::File,
    lines: Lines,
}

impl Output {
    pub(super) fn new(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>) -> io::Result<Self> {
        let mut pipes = Vec::new();
        let ends = [(Stream::Stdout, stdout.map(OwnedFd::from)), (Stream::Stderr, stderr.map(OwnedFd::from))];
        for (stream, end) in ends {
            let Some(end) = end else { continue };
            fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            pipes.push(Pipe { stream, file: end.into(), lines: Lines::new(LOG_LINE_BYTES) });
        }
        Ok(Self { pipes, buffer: vec![0; PIPE_BYTES], bytes: 0, raw: None, held: false })
    }

    /// Keeps what is read as it comes, for [`Output::take_raw`]. All that a command with a terminal writes comes from there.
    pub(super) fn keep_raw(&mut self, terminal: Option<OwnedFd>) {
        self.raw = Some(Vec::new());
        if let Some(terminal) = terminal {
            let lines = Lines::new(LOG_LINE_BYTES);
            self.pipes.push(Pipe { stream: Stream::Stdout, file: terminal.into(), lines });
        }
    }

    /// What was read since the last call.
    pub(super) fn take_raw(&mut self) -> Vec<Piece> {
        self.raw.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Leaves what comes in the pipes, so that the command has to wait, or goes on reading.
    pub(super) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Bytes that were read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pipes.iter().filter(|_| !self.held).map(|pipe| pipe.file.as_fd())
    }

    /// Takes what is there, without waiting. Pipes that have ended are closed. True where more may be there.
    pub(super) fn read(&mut self, on_line: OnLine<'_>) -> bool {
        if self.held {
            return false;
        }
        let Self { pipes, buffer, bytes, raw, .. } = self;
        let mut more = false;
        pipes.retain_mut(|pipe| match pipe.read(buffer, (bytes, raw), on_line) {
            Read::Ended => false,
            Read::Empty => true,
            Read::More => {
                more = true;
                true
            }
        });
        more
    }

    /// Takes what is there now to the last byte, and hands out lines without an end. For when all writers are dead.
    pub(super) fn finish(&mut self, on_line: OnLine<'_>) {
        self.held = false;
        // Bounded, should a process have escaped that never stops writing.
        let _ = (0..LAST_READS).find(|_| !self.read(on_line));
        for mut pipe in self.pipes.drain(..) {
            pipe.lines.finish(&mut |line| on_line(pipe.stream, line));
        }
    }
}

enum Read {
    More,
    Empty,
    Ended,
}

impl Pipe {
    fn read(
        &mut self,
        buffer: &mut [u8],
        (bytes, raw): (&mut u64, &mut Option<Vec<Piece>>),
        on_line: OnLine<'_>,
    ) -> Read {
        let stream = self.stream;
        for _ in 0..READS_IN_A_ROW {
            match self.file.read(buffer) {
                Ok(0) => {
                    self.lines.finish(&mut |line| on_line(stream, line));
                    return Read::Ended;
                }
                Ok(count) => {
                    *bytes += count as u64;
                    if let Some(raw) = raw {
                        raw.push((stream, buffer[..count].to_vec()));
                    }
                    self.lines.push(&buffer[..count], &mut |line| on_line(stream, line));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Read::Empty,
                // So a terminal says that nobody has it open any more.
                Err(_) => {
                    self.lines.finish(&mut |line| on_line(stream, line));
                    return Read::Ended;
                }
            }
        }
        Read::More
    }
}
