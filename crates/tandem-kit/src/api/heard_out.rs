//! A connection whose server may answer before it has taken everything, and close.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Goes on reading where nothing can be written any more.
///
/// A server that refuses a long body answers while it still comes, and closes. The next write fails then, and hyper gives
/// everything up, the answer that has arrived included. Here such a write counts as done: what comes next is the answer, or
/// the end of the connection, which is told as ever.
pub(super) struct HeardOut<I> {
    io: I,
    is_deaf: bool,
}

impl<I> HeardOut<I> {
    pub(super) fn new(io: I) -> Self {
        Self { io, is_deaf: false }
    }

    /// What a write of so many bytes came to.
    fn heard<T>(&mut self, written: Poll<io::Result<T>>, all: T) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match written {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                self.is_deaf = true;
                Poll::Ready(Ok(all))
            }
            written => written,
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for HeardOut<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for HeardOut<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.heard(written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.heard(flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(context);
        self.heard(shut, ())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = pieces.iter().map(|piece| piece.len()).sum();
        if self.is_deaf {
            return Poll::Ready(Ok(all));
        }
        let written = Pin::new(&mut self.io).poll_write_vectored(context, pieces);
        self.heard(written, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
