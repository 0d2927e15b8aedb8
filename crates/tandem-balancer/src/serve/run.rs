//! The serving threads: each has a runtime of its own, listens, and shares nothing but the table and counters.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustls::ServerConfig;
use tandem_kit::drain::Drain;
use tandem_kit::tasks::{Kind, Tasks};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{oneshot, watch};

use super::listen::BACKLOG;
use super::{WaitLimits, connection};
use crate::alone;
use crate::shared::Shared;
use crate::thread::Thread;

/// Wait after a failed accept that is our own trouble (no more files): trying again at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the threads are started with.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    /// Table and counters.
    pub shared: Arc<Shared>,
    /// Limits of client connections.
    pub limits: WaitLimits,
    /// Ends the threads.
    pub drain: Drain,
    /// Connections are accepted once this is true; until then they wait in the kernel's queue.
    pub open: watch::Receiver<bool>,
}

/// Starts one thread per set of listeners. The receivers yield when a thread has ended: an error where it could not
/// start or broke down.
pub(crate) fn start_threads(
    serving: &Serving,
    listeners: Vec<Vec<TcpListener>>,
) -> io::Result<Vec<oneshot::Receiver<io::Result<()>>>> {
    let started = listeners.into_iter().enumerate().map(|(number, listeners)| {
        let serving = serving.clone();
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
            // The receiver may be gone when the process ends otherwise.
            let _ = ended.send(run_thread(&serving, number, listeners));
        })?;
        Ok(end)
    });
    started.collect()
}

fn run_thread(serving: &Serving, number: usize, listeners: Vec<TcpListener>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let seed = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let tasks = Tasks::new(serving.drain.clone());
    let thread = Thread::new(Arc::clone(&serving.shared), serving.limits.clone(), tasks, (number, seed));
    let served = runtime.block_on(serve(serving, &thread, listeners));
    thread.end();
    served
}

async fn serve(serving: &Serving, thread: &Rc<Thread>, listeners: Vec<TcpListener>) -> io::Result<()> {
    let ticks = Rc::clone(thread).run_ticks();
    tokio::select! {
        never = ticks => never,
        ended = serve_until_drained(serving, thread, listeners) => ended,
    }
}

async fn serve_until_drained(
    serving: &Serving,
    thread: &Rc<Thread>,
    listeners: Vec<TcpListener>,
) -> io::Result<()> {
    let tasks = thread.tasks();
    tasks.spawn_local("look-at-swaps", Kind::Helper, look_at_swaps(Rc::clone(thread)));
    tasks.spawn_local("tcp", Kind::Helper, alone::tcp::serve(Rc::clone(thread)));
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let open = serving.open.clone();
        tasks.spawn_local("accept", Kind::Component, accept(Rc::clone(thread), listener, open));
    }
    serving.drain.requested().await;
    let limit = serving.shared.drain_rest();
    thread.finish_connections();
    thread.pool.clear();
    let cut_off = tasks.join(limit).await;
    if !cut_off.is_empty() {
        let limit = serving.shared.drain_limit();
        tracing::warn!("requests were still open after {limit:?} and are cut off");
    }
    Ok(())
}

/// Instances may leave with each table, and all of them with the listening sockets.
async fn look_at_swaps(thread: Rc<Thread>) {
    let (mut swaps, mut leaving) = (thread.shared.swaps(), thread.shared.leaving());
    loop {
        tokio::select! {
            Ok(()) = swaps.changed() => thread.pool.sweep(thread.now()),
            Ok(()) = leaving.changed() => {}
            else => return,
        }
        thread.wake_busy();
    }
}

/// Accepts until another process does so on the very same socket, or nobody: then takes in what the kernel has accepted
/// already, since those clients believe that they are connected.
async fn accept(thread: Rc<Thread>, listener: tokio::net::TcpListener, mut open: watch::Receiver<bool>) {
    let drain = thread.tasks().drain().clone();
    let _accepting = thread.shared.accepting();
    tokio::select! {
        // An error means that whoever opens is gone; then the process drains.
        _ = open.wait_for(|open| *open) => {}
        () = drain.requested() => return,
    }
    let tls = listener.local_addr().ok().and_then(|address| thread.shared.tls_at(address));
    let mut drained = std::pin::pin!(drain.requested());
    let mut taken = std::pin::pin!(until_left(&thread, listener.local_addr().ok()));
    loop {
        tokio::select! {
            biased;
            () = &mut drained => break,
            taken = &mut taken => if taken { return } else { break },
            accepted = listener.accept() => take_in(&thread, accepted, tls.as_ref()).await,
        }
    }
    for _ in 0..BACKLOG {
        let Some(accepted) = listener.accept().now_or_never() else { return };
        take_in(&thread, accepted, tls.as_ref()).await;
    }
}

/// Waits until the listening sockets are handed over; says whether this one was taken.
async fn until_left(thread: &Thread, address: Option<SocketAddr>) -> bool {
    let mut leaving = thread.shared.leaving();
    let left = leaving.wait_for(Option::is_some).await;
    let left = left.ok().and_then(|leave| leave.clone());
    left.zip(address).is_some_and(|(leave, address)| leave.is_taken(address))
}

async fn take_in(
    thread: &Rc<Thread>,
    accepted: io::Result<(tokio::net::TcpStream, SocketAddr)>,
    tls: Option<&Arc<ServerConfig>>,
) {
    let (stream, peer) = match accepted {
        Ok(accepted) => accepted,
        // The client left before it was accepted.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return,
        Err(error) => {
            tracing::warn!("cannot accept a connection: {error}");
            return tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    };
    let mut is_asked = false;
    let admission = loop {
        match thread.shared.admit() {
            Some(admission) => break admission,
            // Full: who has waited longest for a next request makes room, which by HTTP/2 takes a while.
            None if !is_asked && thread.close_idle() => {
                is_asked = true;
                tokio::task::yield_now().await;
            }
            // Others wait in the kernel's queue until somebody leaves.
            None => {
                is_asked = false;
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    };
    // In a box of its own: a future that is handed on by value is there once for each hand.
    match connection::serve(thread, (stream, peer, tls.map(Arc::clone)), admission) {
        Ok(serving) => drop(thread.spawn("client-connection", Box::pin(serving))),
        Err(error) => tracing::warn!("cannot speak TLS: {error}"),
    }
}
