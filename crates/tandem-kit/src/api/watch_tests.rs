//! Watches against a server that cuts, forgets and comes back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use http::Response;
use tandem_types::Revision;
use tandem_types::document::{Change, Cursor};

use super::test_server::TestServer;
use super::{Client, Server, Watch};

fn live(revision: u64) -> Change {
    Change::Live { cursor: Cursor { incarnation: "a b".to_owned(), revision: Revision(revision) } }
}

fn deleted(key: &str) -> Change {
    Change::Delete { key: key.to_owned(), revision: Revision(1) }
}

/// Answers the n-th watch with the n-th script, then hangs; keeps what was asked for.
struct Script {
    server: TestServer,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn start(folder: &Path, scripts: Vec<Vec<Change>>) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&asked);
        let server = TestServer::start(socket(folder), move |request| {
            let mut seen = seen.lock().unwrap();
            let changes = scripts.get(seen.len()).cloned().unwrap_or_default();
            seen.push(request.uri().to_string());
            let lines = changes.into_iter().map(|change| {
                Ok::<_, std::io::Error>(Bytes::from(serde_json::to_string(&change).unwrap() + "\n"))
            });
            Response::new(crate::http::stream(stream::iter(lines).chain(stream::pending())))
        });
        Self { server: server.await, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("api.sock")
}

async fn take(watch: &mut Watch, count: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    for _ in 0..count {
        changes.push(watch.next().await);
    }
    changes
}

#[tokio::test]
async fn a_cut_watch_goes_on_at_its_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let first = vec![Change::Reset, live(7), deleted("k")];
    let script = Script::start(folder.path(), vec![first.clone(), vec![live(8)]]).await;
    let mut watch = script.server.client().watch(&["apps/", "hosts/a b"]);
    let connected = watch.connected();
    assert!(!*connected.borrow());
    assert_eq!(take(&mut watch, 3).await, first);
    assert!(*connected.borrow());
    script.server.cut().await;
    assert_eq!(watch.next().await, live(8));
    let base = "/v1/watch?prefix=apps/&prefix=hosts/a%20b";
    assert_eq!(script.asked(), [base.to_owned(), format!("{base}&incarnation=a%20b&after=7")]);
}

#[tokio::test]
async fn a_listing_that_was_cut_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::start(folder.path(), vec![vec![Change::Reset], vec![Change::Reset, live(9)]]).await;
    let old = Cursor { incarnation: "old".to_owned(), revision: Revision(5) };
    let mut watch = script.server.client().watch(&["k"]).resume(Some(old));
    assert_eq!(watch.next().await, Change::Reset);
    script.server.cut().await;
    assert_eq!(take(&mut watch, 2).await, [Change::Reset, live(9)]);
    assert_eq!(
        script.asked(),
        ["/v1/watch?prefix=k&incarnation=old&after=5", "/v1/watch?prefix=k"],
        "the old cursor means nothing in the middle of a new listing"
    );
    assert_eq!(watch.cursor().unwrap().revision, Revision(9));
}

#[tokio::test]
async fn a_watch_begun_before_the_server_connects_when_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(Server::Unix(socket(folder.path())));
    let mut watch = client.watch(&["k"]);
    let connected = watch.connected();
    let (change, script) = tokio::join!(watch.next(), Script::start(folder.path(), vec![vec![live(1)]]));
    assert_eq!(change, live(1));
    assert!(*connected.borrow());
    drop(script);
}

#[tokio::test]
async fn asking_and_giving_up_again_and_again_loses_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let changes: Vec<_> = (1..=50).map(live).collect();
    let script = Script::start(folder.path(), vec![changes.clone()]).await;
    let mut watch = script.server.client().watch(&["k"]);
    let mut got = Vec::new();
    while got.len() < changes.len() {
        match watch.next().now_or_never() {
            Some(change) => got.push(change),
            None => tokio::task::yield_now().await,
        }
    }
    assert_eq!(got, changes);
    assert_eq!(script.asked().len(), 1, "giving up does not connect anew");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::start(folder.path(), vec![vec![live(1)], vec![live(2)]]).await;
    let mut watch = script.server.client().watch(&["k"]);
    watch.silence = std::time::Duration::from_millis(50);
    assert_eq!(take(&mut watch, 2).await, [live(1), live(2)]);
    assert_eq!(script.server.accepted(), 2);
}
