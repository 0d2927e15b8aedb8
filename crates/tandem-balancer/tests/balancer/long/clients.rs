//! Clients of each kind, and what they count. None forgives anything: an answer that is not the app's is a loss, and so is
//! a connection that ends.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::dial::{Dial, Line};
use crate::streams::Streams;

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// One request after the other on one connection.
    Kept,
    /// Many requests in one go.
    Pipelined,
    /// Bodies in chunks.
    Chunked,
    /// A head in pieces, with time in between.
    Slow,
    /// A connection for each request.
    Fresh,
    /// Messages over a websocket.
    Socket,
    /// One request after the other on one connection, over TLS.
    Tls,
    /// A connection for each request, over TLS.
    FreshTls,
    /// Many requests at once by HTTP/2, which is agreed upon over TLS.
    Http2,
    /// The same where it is known beforehand.
    PlainHttp2,
}

/// Requests at once by HTTP/2.
const STREAMS: usize = 10;

/// Handshakes and frames take most of a core where nothing is optimized: with these pauses between them the others go on
/// about as fast as by themselves.
const PAUSE: Duration = Duration::from_millis(50);

/// A body in pieces.
const PIECES: [&str; 2] = ["hello", ", there is more here"];

/// What a client keeps from one time to the next.
#[derive(Default)]
struct Kept {
    wire: Option<Wire>,
    streams: Option<Streams>,
}

