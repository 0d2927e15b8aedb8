//! Apps behind the balancer: real HTTP servers, and raw ones that misbehave on purpose.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tandem_kit::http::{self as bodies, Body};
use tandem_kit::tasks::{self, Owned};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// An app that listens; it and its connections end when this is dropped.
pub(super) struct App {
    pub address: SocketAddr,
    connections: Arc<AtomicU64>,
    _serving: Owned<()>,
}

impl App {
    /// Answers every request by `handler`.
    pub(super) async fn start<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::raw(move |stream| {
            let handler = handler.clone();
            let service = service_fn(move |request| {
                let answered = handler(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            async move {
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                let _ = connection.await;
            }
        })
        .await
    }

    /// Answers every request with this text.
    pub(super) async fn saying(text: &'static str) -> Self {
        Self::start(move |_| async move { Response::new(bodies::full(Bytes::from_static(text.as_bytes()))) })
            .await
    }

    /// Does to every connection what `serve` does.
    pub(super) async fn raw<S, F>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::raw_on("127.0.0.1:0".parse().unwrap(), serve).await
    }

    /// The same on an address.
    pub(super) async fn raw_on<S, F>(address: SocketAddr, serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&connections);
        let accept = async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream));
                while open.try_join_next().is_some() {}
            }
        };
        Self { address, connections, _serving: tasks::owned("app", accept) }
    }

    /// Connections accepted so far.
    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An address on which nobody listens.
pub(super) fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// An answer with a status and no body.
pub(super) fn status(status: u16) -> Response<Body> {
    let mut answer = Response::new(bodies::empty());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// An answer with some text.
pub(super) fn text(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(bodies::full(text))
}
