//! A serving thread's part: accepts at each door, until that closes or the process drains.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tandem_kit::tasks::Kind;
use tokio::net::{TcpListener, TcpStream};

use super::door::Door;
use super::relay::relay;
use crate::thread::Thread;

/// Wait after a failed accept that is our own trouble, and between looks for a free place.
const PAUSE: Duration = Duration::from_millis(50);
/// Most connections that are taken in after the last moment: they are in the kernel's queue, and their clients believe that
/// they are connected.
const BACKLOG: usize = 4096;

/// Serves every door that there is, as they come and go.
pub(crate) async fn serve(thread: Rc<Thread>) {
    let mut doors = thread.shared.doors();
    loop {
        let now = Arc::clone(&doors.borrow_and_update());
        for door in now.iter() {
            for socket in door.take(thread.number()) {
                match TcpListener::from_std(socket) {
                    Ok(listener) => {
                        let accepting = accept(Rc::clone(&thread), Arc::clone(door), listener);
                        thread.tasks().spawn_local("accept-tcp", Kind::Work, accepting);
                    }
                    Err(error) => tracing::error!("cannot listen for TCP: {error}"),
                }
            }
        }
        if doors.changed().await.is_err() {
            return;
        }
    }
}

async fn accept(thread: Rc<Thread>, door: Arc<Door>, listener: TcpListener) {
    let drain = thread.tasks().drain().clone();
    let mut drained = std::pin::pin!(drain.requested());
    let mut closed = std::pin::pin!(door.closed().requested());
    loop {
        tokio::select! {
            biased;
            () = &mut drained => break,
            () = &mut closed => break,
            accepted = listener.accept() => take_in(&thread, &door, accepted).await,
        }
    }
    door.let_go();
    for _ in 0..BACKLOG {
        let Some(accepted) = listener.accept().now_or_never() else { return };
        take_in(&thread, &door, accepted).await;
    }
}

async fn take_in(thread: &Rc<Thread>, door: &Door, accepted: io::Result<(TcpStream, SocketAddr)>) {
    let (stream, peer) = match accepted {
        Ok(accepted) => accepted,
        // The client left before it was accepted.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return,
        Err(error) => {
            tracing::warn!("cannot accept a connection: {error}");
            return tokio::time::sleep(PAUSE).await;
        }
    };
    let admission = loop {
        match thread.shared.admit() {
            Some(admission) => break admission,
            None => tokio::time::sleep(PAUSE).await,
        }
    };
    let relaying = relay(Rc::clone(thread), door.leads(), (stream, peer));
    thread.spawn("tcp-connection", async move {
        relaying.await;
        drop(admission);
    });
}
