//! A server that speaks as much of the API as a balancer uses.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tandem_blobs::{BlobStore, stream};
use tandem_kit::http::{self as bodies, Body};
use tandem_kit::tasks::{self, Owned};
use tandem_types::api::Digests;
use tandem_types::document::{Change, Cursor, Document, Kind};
use tandem_types::environment::Sealed;
use tandem_types::https::{Certificate, ServedCertificate, ServedCertificates, Signer};
use tandem_types::routing::BalancerStatus;
use tandem_types::traffic::TrafficReport;
use tandem_types::{Revision, Timestamp, keys};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::world::within;

/// A server; its documents stay when it goes away and comes back.
pub(super) struct Server {
    pub address: SocketAddr,
    state: Arc<State>,
    serving: Option<Owned<()>>,
}

struct State {
    documents: Mutex<BTreeMap<String, Document>>,
    watchers: Mutex<Vec<mpsc::UnboundedSender<Change>>>,
    /// They are connected and hear nothing.
    left_out: Mutex<Vec<mpsc::UnboundedSender<Change>>>,
    status: watch::Sender<Option<BalancerStatus>>,
    traffic: watch::Sender<Vec<TrafficReport>>,
    /// None: asking for them is in vain.
    certificates: Mutex<Option<ServedCertificates>>,
    blobs: Option<BlobStore>,
}

impl Server {
    pub(super) async fn start(blobs: Option<BlobStore>) -> Self {
        let state = Arc::new(State {
            documents: Mutex::default(),
            watchers: Mutex::default(),
            left_out: Mutex::default(),
            status: watch::Sender::new(None),
            traffic: watch::Sender::default(),
            certificates: Mutex::default(),
            blobs,
        });
        let mut server = Self { address: "127.0.0.1:0".parse().unwrap(), state, serving: None };
        server.come_back().await;
        server
    }

    /// Closes everything.
    pub(super) fn go_away(&mut self) {
        self.serving = None;
        self.state.watchers.lock().unwrap().clear();
    }

    pub(super) async fn come_back(&mut self) {
        // Who went away a moment ago may hold the port still.
        let listener = within(async {
            loop {
                match TcpListener::bind(self.address).await {
                    Ok(listener) => break listener,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await;
        self.address = listener.local_addr().unwrap();
        let state = Arc::clone(&self.state);
        let accept = async move {
            let mut open = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&state);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(state.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                open.spawn(async move {
                    let _ = connection.await;
                });
            }
        };
        self.serving = Some(tasks::owned("server", accept));
    }

    /// Writes a document and tells all watchers.
    pub(super) fn put<T: Kind>(&self, key: &str, value: &T) {
        let body = serde_json::to_value(value).unwrap();
        let document =
            Document { key: key.to_owned(), revision: Revision(1), kind: T::KIND.to_owned(), body };
        self.state.documents.lock().unwrap().insert(key.to_owned(), document.clone());
        self.state.tell(Change::Put { document });
    }

    /// Has these certificates from now on.
    pub(super) fn certify(&self, certificates: Vec<ServedCertificate>) {
        *self.state.certificates.lock().unwrap() = Some(ServedCertificates { certificates });
        let key = Sealed { ciphertext: String::new(), digest: String::new() };
        let (domain, chain) = ("shop.example".to_owned(), String::new());
        let (not_before, not_after) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let document = Certificate { domain, signer: Signer::Local, chain, key, not_before, not_after };
        self.put(&keys::certificate("shop.example"), &document);
    }

    /// Tells nothing any more to whoever watches longest.
    pub(super) fn leave_out_first_watcher(&self) {
        let first = self.state.watchers.lock().unwrap().remove(0);
        self.state.left_out.lock().unwrap().push(first);
    }

    /// Loses every document, as a server restored from nothing does.
    pub(super) fn forget_everything(&self) {
        self.state.documents.lock().unwrap().clear();
    }

    /// The latest status that the balancer reported.
    pub(super) fn status(&self) -> watch::Receiver<Option<BalancerStatus>> {
        self.state.status.subscribe()
    }

    /// What the balancer told of requests so far.
    pub(super) fn traffic(&self) -> watch::Receiver<Vec<TrafficReport>> {
        self.state.traffic.subscribe()
    }
}

impl State {
    fn tell(&self, change: Change) {
        self.watchers.lock().unwrap().retain(|watcher| watcher.send(change.clone()).is_ok());
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if request.method() == Method::GET && path == "/v1/watch" {
            return Response::new(self.watch());
        }
        let body = bodies::read_limited(request.into_body(), 1 << 20).await.unwrap();
        if path == "/v1/blobs/fetch" {
            let wanted: Digests = serde_json::from_slice(&body).unwrap();
            let blobs = self.blobs.clone().unwrap();
            return Response::new(bodies::stream(stream::send(blobs, wanted.digests)));
        }
        assert!(path.starts_with("/v1/balancers/"), "{path}");
        if path.ends_with("/certificates") {
            return match &*self.certificates.lock().unwrap() {
                Some(served) => Response::new(bodies::full(serde_json::to_vec(served).unwrap())),
                None => {
                    let mut answer = Response::new(bodies::empty());
                    *answer.status_mut() = StatusCode::NOT_FOUND;
                    answer
                }
            };
        }
        if path.ends_with("/traffic") {
            let report = serde_json::from_slice(&body).unwrap();
            self.traffic.send_modify(|reports| reports.push(report));
        } else {
            self.status.send_replace(Some(serde_json::from_slice(&body).unwrap()));
        }
        let mut answer = Response::new(bodies::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        answer
    }

    fn watch(&self) -> Body {
        let (sender, changes) = mpsc::unbounded_channel();
        let documents = self.documents.lock().unwrap();
        let cursor = Cursor { incarnation: "a".to_owned(), revision: Revision(1) };
        let puts = documents.values().map(|document| Change::Put { document: document.clone() });
        for change in std::iter::once(Change::Reset).chain(puts).chain([Change::Live { cursor }]) {
            sender.send(change).unwrap();
        }
        self.watchers.lock().unwrap().push(sender);
        let lines = UnboundedReceiverStream::new(changes).map(|change| {
            let mut line = serde_json::to_vec(&change).unwrap();
            line.push(b'\n');
            Ok::<_, Infallible>(Bytes::from(line))
        });
        bodies::stream(lines)
    }
}
