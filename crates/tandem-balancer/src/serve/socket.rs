//! A client's socket that writes down what it waits for.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Activity, Peer};
use crate::shared::Admission;

/// A client's socket. It holds the connection's place among all, so that tunnels count too.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    _admission: Admission,
}

impl Socket {
    /// Wraps an accepted connection.
    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>, admission: Admission) -> Self {
        Self { stream, activity, _admission: admission }
    }

    fn note<T>(&self, written: &Poll<io::Result<T>>) {
        self.activity.write_blocked(written.is_pending());
        if matches!(written, Poll::Ready(Ok(_))) {
            self.activity.bytes_written();
        }
    }

    /// Looks at the client's end of a connection without taking anything from it. An end behind bytes that nobody has
    /// read yet is not seen. The number must be that of a socket that is open.
    pub(crate) fn look_at(descriptor: RawFd) -> Peer {
        match recv(descriptor, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
            Ok(0) => Peer::HalfClosed,
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Peer::Open,
            Err(_) => Peer::Gone,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_read();
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
