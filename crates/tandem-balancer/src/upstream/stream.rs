//! The socket to an instance, TCP or unix.
//!
//! An app may answer before it has read the body and close at once (a refused upload). Our next write then fails while
//! its answer waits to be read; hyper would give the answer up. So a write that fails because the peer closed is
//! swallowed, and so is everything after it: the reading side tells how it ended, with the answer or without.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tandem_types::instance::Address;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Socket,
    /// The peer reads no more.
    deaf: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Connects; how long that may take is the caller's business.
    pub(crate) async fn connect(address: &Address) -> io::Result<Self> {
        let socket = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Socket::Tcp(stream)
            }
            Address::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        };
        Ok(Self { socket, deaf: false })
    }

    /// The number of the descriptor, good while the stream lives.
    pub(crate) fn descriptor(&self) -> RawFd {
        match &self.socket {
            Socket::Tcp(stream) => stream.as_raw_fd(),
            Socket::Unix(stream) => stream.as_raw_fd(),
        }
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream),
            Socket::Unix(stream) => Pin::new(stream),
        }
    }

    fn swallow(&mut self, length: usize, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Err(error)) if closed_by_peer(&error) => {
                self.deaf = true;
                Poll::Ready(Ok(length))
            }
            other => other,
        }
    }
}

fn closed_by_peer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = self.writer().poll_write(context, bytes);
        self.swallow(bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(length));
        }
        let written = self.writer().poll_write_vectored(context, slices);
        self.swallow(length, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_answer_can_be_read_although_the_peer_closed_before_it_read_everything() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let mut stream = Stream::connect(&address).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        stream.write_all(b"head").await.unwrap();
        peer.readable().await.unwrap();
        peer.write_all(b"refused").await.unwrap();
        // Closed with unread bytes: the kernel resets the connection.
        drop(peer);
        for _ in 0..100 {
            stream.write_all(&[0; 1024]).await.unwrap();
        }
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"refused");
    }
}
