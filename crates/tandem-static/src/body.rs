//! The body of a file: bytes from memory, straight from the kernel's to a socket, or read from the disk piece by piece on a
//! thread that may block.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};
use tandem_kit::http::BoxError;
use tandem_kit::tasks;

/// Bytes read at a time: few enough for many downloads at once, many enough that the change of threads is cheap.
const PIECE: u64 = 128 * 1024;

/// Bytes that a socket is given at a time of what the kernel has in its memory.
const SHARE: u64 = 512 * 1024;

/// How far apart the places are at which is looked whether the kernel has them: it reads ahead by as much.
const STEP: usize = 128 * 1024;

/// A file or a part of one, on its way to a client.
pub struct FileBody {
    left: u64,
    source: Source,
}

enum Source {
    Memory(Bytes),
    Disk { file: Arc<File>, place: u64, reading: Option<Reading> },
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

impl std::fmt::Debug for FileBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileBody({} bytes left)", self.left)
    }
}

impl FileBody {
    /// No bytes.
    pub(super) fn empty() -> Self {
        Self::bytes(Bytes::new())
    }

    /// Bytes from memory.
    pub(super) fn bytes(bytes: Bytes) -> Self {
        Self { left: bytes.len() as u64, source: Source::Memory(bytes) }
    }

    /// A part of a file that has at least that many bytes.
    pub(super) fn file(file: File, start: u64, length: u64) -> Self {
        Self { left: length, source: Source::Disk { file: Arc::new(file), place: start, reading: None } }
    }

    /// Gives a socket that does not block what comes next of a file, without a copy (`sendfile(2)`); says how much it took.
    /// None: it is to be had by [`Self::poll_frame`], since it is over, no file, or not in the kernel's memory: to wait for a
    /// disk here would hold up everybody.
    ///
    /// # Errors
    /// The socket's, `WouldBlock` among them; or the file is shorter than it was.
    pub fn send_to(&mut self, socket: BorrowedFd<'_>) -> io::Result<Option<u64>> {
        let Source::Disk { file, place, reading: None } = &mut self.source else { return Ok(None) };
        let share = self.left.min(SHARE);
        let looks = (0..share).step_by(STEP).chain(share.checked_sub(1));
        if share == 0 || !looks.map(|at| *place + at).all(|at| is_in_memory(file, at)) {
            return Ok(None);
        }
        let count = usize::try_from(share).unwrap_or(usize::MAX);
        let sent = rustix::fs::sendfile(socket, &*file, Some(place), count)? as u64;
        if sent == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= sent;
        Ok(Some(sent))
    }

    /// What is in memory anyway, which goes out with the head.
    pub fn take_memory(&mut self) -> Option<Bytes> {
        let Source::Memory(bytes) = &mut self.source else { return None };
        self.left = 0;
        Some(std::mem::take(bytes))
    }

    /// Bytes that are still to come.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next piece.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = match &mut self.source {
            Source::Memory(bytes) => std::mem::take(bytes),
            Source::Disk { file, place, reading } => {
                let wanted = self.left.min(PIECE);
                let future = reading.get_or_insert_with(|| read(Arc::clone(file), *place, wanted));
                let read = ready!(future.as_mut().poll(context));
                *reading = None;
                match read {
                    Ok(piece) => {
                        *place += piece.len() as u64;
                        piece
                    }
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                }
            }
        };
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(piece)))
    }
}

/// Whether a byte of a file can be read without waiting for a disk.
fn is_in_memory(file: &File, place: u64) -> bool {
    let mut byte = [0];
    let mut into = [io::IoSliceMut::new(&mut byte)];
    preadv2(file, &mut into, place, ReadWriteFlags::NOWAIT) == Ok(1)
}

fn read(file: Arc<File>, place: u64, length: u64) -> Reading {
    Box::pin(tasks::blocking("read a static file", move || {
        let mut piece = vec![0; usize::try_from(length).expect("a piece fits into memory")];
        file.read_exact_at(&mut piece, place)?;
        Ok(Bytes::from(piece))
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_file_goes_to_a_socket_as_far_as_that_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..2_000_000_u32).map(|number| number as u8).collect();
        tandem_kit::files::write_atomic(&path, &content, 0o600).unwrap();
        let mut body = FileBody::file(File::open(&path).unwrap(), 1000, 1_500_000);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (mut all, mut was_full) = (Vec::new(), false);
        loop {
            match body.send_to(ours.as_fd()) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    was_full = true;
                    let _ = theirs.read_to_end(&mut all);
                }
            }
        }
        let _ = theirs.read_to_end(&mut all);
        assert!(was_full && all == content[1000..1_501_000], "{} bytes came", all.len());
        File::create(&path).unwrap();
        let mut body = FileBody::file(File::open(&path).unwrap(), 0, 10);
        assert!(body.send_to(ours.as_fd()).unwrap().is_none(), "the disk says what has become of it");
    }
}
