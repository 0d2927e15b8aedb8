//! A small HTTP server on a unix socket for the tests of the client.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

use super::{Client, Server};
use crate::http::{Body, bind_unix};
use crate::tasks::{Owned, owned};

/// What one request gets. Called anew for each.
pub(super) type Handler = dyn Fn(Request<Incoming>) -> Response<Body> + Send + Sync;

/// The task of each connection, and what it holds while it is open.
type Connections = Arc<Mutex<Vec<(Owned<()>, Weak<()>)>>>;

/// Answers until dropped; all its connections end with it.
pub(super) struct TestServer {
    pub(super) path: PathBuf,
    accepted: Arc<AtomicUsize>,
    connections: Connections,
    _accepting: Owned<()>,
}

impl TestServer {
    pub(super) async fn start(
        path: PathBuf,
        handler: impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let listener = bind_unix(&path, 0o600).await.unwrap();
        let (accepted, connections) = (Arc::<AtomicUsize>::default(), Connections::default());
        let counted = Arc::clone(&accepted);
        let kept = Arc::clone(&connections);
        let _accepting = owned("accept", accept(listener, Arc::new(handler), counted, kept));
        Self { path, accepted, connections, _accepting }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(Server::Unix(self.path.clone()))
    }

    /// How many connections were ever accepted.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits until all connections are closed.
    pub(super) async fn all_closed(&self) {
        let is_open = |connection: &(Owned<()>, Weak<()>)| connection.1.strong_count() > 0;
        while self.connections.lock().unwrap().iter().any(is_open) {
            tokio::task::yield_now().await;
        }
    }

    /// Closes all connections, as a server does that finds them idle for too long.
    pub(super) async fn cut(&self) {
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        let open: Vec<_> = connections.into_iter().map(|(_, open)| open).collect();
        while open.iter().any(|open| open.strong_count() > 0) {
            tokio::task::yield_now().await;
        }
    }
}

async fn accept(
    listener: UnixListener,
    handler: Arc<Handler>,
    accepted: Arc<AtomicUsize>,
    connections: Connections,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        accepted.fetch_add(1, Ordering::SeqCst);
        let handler = Arc::clone(&handler);
        let service = service_fn(move |request| {
            let answer = handler(request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let open = Arc::new(());
        let is_open = Arc::downgrade(&open);
        let connection = owned("serve", async move {
            let _open = open;
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        connections.lock().unwrap().push((connection, is_open));
    }
}
