//! Clients that ask until told to stop, and what they count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;
use http::Request;
use http::header::HOST;
use tandem_kit::http as bodies;
use tandem_kit::tasks;

use crate::client::{Client, get};
use crate::dial::Dial;
use crate::streams::{Streams, is_not_begun};
use crate::world::{eventually, within};

/// Requests at once by HTTP/2.
const STREAMS: usize = 10;

/// Clients of one kind.
pub(crate) struct Load {
    told: Told,
    clients: Vec<tasks::Owned<Vec<String>>>,
}

/// What all of them share.
#[derive(Clone, Default)]
struct Told {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
}

impl Load {
    /// Some keep their connection, some take a new one for each request. A kept connection that was said to be closed is
    /// replaced, as browsers do; nothing else is forgiven.
    pub(crate) fn at(address: SocketAddr, clients: usize) -> Self {
        Self::by(&Dial::plain(address), clients)
    }

    /// The same by another way.
    pub(super) fn by(dial: &Dial, clients: usize) -> Self {
        let told = Told::default();
        let clients = (0..clients)
            .map(|number| tasks::owned("load", ask_on(dial.clone(), number, told.clone())))
            .collect();
        Self { told, clients }
    }

    /// Each asks many times at once by HTTP/2. A connection that takes no more is replaced, and what it did not begin is
    /// sent again on the next one; nothing else is forgiven.
    pub(super) fn multiplexed(dial: &Dial, clients: usize) -> Self {
        let told = Told::default();
        let clients =
            (0..clients).map(|_| tasks::owned("load", ask_at_once(dial.clone(), told.clone()))).collect();
        Self { told, clients }
    }

    fn good(&self) -> u64 {
        self.told.good.load(Ordering::SeqCst)
    }

    /// Connections that were opened so far.
    pub(super) fn opened(&self) -> u64 {
        self.told.opened.load(Ordering::SeqCst)
    }

    /// Waits until some more requests were answered.
    pub(crate) async fn more(&self) {
        let before = self.good();
        eventually(|| self.good() > before + 50).await;
    }

    pub(crate) async fn finish(self) -> u64 {
        self.told.stop.store(true, Ordering::SeqCst);
        let bad = within(join_all(self.clients)).await.concat();
        let good = self.told.good.load(Ordering::SeqCst);
        assert!(bad.is_empty(), "{} of {good} failed: {:.2000}", bad.len(), bad.join("\n"));
        good
    }
}

impl Told {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn opened(&self) {
        self.opened.fetch_add(1, Ordering::SeqCst);
    }

    fn answered(&self) {
        self.good.fetch_add(1, Ordering::SeqCst);
    }
}

async fn ask_on(dial: Dial, number: usize, told: Told) -> Vec<String> {
    let mut bad = Vec::new();
    let mut kept = None;
    while told.goes_on() {
        let mut client = match kept.take() {
            Some(client) => client,
            None => match Client::by(&dial).await {
                Ok(client) => client,
                Err(error) => {
                    bad.push(format!("connect: {error}"));
                    continue;
                }
            },
        };
        let request = match number % 2 {
            0 => get("/"),
            _ => Request::post("/").header(HOST, "shop.example").body(bodies::full("write")).unwrap(),
        };
        match client.ask(request).await {
            Ok(answer) if answer.status == 200 => {
                told.answered();
                if number % 4 < 2 && answer.header("connection") != "close" {
                    kept = Some(client);
                }
            }
            other => bad.push(format!("{other:?}")),
        }
    }
    bad
}

async fn ask_at_once(dial: Dial, told: Told) -> Vec<String> {
    let mut bad = Vec::new();
    // So many are still to be asked of this time.
    let mut left = STREAMS;
    while told.goes_on() || left < STREAMS {
        let streams = match Streams::open(&dial).await {
            Ok(streams) => streams,
            Err(error) => {
                bad.push(format!("connect: {error}"));
                continue;
            }
        };
        told.opened();
        while told.goes_on() || left < STREAMS {
            let asked = (0..left).map(|number| ask(&streams, number % 2 == 0));
            let answers = within(join_all(asked)).await;
            left = 0;
            for answer in answers {
                match answer {
                    Ok(()) => told.answered(),
                    Err(None) => left += 1,
                    Err(Some(error)) => bad.push(error),
                }
            }
            if left > 0 {
                break;
            }
            left = STREAMS;
        }
        // It is not cut off either: what was begun there has been answered.
        if let Err(error) = within(streams.ended()).await {
            bad.push(format!("end: {error}"));
        }
    }
    bad
}

/// Asks once; no error: it was not begun.
async fn ask(streams: &Streams, has_body: bool) -> Result<(), Option<String>> {
    let pieces: &[_] = if has_body { &["write", " and write"] } else { &[] };
    match streams.ask("/", pieces).await {
        Ok((status, body)) if status == 200 && body.ends_with(&format!("\n\n{}", pieces.concat())) => Ok(()),
        Ok((status, body)) => Err(Some(format!("{status} {body}"))),
        Err(error) if is_not_begun(&error) => Err(None),
        Err(error) => Err(Some(format!("{error:?}"))),
    }
}
