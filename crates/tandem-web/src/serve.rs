//! The accept loop: one for the unix socket and one for TCP, a task per connection, all ended by the drain.

use std::io;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tandem_kit::http::peer_uid;
use tandem_kit::tasks::{Kind, Tasks};
use tandem_kit::tcp::notice_dead_peer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::caller::Peer;

/// A connection without a whole request head is closed after this time; above the 10 s for which the client keeps idle
/// connections.
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// Wait after an accept that failed for lack of descriptors, which only time heals.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API until the drain: no new connections then, requests under way are finished, streams end.
/// Returns at once; the work is done by `tasks`.
pub fn serve(router: &Router, unix: UnixListener, tcp: Option<TcpListener>, tasks: &Tasks) {
    let (connections, app) = (tasks.clone(), router.clone());
    tasks.spawn("web-unix", Kind::Component, accept_unix(unix, app, connections));
    if let Some(tcp) = tcp {
        let (connections, app) = (tasks.clone(), router.clone());
        tasks.spawn("web-tcp", Kind::Component, accept_tcp(tcp, app, connections));
    }
}

async fn accept_unix(listener: UnixListener, router: Router, tasks: Tasks) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.drain().requested() => return,
        };
        match accepted.and_then(|(stream, _)| peer_uid(&stream).map(|uid| (stream, uid))) {
            Ok((stream, uid)) => start(&tasks, &router, stream, Peer::Unix { uid }),
            Err(error) => pause(&error).await,
        }
    }
}

async fn accept_tcp(listener: TcpListener, router: Router, tasks: Tasks) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.drain().requested() => return,
        };
        let ready = |stream: TcpStream| {
            stream.set_nodelay(true)?;
            // Whoever watches a quiet command from a laptop that is gone would keep their place for ever.
            notice_dead_peer(&stream)?;
            Ok(stream)
        };
        match accepted.and_then(|(stream, _)| ready(stream)) {
            Ok(stream) => start(&tasks, &router, stream, Peer::Tcp),
            Err(error) => pause(&error).await,
        }
    }
}

/// One connection that broke off early is no reason to stop, too many open files none to spin.
async fn pause(error: &io::Error) {
    tracing::warn!("failed to accept an API connection: {error}");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

fn start<S>(tasks: &Tasks, router: &Router, stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let app = TowerToHyperService::new(router.clone());
    let helpers = tasks.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(helpers.clone());
        app.call(request)
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let connection = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let drain = tasks.drain().clone();
    tasks.spawn("web-connection", Kind::Work, async move {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return tell_end(ended),
            () = drain.requested() => connection.as_mut().graceful_shutdown(),
        }
        tell_end(connection.await);
    });
}

/// Clients leave when they like; that is no event.
fn tell_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!("an API connection ended: {error}");
    }
}
