//! One HTTP/1.1 connection to an instance.

use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use tokio::task::AbortHandle;

use super::{RequestBody, Stream};
use crate::table::Endpoint;
use crate::thread::Thread;

/// Longest wait for a connection. An instance on this host accepts at once or refuses; with a full queue the kernel
/// tries again after one and three seconds.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A connection and the task that drives it; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Takes one request after the other.
    pub sender: SendRequest<RequestBody>,
    /// What it is connected to.
    pub endpoint: Arc<Endpoint>,
    /// Whether it has carried a request before.
    pub reused: bool,
    descriptor: RawFd,
    driver: Option<AbortHandle>,
}

impl Connection {
    /// Asks the kernel whether the instance has closed the connection or said something unasked. The event may not have
    /// been seen by this thread yet; for a request that must not be sent twice one more call is worth it.
    pub(crate) fn is_quiet(&self) -> bool {
        // While the sender is open the driver holds the socket, so the number means this very socket.
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        !self.sender.is_closed() && recv(self.descriptor, &mut [0], flags) == Err(Errno::EAGAIN)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// Connects to an instance.
///
/// # Errors
/// Refused, no such socket, or no answer within 5 s.
pub(crate) async fn connect(thread: &Rc<Thread>, endpoint: &Arc<Endpoint>) -> io::Result<Connection> {
    let stream = tokio::time::timeout(CONNECT_LIMIT, Stream::connect(&endpoint.address)).await??;
    let descriptor = stream.descriptor();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let driver = thread.spawn("upstream-connection", async move {
        // Whoever waits for an answer is told of an error by hyper; an idle connection may end as it likes.
        let _ = connection.with_upgrades().await;
    });
    Ok(Connection { sender, endpoint: Arc::clone(endpoint), reused: false, descriptor, driver })
}

/// Whether a failed connection speaks against the instance rather than against this process (no files, no ports).
pub(crate) fn is_its_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, TimedOut};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | NotFound | TimedOut)
}

#[cfg(test)]
mod tests {
    use tandem_kit::drain;
    use tandem_kit::tasks::Tasks;
    use tandem_types::InstanceId;
    use tandem_types::instance::Address;
    use tokio::task::LocalSet;

    use super::*;
    use crate::serve::Limits;
    use crate::shared::Shared;

    #[tokio::test]
    async fn a_closed_connection_is_seen_before_its_driver_has_seen_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let endpoint = Arc::new(Endpoint { id: InstanceId(1), address });
        let tasks = Tasks::new(drain::channel().1);
        let shared = Arc::new(Shared::new(1, 1, Duration::ZERO));
        let thread = Thread::new(shared, Limits::default(), tasks, (0, 1));
        let local = LocalSet::new();
        let connection = local.run_until(async { connect(&thread, &endpoint).await.unwrap() }).await;
        assert!(connection.is_quiet());
        drop(listener.accept().unwrap());
        // Nothing is awaited in between: no event can have come through.
        assert!(!connection.is_quiet());
    }
}