/// What came of all.
#[derive(Debug, Default)]
pub(super) struct Count {
    answered: AtomicU64,
    ways: Mutex<BTreeMap<Way, u64>>,
    failed: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl Count {
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn has_failed(&self) -> bool {
        !self.failed.lock().unwrap().is_empty()
    }

    pub(super) fn stop(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Panics unless all were answered, of each kind some.
    pub(super) fn expect_nothing_lost(&self, ways: &[Way]) {
        let (failed, counts) = (self.failed.lock().unwrap(), self.ways.lock().unwrap());
        assert!(failed.is_empty(), "{} of {counts:?} failed: {:.2000}", failed.len(), failed.join("\n"));
        assert!(ways.iter().all(|way| counts.get(way).is_some_and(|count| *count > 10)), "{counts:?}");
    }

    fn add(&self, way: Way, count: u64) {
        // A message is no request.
        if way != Way::Socket {
            self.answered.fetch_add(count, Ordering::Relaxed);
        }
        *self.ways.lock().unwrap().entry(way).or_default() += count;
    }
}

/// Asks until told to stop, or until something fails.
pub(super) async fn run(way: Way, dial: Dial, count: Arc<Count>) {
    let mut kept = Kept::default();
    while !count.ended.load(Ordering::Relaxed) && !count.has_failed() {
        let asked = tokio::time::timeout(Duration::from_secs(60), async {
            match way {
                Way::Http2 | Way::PlainHttp2 => ask_at_once(&dial, &mut kept.streams).await,
                _ => ask(way, &dial, &mut kept.wire).await,
            }
        })
        .await;
        match asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(answered) => count.add(way, answered),
            Err(error) => count.failed.lock().unwrap().push(format!("{way:?}: {error}")),
        }
    }
}

/// Asks once, or as often as it goes in one; says how many answers came.
async fn ask(way: Way, dial: &Dial, kept: &mut Option<Wire>) -> io::Result<u64> {
    let host = "Host: shop.example\r\n";
    let mut wire = match kept.take() {
        Some(wire) => wire,
        None => Wire::open(dial, way).await?,
    };
    let get = format!("GET / HTTP/1.1\r\n{host}\r\n");
    let (count, length) = match way {
        Way::Kept | Way::Fresh | Way::Tls | Way::FreshTls => (wire.write(get.as_bytes()).await?, 0),
        Way::Pipelined => {
            wire.write(get.repeat(50).as_bytes()).await?;
            (50, 0)
        }
        Way::Chunked => {
            let head = format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n");
            wire.write(format!("{head}5\r\nhello\r\n").as_bytes()).await?;
            (wire.write(b"14;x\r\n, there is more here\r\n0\r\nX: y\r\n\r\n").await?, 25)
        }
        Way::Slow => {
            for piece in get.as_bytes().chunks(8) {
                wire.write(piece).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (1, 0)
        }
        Way::Socket => {
            wire.write(b"a message").await?;
            wire.echo(b"a message").await?;
            *kept = Some(wire);
            tokio::time::sleep(Duration::from_millis(5)).await;
            return Ok(1);
        }
        Way::Http2 | Way::PlainHttp2 => unreachable!("it is no wire"),
    };
    for _ in 0..count {
        wire.answer(length).await?;
    }
    match way {
        Way::Fresh => {}
        Way::FreshTls => tokio::time::sleep(PAUSE).await,
        _ => *kept = Some(wire),
    }
    Ok(count)
}

/// Asks many times at once, every other time with a body.
async fn ask_at_once(dial: &Dial, kept: &mut Option<Streams>) -> io::Result<u64> {
    let streams = match kept.take() {
        Some(streams) => streams,
        None => Streams::open(dial).await?,
    };
    let asked = (0..STREAMS).map(|number| {
        let pieces: &[_] = if number % 2 == 0 { &[] } else { &PIECES };
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let asked = streams.ask("/", pieces);
        async move {
            let (status, body) = asked.await.map_err(io::Error::other)?;
            if status == 200 && is_of_app(&body, length) {
                Ok(())
            } else {
                Err(io::Error::other(format!("{status} {body}")))
            }
        }
    });
    future::try_join_all(asked).await?;
    *kept = Some(streams);
    tokio::time::sleep(PAUSE).await;
    Ok(STREAMS as u64)
}

/// Whether an app says so that it got a body of so many bytes.
fn is_of_app(body: &str, length: usize) -> bool {
    ["one", "two"].iter().any(|name| body == format!("{name} {length}"))
}

/// A connection, and what came in and was not used.
struct Wire {
    stream: Line,
    input: Vec<u8>,
}

impl Wire {
    async fn open(dial: &Dial, way: Way) -> io::Result<Self> {
        let mut wire = Self { stream: dial.open().await?, input: Vec::new() };
        if way == Way::Socket {
            let asks = "Connection: upgrade\r\nUpgrade: websocket\r\n";
            wire.write(format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{asks}\r\n").as_bytes()).await?;
            let head = wire.head().await?;
            if !head.starts_with("HTTP/1.1 101 ") {
                return Err(io::Error::other(head));
            }
        }
        Ok(wire)
    }

    /// Writes a request, or a part of one.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<u64> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await.map(|()| 1)
    }

    async fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer).await? {
            0 => Err(io::Error::other(format!(
                "it was closed behind {:?}",
                String::from_utf8_lossy(&self.input)
            ))),
            count => {
                self.input.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<String> {
        while self.input.len() < length {
            self.fill().await?;
        }
        let bytes = self.input.drain(..length).collect();
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    async fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.input.windows(4).position(|end| end == b"\r\n\r\n") {
                return self.take(end + 4).await;
            }
            self.fill().await?;
        }
    }

    /// Reads an answer of the app, which got a body of so many bytes.
    async fn answer(&mut self, length: usize) -> io::Result<()> {
        let head = self.head().await?;
        let told = head.split("\r\nContent-Length: ").nth(1).or(head.split("\r\ncontent-length: ").nth(1));
        let told = told.and_then(|told| told.split("\r\n").next()?.parse().ok());
        let body = self.take(told.unwrap_or_default()).await?;
        let is_kept = !head.contains("\r\nconnection: close\r\n");
        if head.starts_with("HTTP/1.1 200 OK\r\n") && is_of_app(&body, length) && is_kept {
            Ok(())
        } else {
            Err(io::Error::other(format!("{head}{body}")))
        }
    }

    async fn echo(&mut self, sent: &[u8]) -> io::Result<()> {
        let said = self.take(sent.len()).await?;
        if said.as_bytes() == sent { Ok(()) } else { Err(io::Error::other(said)) }
    }
}
