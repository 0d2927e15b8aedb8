//! A client's socket that writes down what it waits for.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use rustix::net::{SendFlags, send};
use rustls::ServerConfig;
use tandem_static::FileBody;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::http2;
use super::output::Output;
use super::pipe::Pipe;
use super::tls::TlsStream;
use super::{Activity, Peer};
use crate::shared::Admission;

/// A client's socket. It holds the connection's place among all, so that tunnels count too.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    activity: Arc<Activity>,
    /// A stream has that of its connection.
    _admission: Option<Admission>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    /// In a box: most of it is the session's.
    Tls(Box<TlsStream>),
    /// One of many of a connection, and what that speaks.
    Http2(http2::Stream, &'static str),
}

impl Socket {
    /// Wraps an accepted connection, over which TLS is spoken in this way, or HTTP at once.
    ///
    /// # Errors
    /// The configuration of TLS is of no use.
    pub(crate) fn new(
        stream: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        (activity, admission): (Arc<Activity>, Admission),
    ) -> io::Result<Self> {
        let stream = match tls {
            Some(config) => Stream::Tls(Box::new(TlsStream::new(stream, config)?)),
            None => Stream::Plain(stream),
        };
        Ok(Self { stream, activity, _admission: Some(admission) })
    }

    /// What stands in for the socket of one request where HTTP/2 is spoken.
    pub(super) fn of_stream(stream: http2::Stream, scheme: &'static str, activity: Arc<Activity>) -> Self {
        Self { stream: Stream::Http2(stream, scheme), activity, _admission: None }
    }

    /// Whether it is a stream of HTTP/2: what comes from there is the bare body of its request.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self.stream, Stream::Http2(..))
    }

    /// The stream of HTTP/2 that it stands for.
    pub(super) fn stream(&self) -> Option<&http2::Stream> {
        match &self.stream {
            Stream::Http2(stream, _) => Some(stream),
            Stream::Plain(_) | Stream::Tls(_) => None,
        }
    }

    /// Whether the client has chosen HTTP/2 while it shook hands.
    pub(super) fn is_http2(&self) -> bool {
        matches!(&self.stream, Stream::Tls(stream) if stream.protocol() == Some(b"h2"))
    }

    /// Shakes hands where TLS is spoken.
    pub(super) fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(_) | Stream::Http2(..) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => stream.poll_handshake(context),
        }
    }

    /// What it lies on; nothing of its own for one of many requests.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Plain(stream) => Some(stream),
            Stream::Tls(stream) => Some(stream.tcp()),
            Stream::Http2(..) => None,
        }
    }

    /// Whether an authority looked at the certificate, and nothing else comes.
    pub(super) fn is_validation(&self) -> bool {
        matches!(&self.stream, Stream::Tls(stream) if stream.is_validation())
    }

    /// `http` or `https`.
    pub(super) fn scheme(&self) -> &'static str {
        match &self.stream {
            Stream::Plain(_) => "http",
            Stream::Tls(_) => "https",
            Stream::Http2(_, scheme) => scheme,
        }
    }

    /// Gives the socket what comes next of a file without a copy; says how much it took. None: the file is to be read.
    pub(super) fn poll_send_file(
        &mut self,
        context: &mut Context<'_>,
        body: &mut FileBody,
    ) -> Poll<io::Result<Option<u64>>> {
        let Stream::Plain(_) = &self.stream else { return Poll::Ready(Ok(None)) };
        self.poll_write_by(context, |stream| body.send_to(stream.as_fd()))
    }

    /// Whether bytes go out as they are.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.stream, Stream::Plain(_))
    }

    /// Sends what waits, with word that more comes at once; for one that is plain.
    pub(super) fn poll_send_ahead(
        &mut self,
        context: &mut Context<'_>,
        output: &mut Output,
    ) -> Poll<io::Result<()>> {
        while !output.is_empty() {
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            let sent = self.poll_write_by(context, |stream| Ok(send(stream, output.get(), flags)?));
            output.taken(ready!(sent)?)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what a pipe holds, as far as it goes at once; for one that is plain.
    pub(super) fn poll_drain(&mut self, context: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<()>> {
        self.poll_write_by(context, |stream| pipe.drain(stream).map(|_| ()))
    }

    /// Writes in a way of its own.
    fn poll_write_by<T>(
        &mut self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let Stream::Plain(stream) = &self.stream else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        let written = loop {
            if stream.poll_write_ready(context)?.is_pending() {
                break Poll::Pending;
            }
            match stream.try_io(Interest::WRITABLE, || write(stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => break Poll::Ready(written),
            }
        };
        self.note(&written);
        written
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
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
            Stream::Http2(stream, _) => Pin::new(stream).poll_read(context, buffer),
        };
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
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
            Stream::Http2(stream, _) => Pin::new(stream).poll_write(context, bytes),
        };
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(context, slices),
            Stream::Http2(stream, _) => Pin::new(stream).poll_write_vectored(context, slices),
        };
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
            Stream::Http2(stream, _) => Pin::new(stream).poll_flush(context),
        };
        // What was encrypted, or waits for a window, was taken and is not gone: a client that reads nothing is seen here alone.
        self.activity.write_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
            Stream::Http2(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
