//! One client connection from its acceptance to its end.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rustls::ServerConfig;
use tokio::net::TcpStream;

use super::activity::{Activity, Order};
use super::client::{Client, Left};
use super::http2;
use super::socket::Socket;
use crate::shared::Admission;
use crate::thread::Thread;

/// Serves a client until it leaves, breaks a limit or the process drains.
///
/// Most connections wait for their next request at any time, so what they take then counts: everything is made before
/// the future, which would hold arguments twice, and what a request needs is in boxes.
pub(crate) fn serve(
    thread: &Rc<Thread>,
    (stream, peer, tls): (TcpStream, SocketAddr, Option<Arc<ServerConfig>>),
    admission: Admission,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let activity = Arc::new(Activity::new(thread.tick().clone()));
    // The socket is closed before the watch over it ends: until then the number means it.
    let descriptor = stream.as_raw_fd();
    let watched = thread.watch_over(Arc::clone(&activity), descriptor);
    let socket = Socket::new(stream, tls, (Arc::clone(&activity), admission))?;
    let mut client = Client::new(Rc::clone(thread), activity, (socket, peer.ip()));
    Ok(async move {
        let left = {
            let activity = Arc::clone(&client.activity);
            let mut running = std::pin::pin!(client.run());
            std::future::poll_fn(|context| match activity.order(context.waker()) {
                Order::Close => Poll::Ready(Left::Cut),
                Order::Finish | Order::GoOn => running.as_mut().poll(context),
            })
            .await
        };
        match left {
            Left::Over => drop(client),
            Left::Cut => Box::pin(client.cut()).await,
            Left::Http2 => Box::pin(http2::serve(client, descriptor)).await,
            Left::Tunnel(switched) => {
                // Limits of requests mean nothing to a tunnel.
                drop(watched);
                return Box::pin(client.into_tunnel(*switched).carry()).await;
            }
        }
        drop(watched);
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tandem_kit::drain;
    use tandem_kit::tasks::Tasks;

    use super::*;
    use crate::serve::WaitLimits;
    use crate::shared::Shared;

    #[tokio::test]
    async fn a_connection_that_waits_takes_little_memory() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new(1, 1, Duration::ZERO));
        let tasks = Tasks::new(drain::channel().1);
        let thread = Thread::new(Arc::clone(&shared), WaitLimits::default(), tasks, (0, 1));
        let stream = TcpStream::connect(address).await.unwrap();
        let serving = serve(&thread, (stream, address, None), shared.admit().unwrap()).unwrap();
        let size = size_of_val(&serving);
        assert!(size <= 320, "{size} bytes: what only a request needs belongs into a box");
    }
}
