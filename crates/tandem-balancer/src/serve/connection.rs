//! One client connection from its acceptance to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::activity::{Activity, Order};
use super::request::Client;
use super::socket::Socket;
use crate::shared::Admission;
use crate::thread::Thread;

/// Longest head of a request in bytes; 431 beyond.
const LONGEST_HEAD: usize = 64 * 1024;

/// Serves a client until it leaves, breaks a limit or the process drains.
pub(crate) async fn serve(thread: Rc<Thread>, (stream, peer): (TcpStream, SocketAddr), admission: Admission) {
    let activity = Arc::new(Activity::new(thread.tick().clone()));
    // The socket is closed before the watch over it ends: until then the number means it.
    let _watched = thread.watch_over(Arc::clone(&activity), stream.as_raw_fd());
    let socket = Socket::new(stream, Arc::clone(&activity), admission);
    let client = Rc::new(Client::new(thread, Arc::clone(&activity), peer.ip()));
    let service = service_fn(move |request| {
        let client = Rc::clone(&client);
        async move { Ok::<_, Infallible>(client.answer(request).await) }
    });
    // hyper's own limit for heads would also end idle connections and costs a timer per request; see `Activity`.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        // Otherwise a client that says it sends no more never gets its answer. Who has left is found out at the ticks.
        .half_close(true)
        .max_header_size(LONGEST_HEAD)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut finishing = false;
    std::future::poll_fn(|context| {
        match activity.order(context.waker()) {
            Order::Close => return Poll::Ready(()),
            Order::Finish if !finishing => {
                finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            Order::Finish | Order::GoOn => {}
        }
        // A client that breaks off or speaks nonsense has been told by hyper as far as possible.
        connection.as_mut().poll(context).map(drop)
    })
    .await;
}
