//! The address at which figures are read: few connections at a time, each for one answer and a short while.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tandem_kit::http::{Body, full};
use tandem_kit::tasks::{self, Kind, Tasks};
use tandem_record::Totals;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, sleep, timeout};

use super::figures::Figures;
use super::text::Format;
use crate::serve::ListenError;
use crate::shared::Shared;

/// Connections at a time. Two that collect figures, people who look, and some that hang; others wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 8;
/// Time that a connection has for everything: as long as Prometheus waits by default.
const LIMIT: Duration = Duration::from_secs(10);
/// Time between two times that sums are added up.
const COLLECT_EVERY: Duration = Duration::from_secs(1);
/// How many of these lie between two times that releases are forgotten.
const FORGET_EVERY: u32 = 60;
/// After this time a release that is served no more is forgotten: long after its last figures were read.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Wait between two tries to have the address while the process before lets go of it.
const SOON: Duration = Duration::from_millis(20);
/// How many of these tries there are: ten seconds.
const SOON_TRIES: u32 = 500;
/// Wait between two tries after those, and after an accept that failed for lack of descriptors.
const LATER: Duration = Duration::from_secs(5);
/// Who opens the address in a browser.
const HINT: &str = "<!doctype html><title>Tandem</title><a href=\"/metrics\">Metrics</a> of this balancer\n";

/// Where figures come from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    shared: Arc<Shared>,
    totals: Arc<Totals>,
}

impl Sources {
    /// Sums are kept from now on: to be had before anything is served.
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self { totals: shared.records.keep_totals(), shared: Arc::clone(shared) }
    }

    fn page(&self, format: Format) -> String {
        Figures::of(&self.shared, self.totals.read()).page(format)
    }

    /// Adds up what threads put aside, and forgets what is gone, for ever.
    async fn collect<T>(&self) -> T {
        let mut ticks = tokio::time::interval(COLLECT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for _ in 0..FORGET_EVERY {
                ticks.tick().await;
                self.totals.collect();
            }
            let live = Arc::clone(&self.shared.live());
            self.totals.forget(FORGET_AFTER, |served| live.routes().any(|route| **route.served() == *served));
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    /// None: the process before has it still.
    listener: Option<TcpListener>,
}

impl Endpoint {
    /// Takes an address, if one is wanted. One that `follows` another process may find it in use by that one, and gets it later.
    ///
    /// # Errors
    /// The address is not to be had.
    pub(crate) fn bind(address: Option<SocketAddr>, follows: bool) -> Result<Option<Self>, ListenError> {
        let Some(address) = address else { return Ok(None) };
        let failed = |source| ListenError::Failed { address, source };
        let listener = match listen(address) {
            Ok(listener) => Some(listener),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(failed(error)),
            Err(_) if follows => None,
            Err(_) => return Err(ListenError::InUse { address }),
        };
        let address = listener.as_ref().map_or(Ok(address), TcpListener::local_addr).map_err(failed)?;
        Ok(Some(Self { address, listener }))
    }

    /// Where it is, with the real port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until another process serves in the place of this one: that one wants the address.
    pub(crate) async fn run(self, sources: Sources, tasks: Tasks) {
        let mut leaving = sources.shared.leaving();
        let left = async {
            // An error means that this process ends.
            let _ = leaving.wait_for(Option::is_some).await;
        };
        tokio::select! {
            () = left => {}
            never = sources.collect() => never,
            never = self.accept(&sources, &tasks) => never,
        }
    }

    async fn accept<T>(self, sources: &Sources, tasks: &Tasks) -> T {
        let listener = self.open().await;
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let sources = sources.clone();
                    tasks.spawn("metrics-connection", Kind::Helper, async move {
                        // Whoever takes longer is cut off.
                        let _ = timeout(LIMIT, serve(stream, sources)).await;
                        drop(place);
                    });
                }
                // The client left before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!("cannot accept a connection for metrics: {error}");
                    sleep(LATER).await;
                }
            }
        }
    }

    /// Has the address, however long another one keeps it: requests are worth more than figures.
    async fn open(self) -> tokio::net::TcpListener {
        let Self { address, mut listener } = self;
        let mut tries = 0;
        loop {
            let had = listener.take().map_or_else(|| listen(address), Ok);
            let error = match had.and_then(tokio::net::TcpListener::from_std) {
                Ok(listener) => return listener,
                Err(error) => error,
            };
            tries += 1;
            if tries == SOON_TRIES {
                tracing::warn!("no metrics yet: cannot listen on {address}: {error}; trying on");
            }
            sleep(if tries < SOON_TRIES { SOON } else { LATER }).await;
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn serve(stream: TcpStream, sources: Sources) {
    let service = service_fn(move |request| answer(request, sources.clone()));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(LIMIT).keep_alive(false);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("a connection for metrics ended: {error}");
    }
}

async fn answer<B>(request: Request<B>, sources: Sources) -> Result<Response<Body>, Infallible> {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    Ok(match request.uri().path() {
        "/" | "/metrics" if !is_read => {
            let mut refused = said(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
            refused
        }
        "/metrics" => {
            let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let format = Format::of_accept(&accept.collect::<Vec<_>>().join(","));
            // Thousands of releases take a while to write, and this thread looks after more than figures.
            let page = tasks::blocking("write the metrics", move || sources.page(format)).await;
            typed(StatusCode::OK, format.content_type(), page)
        }
        "/" => typed(StatusCode::OK, "text/html; charset=utf-8", HINT.to_owned()),
        _ => said(StatusCode::NOT_FOUND, "nothing is here; metrics are at /metrics\n"),
    })
}

fn said(status: StatusCode, text: &str) -> Response<Body> {
    typed(status, "text/plain; charset=utf-8", text.to_owned())
}

fn typed(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_refused_unless_the_process_before_may_have_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let refused = Endpoint::bind(Some(address), false);
        assert!(matches!(refused, Err(ListenError::InUse { .. })), "{refused:?}");
        let later = Endpoint::bind(Some(address), true).unwrap().unwrap();
        assert_eq!((later.address(), later.listener.is_some()), (address, false));
        let nowhere = Endpoint::bind(Some("192.0.2.1:9100".parse().unwrap()), true);
        assert!(matches!(nowhere, Err(ListenError::Failed { .. })), "{nowhere:?}");
    }

    #[tokio::test]
    async fn the_address_is_had_once_the_process_before_lets_go_of_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let later = Endpoint::bind(Some(address), true).unwrap().unwrap();
        let mut opening = std::pin::pin!(later.open());
        assert!(timeout(SOON * 3, &mut opening).await.is_err(), "it is in use");
        drop(taken);
        let listener = timeout(LIMIT, opening).await.expect("it is free");
        assert_eq!(listener.local_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn only_looking_is_allowed_and_only_at_the_metrics() {
        let sources = Sources::of(&Arc::new(Shared::new(1, 1, Duration::ZERO)));
        for (method, path, status) in [
            ("GET", "/metrics", 200),
            ("HEAD", "/metrics?x=1", 200),
            ("GET", "/", 200),
            ("POST", "/metrics", 405),
            ("DELETE", "/", 405),
            ("GET", "/metrics/", 404),
            ("GET", "/other", 404),
            ("POST", "/other", 404),
        ] {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            let answer = answer(request, sources.clone()).await.unwrap();
            assert_eq!(answer.status(), status, "{method} {path}");
            assert_eq!(answer.headers().contains_key(ALLOW), status == 405);
        }
    }
}
