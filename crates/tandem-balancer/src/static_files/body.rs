//! The body of a file: bytes from memory, or read from the disk piece by piece on a thread that may block.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tandem_kit::http::BoxError;
use tandem_kit::tasks;

/// Bytes read at a time: few enough for many downloads at once, many enough that the change of threads is cheap.
const PIECE: u64 = 128 * 1024;

/// A file or a part of one, on its way to a client.
pub(crate) struct FileBody {
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

    /// Bytes still to come.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// The next piece.
    pub(crate) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
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

fn read(file: Arc<File>, place: u64, length: u64) -> Reading {
    Box::pin(tasks::blocking("read a static file", move || {
        let mut piece = vec![0; usize::try_from(length).expect("a piece fits into memory")];
        file.read_exact_at(&mut piece, place)?;
        Ok(Bytes::from(piece))
    }))
}
