//! A server as a runner sees one: documents to watch, config, blobs, and a place for reports. It can go away and
//! come back.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _, iter};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tandem_blobs::{BlobStore, stream};
use tandem_kit::http::{self as bodies, Body};
use tandem_kit::tasks::{self, Owned};
use tandem_types::JobId;
use tandem_types::api::{Digests, InstanceConfig};
use tandem_types::assignment::Assignment;
use tandem_types::document::{Change, Document};
use tandem_types::instance::HostObservation;
use tandem_types::problem::Problem;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;

use super::scene::LIMIT;
use crate::testing;

/// The server; gone when dropped.
pub(super) struct FakeServer {
    pub(super) socket: PathBuf,
    state: Arc<State>,
    serving: Option<Owned<()>>,
}

struct State {
    documents: Mutex<BTreeMap<String, Document>>,
    config: Mutex<BTreeMap<String, String>>,
    configs_given: AtomicU32,
    /// Jobs that are told that they do not begin any more, whatever their assignment says.
    withdrawn: Mutex<BTreeSet<String>>,
    news: broadcast::Sender<Change>,
    observed: watch::Sender<Option<HostObservation>>,
    reports: Mutex<Vec<HostObservation>>,
    blobs: BlobStore,
    /// Whether what is asked for blobs is left unanswered.
    holds_blobs: watch::Sender<bool>,
    /// How often blobs were asked for.
    fetches: watch::Sender<u32>,
}

impl FakeServer {
    /// A server without documents, which answers.
    pub(super) async fn start(folder: &Path) -> Self {
        let state = Arc::new(State {
            documents: Mutex::default(),
            config: Mutex::default(),
            configs_given: AtomicU32::new(0),
            withdrawn: Mutex::default(),
            news: broadcast::channel(100).0,
            observed: watch::Sender::new(None),
            reports: Mutex::default(),
            blobs: BlobStore::open(folder.join("blobs")).expect("there is room"),
            holds_blobs: watch::Sender::new(false),
            fetches: watch::Sender::new(0),
        });
        let mut server = Self { socket: folder.join("api.sock"), state, serving: None };
        server.come_back().await;
        server
    }

    /// Closes every connection and refuses new ones.
    pub(super) fn go_away(&mut self) {
        self.serving = None;
    }

    /// Answers again.
    pub(super) async fn come_back(&mut self) {
        // The task that went away may not have been dropped yet.
        let gone = async { while UnixStream::connect(&self.socket).await.is_ok() {} };
        tokio::time::timeout(LIMIT, gone).await.expect("the one before ends");
        let listener = bodies::bind_unix(&self.socket, 0o600).await.expect("nobody else listens");
        self.serving = Some(tasks::owned("fake-server", serve(listener, Arc::clone(&self.state))));
    }

    /// Writes an assignment.
    pub(super) fn put(&self, assignment: &Assignment) {
        let document = testing::document(assignment);
        lock(&self.state.documents).insert(document.key.clone(), document.clone());
        // No watcher is fine: it lists when it comes.
        let _ = self.state.news.send(Change::Put { document });
    }

    /// Deletes an assignment.
    pub(super) fn delete(&self, assignment: &Assignment) {
        lock(&self.state.documents).remove(&testing::document(assignment).key);
        let _ = self.state.news.send(testing::delete(assignment));
    }

    /// Sets a config value that every release gets.
    pub(super) fn configure(&self, name: &str, value: &str) {
        lock(&self.state.config).insert(name.to_owned(), value.to_owned());
    }

    /// Refuses to let this job begin, without another word to who follows the assignments.
    pub(super) fn withdraw(&self, job: JobId) {
        lock(&self.state.withdrawn).insert(format!("job={job}"));
    }

    /// How often somebody asked for config.
    pub(super) fn configs_given(&self) -> u32 {
        self.state.configs_given.load(Ordering::SeqCst)
    }

    /// Reports as they arrive.
    pub(super) fn observed(&self) -> watch::Receiver<Option<HostObservation>> {
        self.state.observed.subscribe()
    }

