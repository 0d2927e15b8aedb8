//! What attackers send, to clients' side and to the instances': tables of payloads, and a harness that proves what each
//! came to. An instance writes down every byte that reaches it, and behind most requests another one is hidden.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::app::App;
use super::world::{World, eventually, within};

mod answers;
mod chunks;
mod passed;
mod refused;

/// What is smuggled: a request behind another one, which must be seen by nobody where that one is refused.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// A GET of `shop.example` with these lines behind `Host`.
macro_rules! get {
    ($rest:literal) => {
        concat!("GET / HTTP/1.1\r\nHost: shop.example\r\n", $rest)
    };
}

/// A POST to `shop.example` with these lines behind `Host`.
macro_rules! post {
    ($rest:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: shop.example\r\n", $rest)
    };
}

use {get, post};

/// What came over one connection to the instance.
#[derive(Debug, Clone, Default)]
struct Heard {
    bytes: Vec<u8>,
    ended: bool,
}

impl Heard {
    /// As text; the balancer's own ids and the client's address are known by themselves.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let own = "x-request-id: ";
        match text.find(own) {
            Some(at) => {
                let end = text[at..].find("\r\n").map_or(text.len(), |end| at + end);
                format!("{}ID{}", &text[..at + own.len()], &text[end..])
            }
            None => text,
        }
    }
}

/// A balancer before an instance that writes down what it gets, and answers each request with `ok`.
struct Proof {
    world: World,
    heard: Arc<Mutex<Vec<Heard>>>,
    _app: App,
}

impl Proof {
    async fn new() -> Self {
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let app = App::raw({
            let heard = Arc::clone(&heard);
            move |stream| hear(stream, Arc::clone(&heard))
        })
        .await;
        let world = World::serving(&[app.address]).await;
        Self { world, heard, _app: app }
    }

    /// Sends bytes; returns the status of each answer, and all that was said.
    async fn send(&self, bytes: &str) -> (Vec<u16>, String) {
        let said = converse(self.world.address, bytes.as_bytes()).await;
        (statuses(&said), said)
    }

    /// What reached the instance, once so many connections to it have ended. They are forgotten.
    async fn heard(&self, count: usize) -> Vec<Heard> {
        let heard = || self.heard.lock().unwrap().iter().filter(|heard| heard.ended).count();
        eventually(|| heard() >= count).await;
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

/// An instance's side of a connection.
async fn hear(mut stream: TcpStream, all: Arc<Mutex<Vec<Heard>>>) {
    let (mut bytes, mut buffer, mut place) = (Vec::new(), vec![0; 64 * 1024], None);
    let mut answered = false;
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        bytes.extend_from_slice(&buffer[..count]);
        if !bytes.starts_with(b"GET /healthz ") {
            let mut all = all.lock().unwrap();
            let place = *place.get_or_insert(all.len());
            if place == all.len() {
                all.push(Heard::default());
            }
            all[place].bytes = bytes.clone();
        }
        if !answered && is_whole(&bytes) {
            answered = true;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                break;
            }
        }
    }
    if let Some(place) = place {
        all.lock().unwrap()[place].ended = true;
    }
}

/// Whether an instance would take this for a whole request.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let (head, body) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 4..]);
    if head.contains("\r\ntransfer-encoding: ") {
        return have_end(body);
    }
    let length = head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

/// Whether chunks come to their end. What looks like one within a chunk is data.
fn have_end(mut body: &[u8]) -> bool {
    while let Some(line) = body.windows(2).position(|two| two == b"\r\n") {
        let size =
            std::str::from_utf8(&body[..line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        match size {
            None => return true,
            Some(0) => return body.ends_with(b"\r\n\r\n"),
            Some(size) => match body.get(line + 2 + size + 2..) {
                Some(rest) => body = rest,
                None => return false,
            },
        }
    }
    false
}

/// Sends bytes, says that nothing more comes, and reads until the balancer closes, however it does that.
async fn converse(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may have had enough before all is sent.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut said = Vec::new();
    let _ = within(stream.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// The status of each answer in what the balancer said.
fn statuses(said: &str) -> Vec<u16> {
    let lines = said.match_indices("HTTP/1.").map(|(at, _)| &said[at..]);
    lines.filter_map(|line| line.get(9..12)?.parse().ok()).collect()
}
