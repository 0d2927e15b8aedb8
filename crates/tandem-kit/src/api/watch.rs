//! Watching documents through broken connections and servers that come and go.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tandem_types::document::{Change, Cursor};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Client, Error};

/// First wait before connecting again.
const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
/// Longest wait before connecting again: a server that starts is adopted within a second, and to be refused costs nobody
/// anything.
const BACK_OFF_MOST: Duration = Duration::from_millis(250);
/// A server that says nothing for this long is gone: it owes a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// The changes under some prefixes, for ever: a broken connection is made anew (after 50 ms, up to 250 ms) and the watch
/// goes on at its cursor. After `Change::Reset` the documents come whole; keep what you know until the `Change::Live`
/// that ends them, so that a server that just came back does not empty you. A change may come twice.
pub struct Watch {
    client: Client,
    query: String,
    cursor: Option<Cursor>,
    state: State,
    back_off: Duration,
    heard: Instant,
    /// Longest silence of a server that is there.
    pub(super) silence: Duration,
    connected: watch::Sender<bool>,
    /// Why it is not connected, as last logged.
    reason: String,
}

type Lines = BoxStream<'static, Result<Change, Error>>;

/// Kept in the watch rather than in the future of [`Watch::next`], which is dropped at will inside a `select!`.
enum State {
    Waiting(Instant),
    Connecting(BoxFuture<'static, Result<Lines, Error>>),
    Reading(Lines),
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("query", &self.query)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(client: Client, prefixes: &[&str]) -> Self {
        let prefixes: Vec<_> = prefixes.iter().map(|prefix| format!("prefix={}", escape(prefix))).collect();
        Self {
            client,
            query: prefixes.join("&"),
            cursor: None,
            state: State::Waiting(Instant::now()),
            back_off: BACK_OFF_FIRST,
            heard: Instant::now(),
            silence: SILENCE,
            connected: watch::Sender::new(false),
            reason: String::new(),
        }
    }

    /// Goes on from a cursor of an earlier watch, instead of listing everything first.
    #[must_use]
    pub fn resume(mut self, cursor: Option<Cursor>) -> Self {
        self.cursor = cursor;
        self
    }

    /// Drops what is still to be heard and lists everything anew, for who was away for long: in between lies what was true then.
    pub fn begin_again(&mut self) {
        self.cursor = None;
        self.connected.send_if_modified(|connected| std::mem::replace(connected, false));
        self.state = State::Waiting(Instant::now());
    }

    /// The last cursor heard: everything up to it has been returned.
    #[must_use]
    pub fn cursor(&self) -> Option<&Cursor> {
        self.cursor.as_ref()
    }

    /// Whether the server is connected: true from the first change on a connection until it breaks.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// The next change. Never fails, and loses nothing when its future is dropped before it is ready.
    pub async fn next(&mut self) -> Change {
        loop {
            match &mut self.state {
                State::Waiting(until) => {
                    tokio::time::sleep_until(*until).await;
                    self.connect();
                }
                State::Connecting(opening) => match opening.await {
                    Ok(lines) => self.state = State::Reading(lines),
                    Err(error) => self.wait(&error),
                },
                State::Reading(lines) => {
                    match tokio::time::timeout_at(self.heard + self.silence, lines.next()).await {
                        Ok(Some(Ok(change))) => return self.take(change),
                        Ok(Some(Err(error))) => self.wait(&error),
                        Ok(None) => self.wait(&"the server ended the watch"),
                        Err(_) => self.wait(&"the server is silent"),
                    }
                }
            }
        }
    }

    fn connect(&mut self) {
        let mut path = format!("/v1/watch?{}", self.query);
        if let Some(Cursor { incarnation, revision }) = &self.cursor {
            path.push_str(&format!("&incarnation={}&after={revision}", escape(incarnation)));
        }
        let client = self.client.clone();
        self.heard = Instant::now();
        self.state = State::Connecting(async move { client.open_lines(&path).await }.boxed());
    }

    fn wait(&mut self, reason: &dyn std::fmt::Display) {
        self.connected.send_if_modified(|connected| std::mem::replace(connected, false));
        // Tried again and again for as long as the server is gone: each reason is told once.
        let reason = reason.to_string();
        if reason != self.reason {
            tracing::warn!(query = self.query, "watch is cut off, connecting until it is back: {reason}");
            self.reason = reason;
        }
        self.state = State::Waiting(Instant::now() + self.back_off);
        self.back_off = (self.back_off * 2).min(BACK_OFF_MOST);
    }

    fn take(&mut self, change: Change) -> Change {
        self.heard = Instant::now();
        self.back_off = BACK_OFF_FIRST;
        self.connected.send_if_modified(|connected| !std::mem::replace(connected, true));
        self.reason.clear();
        match &change {
            // What comes now is only whole with the next cursor; a cut in between must not resume at an old one.
            Change::Reset => self.cursor = None,
            Change::Live { cursor } => self.cursor = Some(cursor.clone()),
            Change::Put { .. } | Change::Delete { .. } => {}
        }
        change
    }
}

/// Escapes a query value: everything but unreserved characters (RFC 3986) and the slash.
fn escape(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let escaped = value
        .bytes()
        .map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") });
    escaped.collect()
}
