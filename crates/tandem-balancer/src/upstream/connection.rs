//! One HTTP/1.1 connection to an instance.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv};
use tandem_kit::clock::{Clock, Moment};

use super::Stream;
use crate::serve::Input;
use crate::table::Endpoint;
use tandem_wire::{Arrival, HeadError, ResponseHead, arrival, ensure_answers};

/// Longest wait for a connection. An instance on this host accepts at once or refuses; with a full queue the kernel
/// tries again after one and three seconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Bytes read at a time while a head is waited for: enough for a small answer as a whole.
const HEAD_PIECE: usize = 4 * 1024;
/// The same where the last answer was a long one: the next one is likely to be, and little of it is to be copied.
const SHORT_HEAD_PIECE: usize = 1024;

/// A connection; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Its socket.
    pub stream: Stream,
    /// What came in and was not used.
    pub input: Input,
    /// What it is connected to.
    pub endpoint: Arc<Endpoint>,
    /// Whether it has carried a request before.
    pub reused: bool,
    /// When it was begun to be made, and how long that took.
    pub made: Option<(Moment, Duration)>,
    /// Whether the last answer was one that goes through a pipe.
    pub was_long: bool,
    /// Bytes of a head that were looked at.
    seen: usize,
}

/// Why no head came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoHead {
    /// The instance broke off.
    #[error("the instance broke off")]
    Broken(#[source] io::Error),
    /// What it sent is no answer.
    #[error("the instance sent nonsense")]
    Nonsense(#[from] HeadError),
}

impl Connection {
    /// Asks the kernel whether the instance has closed the connection or said something unasked. The event may not have
    /// been seen by this thread yet; for a request that must not be sent twice one more call is worth it.
    pub(crate) fn is_quiet(&self) -> bool {
        self.input.is_empty()
            && peek(self.descriptor()).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether it can carry a request, as far as this thread has heard.
    pub(crate) fn is_usable(&self) -> bool {
        // What may be there is its end, or something unasked; or the last answer just filled what it was read into.
        self.input.is_empty() && self.stream.has_nothing(peek)
    }

    fn descriptor(&self) -> RawFd {
        self.stream.descriptor()
    }

    /// Reads until the head of an answer is there.
    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<Result<ResponseHead, NoHead>> {
        loop {
            if let Arrival::Whole(length) = arrival(self.input.get(), self.seen)? {
                let head = ResponseHead::parse(&self.input.get()[..length])?;
                self.input.used(length);
                self.seen = 0;
                return Poll::Ready(Ok(head));
            }
            // What can become no answer is not waited for until it is one.
            ensure_answers(self.input.get())?;
            self.seen = self.input.get().len();
            let piece = &mut scratch[..if self.was_long { SHORT_HEAD_PIECE } else { HEAD_PIECE }];
            match self.input.poll_fill(context, &mut self.stream, piece) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(NoHead::Broken(io::ErrorKind::UnexpectedEof.into())));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(NoHead::Broken(error))),
            }
        }
    }
}

/// Looks at what can be read, and takes nothing.
fn peek(descriptor: RawFd) -> io::Result<usize> {
    Ok(recv(descriptor, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?)
}

/// Connects to an instance.
///
/// # Errors
/// Refused, no such socket, or no answer within 5 s.
pub(crate) async fn connect(endpoint: &Arc<Endpoint>) -> io::Result<Connection> {
    let began = Clock::system().monotonic();
    let stream = tokio::time::timeout(CONNECT_LIMIT, Stream::connect(&endpoint.address)).await??;
    let made = Some((began, Clock::system().monotonic().elapsed_since(began)));
    let endpoint = Arc::clone(endpoint);
    Ok(Connection {
        stream,
        input: Input::default(),
        endpoint,
        reused: false,
        made,
        was_long: false,
        seen: 0,
    })
}

/// Whether a failed connection speaks against the instance rather than against this process (no files, no ports).
pub(crate) fn is_its_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, TimedOut};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | NotFound | TimedOut)
}

#[cfg(test)]
mod tests {
    use tandem_types::InstanceId;
    use tandem_types::instance::Address;

    use super::*;

    #[tokio::test]
    async fn a_closed_connection_is_seen_before_its_event_is() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let endpoint = Arc::new(Endpoint { id: InstanceId(1), address });
        let connection = connect(&endpoint).await.unwrap();
        assert!(connection.is_quiet() && connection.is_usable());
        drop(listener.accept().unwrap());
        // Nothing is awaited in between: no event can have come through.
        assert!(!connection.is_quiet());
        tokio::task::yield_now().await;
        assert!(!connection.is_usable());
    }
}
