//! Moves bytes from socket to socket within the kernel (`splice(2)`): by way of a pipe, which holds pages and not copies of them.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::net::TcpStream;

use crate::upstream::Stream;

/// Bytes that a pipe holds at most. It has a slot for each page or part of one, and files are sent page by page.
const ROOM: usize = 256 * 1024;
/// Most pipes that a thread keeps while they are not used: it needs one, but for clients that take their time.
const MOST_SPARE: usize = 4;
/// Most pipes of a process: each takes two descriptors, which are not counted for its connection, and keeps pages of the
/// kernel's for a client that does not read. What has none is copied.
const MOST: usize = 64;

/// Pipes of this process.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A pipe, and how many bytes are in it.
#[derive(Debug)]
pub(crate) struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    held: usize,
    _counted: Counted,
}

/// One of those of this process; it is one less when this is dropped.
#[derive(Debug)]
struct Counted;

impl Counted {
    fn one_more() -> io::Result<Self> {
        let (before, counted) = (MADE.fetch_add(1, Ordering::Relaxed), Self);
        if before < MOST { Ok(counted) } else { Err(io::ErrorKind::QuotaExceeded.into()) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        MADE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let counted = Counted::one_more()?;
        let (out, into) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // With less room it takes more turns.
        let _ = fcntl_setpipe_size(&into, ROOM);
        Ok(Self { out, into, held: 0, _counted: counted })
    }

    /// Bytes that are in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Takes up to so many bytes of what an instance sent; 0 at its end. To be called when it is empty: one that is full is no
    /// reason to wait for the instance.
    pub(super) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        from: &Stream,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        debug_assert_eq!(self.held, 0, "it is emptied first");
        let filled = from.poll_read_by(context, |socket| {
            Ok(splice(socket, None, &self.into, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
        });
        if let Poll::Ready(Ok(count)) = &filled {
            self.held = *count;
        }
        filled
    }

    /// Gives a client of what it holds; says how much that was.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let count = splice(&self.out, None, to, None, self.held, flags)?;
        self.held -= count;
        if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
    }
}

/// The pipes of a thread that are empty.
#[derive(Debug, Default)]
pub(crate) struct Pipes(RefCell<Vec<Pipe>>);

impl Pipes {
    /// One of them, or a new one.
    ///
    /// # Errors
    /// There are as many as may be, or no descriptors left.
    pub(super) fn take(&self) -> io::Result<Pipe> {
        self.0.borrow_mut().pop().map_or_else(Pipe::new, Ok)
    }

    /// Keeps one for the next. One that holds something is closed: its bytes are nobody else's.
    pub(super) fn give_back(&self, pipe: Pipe) {
        let mut spare = self.0.borrow_mut();
        if pipe.held == 0 && spare.len() < MOST_SPARE {
            spare.push(pipe);
        }
    }
}