    /// Every report since the last call.
    pub(super) fn take_reports(&self) -> Vec<HostObservation> {
        std::mem::take(&mut *lock(&self.state.reports))
    }

    /// Leaves questions for blobs unanswered, or answers those that come from now on.
    pub(super) fn hold_blobs(&self, holds: bool) {
        self.state.holds_blobs.send_replace(holds);
    }

    /// Waits until blobs were asked for so often.
    pub(super) async fn fetches(&self, number: u32) {
        let mut fetches = self.state.fetches.subscribe();
        let wait = fetches.wait_for(|fetches| *fetches >= number);
        tokio::time::timeout(LIMIT, wait).await.expect("blobs are asked for").expect("the server lives");
    }

    /// Where blobs are fetched from.
    pub(super) fn blobs(&self) -> &BlobStore {
        &self.state.blobs
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: UnixListener, state: Arc<State>) {
    let mut connections = FuturesUnordered::<BoxFuture<'static, ()>>::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("descriptors are not short");
                let state = Arc::clone(&state);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                connections.push(Box::pin(async move {
                    let connection =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    let _ = connection.await;
                }));
            }
            Some(()) = connections.next() => {}
        }
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let reply = match (request.method(), path.as_str()) {
        (&Method::GET, "/v1/watch") => Response::new(watch_body(&state)),
        (&Method::POST, "/v1/blobs/fetch") => fetch(&state, request).await,
        (&Method::PUT, "/v1/hosts/here/observed") => {
            let body = bodies::read_limited(request.into_body(), 1 << 20).await.expect("a report is small");
            let report: HostObservation = serde_json::from_slice(&body).expect("it is an observation");
            lock(&state.reports).push(report.clone());
            state.observed.send_replace(Some(report));
            Response::new(bodies::empty())
        }
        (&Method::GET, path) if path.starts_with("/v1/hosts/here/config/guestbook/") => {
            state.configs_given.fetch_add(1, Ordering::SeqCst);
            if request.uri().query().is_some_and(|query| lock(&state.withdrawn).contains(query)) {
                return Ok(refusal(&Problem::new(410, "job_canceled", "it was ended before it began")));
            }
            let environment = lock(&state.config).clone();
            Response::new(bodies::json(&InstanceConfig { environment }))
        }
        (method, path) => refusal(&Problem::new(404, "not_found", format!("no {method} {path} here"))),
    };
    Ok(reply)
}

fn refusal(problem: &Problem) -> Response<Body> {
    let mut response = Response::new(bodies::json(problem));
    *response.status_mut() = StatusCode::from_u16(problem.status).expect("a status");
    response
}

/// The whole listing, then news.
fn watch_body(state: &State) -> Body {
    // Held while subscribing, so that nothing is written between listing and news.
    let documents = lock(&state.documents);
    let news = BroadcastStream::new(state.news.subscribe());
    let listing = documents.values().map(|document| Change::Put { document: document.clone() });
    let whole: Vec<Change> = [Change::Reset].into_iter().chain(listing).chain([testing::live()]).collect();
    let changes = iter(whole).chain(news.map(|change| change.expect("the runner keeps up")));
    bodies::stream(changes.map(|change| {
        let mut line = serde_json::to_vec(&change).expect("changes are plain JSON");
        line.push(b'\n');
        Ok::<_, Infallible>(Bytes::from(line))
    }))
}

async fn fetch(state: &State, request: Request<Incoming>) -> Response<Body> {
    let body = bodies::read_limited(request.into_body(), 1 << 20).await.expect("a question is small");
    let wanted: Digests = serde_json::from_slice(&body).expect("it is a list of digests");
    state.fetches.send_modify(|fetches| *fetches += 1);
    if *state.holds_blobs.borrow() {
        std::future::pending::<()>().await;
    }
    let has = state.blobs.has(&wanted.digests);
    if let Some((missing, _)) = wanted.digests.iter().zip(has).find(|(_, has)| !has) {
        let title = format!("blob {} is not on this server", missing.short());
        return refusal(&Problem::new(404, "blob_missing", title));
    }
    Response::new(bodies::stream(stream::send(state.blobs.clone(), wanted.digests)))
}
