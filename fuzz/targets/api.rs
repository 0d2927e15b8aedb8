//! The API as a whole, with a real store and real blobs in a temporary folder: whatever is asked, in whatever order, the
//! answer is never "our bug" (500), every refusal is a problem with a code, and every answer is what it says it is.
//!
//! An input is some requests, with the byte 0x1e between them. The server is kept from input to input for a while; a
//! failure tells what changed it before, in a form that can be put in front of the input.

#![no_main]

use std::cell::RefCell;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use tandem_types::problem::Problem;
use tandem_web::Peer;
use tower::ServiceExt as _;

#[path = "api/site.rs"]
mod site;

use site::Scene;

/// Between two requests of an input.
const NEXT: u8 = 0x1e;
/// Answers that never end are read for so long.
const PATIENCE: Duration = Duration::from_millis(1);
/// A server is thrown away after so many bytes of requests that changed something: making one takes as long as asking it
/// a hundred times.
const MOST_HISTORY: usize = 16 * 1024;

thread_local! {
    static SCENE: RefCell<Option<Scene>> = const { RefCell::new(None) };
}

/// Requests that changed the present server, an input by themselves: what failed may need them.
static HISTORY: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fuzz_target!(|data: &[u8]| {
    SCENE.with_borrow_mut(|kept| {
        let scene = kept.take().unwrap_or_else(new_scene);
        scene.runtime.block_on(ask_all(&scene.router, data));
        if history(|history| history.len()) < MOST_HISTORY {
            *kept = Some(scene);
        }
    });
});

fn new_scene() -> Scene {
    static TELL: Once = Once::new();
    TELL.call_once(|| {
        let fail = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let before = history(|history| history.escape_ascii().to_string());
            eprintln!("the server was changed before, by this (printf '%b'): {before}");
            fail(panic);
        }));
    });
    history(Vec::clear);
    Scene::new()
}

fn history<T>(look: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    look(&mut HISTORY.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Asks one after the other.
async fn ask_all(router: &Router, data: &[u8]) {
    for text in data.split(|byte| *byte == NEXT).take(MOST_HISTORY) {
        let Some(request) = request(text) else { continue };
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        // The server would connect to the address that an observation named.
        if path.ends_with("/logs") && !history(|history| history.is_empty()) {
            continue;
        }
        if method != Method::GET && method != Method::HEAD {
            history(|history| history.extend(text.iter().chain([&NEXT])));
        }
        let response = router.clone().oneshot(request).await.expect("a router does not fail");
        check(response, &method, &path).await;
    }
}

/// `METHOD target`, fields, an empty line, the body. `!` before it: over TCP instead of the local socket.
fn request(text: &[u8]) -> Option<Request<Body>> {
    let (over_tcp, text) = text.strip_prefix(b"!").map_or((false, text), |rest| (true, rest));
    let end = text.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((text, &b""[..]), |end| (&text[..end], &text[end + 2..]));
    let mut lines = std::str::from_utf8(head).ok()?.split('\n');
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        request = request.header(name, value.trim());
    }
    let peer = if over_tcp { Peer::Tcp } else { Peer::Unix { uid: site::OWN_UID.with(|uid| *uid) } };
    request.extension(peer).body(Body::from(body.to_vec())).ok()
}

async fn check(response: Response<Body>, method: &Method, path: &str) {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).map(|kind| kind.to_str().expect("text").to_owned());
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(kind.as_deref(), Some("application/problem+json"), "{method} {path}: {status}");
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        if method != Method::HEAD {
            let problem: Problem = serde_json::from_slice(&body).expect("a problem");
            assert_eq!(problem.status, status.as_u16(), "{problem:?}");
            assert!(status != 500 && !problem.code.is_empty() && !problem.title.is_empty(), "{problem:?}");
        }
        return;
    }
    match kind.as_deref() {
        Some("application/json") => {
            let body = response.into_body().collect().await.expect("a whole body").to_bytes();
            assert!(method == Method::HEAD || serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        }
        Some(kind) => stream(response.into_body(), kind == "application/x-ndjson").await,
        None => {}
    }
}

/// A while of a stream: each whole line is JSON.
async fn stream(mut body: Body, is_lines: bool) {
    let mut read = Vec::new();
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(PATIENCE, body.frame()).await {
        read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if read.len() > 1 << 20 {
            break;
        }
    }
    let whole = read.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in read[..whole].split(|byte| *byte == b'\n').filter(|line| is_lines && !line.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line).expect("a line is JSON");
    }
}
