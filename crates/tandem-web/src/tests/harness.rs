//! A server in a temporary folder, and people who speak to it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tandem_blobs::BlobStore;
use tandem_build::BuilderConfig;
use tandem_control::{Control, ControlConfig, SourceBuilder};
use tandem_kit::api::{Client, Server};
use tandem_kit::clock::Clock;
use tandem_kit::drain::{self, Trigger};
use tandem_kit::files;
use tandem_kit::http::{self as bodies, Body};
use tandem_kit::paths::DataDir;
use tandem_kit::tasks::{self, Tasks};
use tandem_store::{SharedStore, Transaction, sqlite};
use tandem_types::instance::Isolation;
use tandem_types::problem::Problem;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{Site, router, serve};

/// Longest wait for anything in a test.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// A running API.
pub(super) struct Api {
    pub(super) client: Client,
    pub(super) tcp: SocketAddr,
    pub(super) store: SharedStore,
    data: DataDir,
    tasks: Tasks,
    trigger: Trigger,
    _folder: TempDir,
}

impl Api {
    /// Starts one.
    pub(super) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// As [`Api::start`], with documents that are there from the beginning.
    pub(super) async fn start_with(documents: Option<Transaction>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        let clock = Clock::system();
        let store = sqlite::open(data.database(), clock.clone()).await.expect("a store");
        if let Some(documents) = documents {
            store.transact(documents).await.expect("written");
        }
        let blobs = BlobStore::open(data.blobs()).expect("a blob store");
        files::ensure_dir(&data.keys(), 0o700).expect("the folder of keys");
        let config = ControlConfig {
            data: data.clone(),
            store: store.clone(),
            blobs: blobs.clone(),
            // Nothing is built in these tests.
            builder: SourceBuilder::shared(tandem_build::Builder::new(BuilderConfig::new(
                data.clone(),
                blobs.clone(),
                clock.clone(),
                Isolation::Plain,
            ))),
            clock,
            hosts: vec!["box".parse().expect("a name")],
            version: "0.1.0".to_owned(),
            acme: None,
        };
        let control = Control::build(config).await.expect("control").handle();
        let (trigger, drain) = drain::channel();
        let tasks = Tasks::new(drain.clone());
        let unix = bodies::bind_unix(&data.api_socket(), 0o600).await.expect("a socket");
        let tcp = bodies::bind_tcp("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
        let address = tcp.local_addr().expect("an address");
        serve(&router(Site { control, store: store.clone(), blobs, drain }), unix, Some(tcp), &tasks);
        let client = Client::new(Server::Unix(data.api_socket()));
        Self { client, tcp: address, store, data, tasks, trigger, _folder: folder }
    }

    /// A client over TCP with a token.
    pub(super) fn with_token(&self, token: &str) -> Client {
        let server = Server::Http { authority: self.tcp.to_string(), token: Some(token.to_owned()) };
        Client::new(server)
    }

    /// One request over TCP as it is, without the client's habits.
    pub(super) async fn raw(&self, request: Request<Body>) -> Response<Bytes> {
        let stream = TcpStream::connect(self.tcp).await.expect("a connection");
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("HTTP/1.1");
        let _driver = tasks::owned("test-connection", async move {
            // The answer tells what went wrong.
            let _ = connection.await;
        });
        let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
        Response::from_parts(head, bodies::read_limited(body, 1 << 20).await.expect("a body"))
    }

    /// Drains and sees that every request and stream ends.
    pub(super) async fn finish(self) {
        self.trigger.fire();
        let laggards = self.tasks.join(LIMIT).await;
        assert!(laggards.is_empty(), "still running: {laggards:?}");
        self.data.remove_runtime().expect("the runtime folder goes");
    }
}

/// A request with a method, a path and perhaps a token.
pub(super) fn request(method: Method, path: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "anything.example");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(bodies::empty()).expect("a request")
}

/// The problem that an answer carries.
pub(super) fn problem(answer: &Response<Bytes>, status: StatusCode) -> Problem {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Problem = serde_json::from_slice(answer.body()).expect("a problem");
    assert_eq!(problem.status, status.as_u16());
    problem
}
