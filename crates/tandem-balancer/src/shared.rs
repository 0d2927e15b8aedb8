//! What all serving threads and the control side share: the table, counters, the signal of a swap.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::alone::tcp::Door;
use crate::table::Live;
use tandem_certificates::{Answers, CHALLENGE_PATH};
use tandem_record::Outbox;
use tandem_types::Network;

/// Time for what came in just before the drain's time was over.
const LAST: Duration = Duration::from_secs(1);

/// Shared by all threads; read without locks.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What was seen of requests.
    pub records: Arc<Outbox>,
    live: ArcSwap<Live>,
    swaps: watch::Sender<u64>,
    hopes: watch::Sender<u64>,
    requests: Box<[Counter]>,
    connections: Arc<AtomicUsize>,
    accepting: Arc<AtomicUsize>,
    most_connections: usize,
    drain_limit: Duration,
    left: AtomicBool,
    secure: OnceLock<Secure>,
    trusted: ArcSwap<Vec<Network>>,
    answers: OnceLock<Answers>,
    leaving: watch::Sender<Option<Leave>>,
    doors: watch::Sender<Arc<[Arc<Door>]>>,
}

/// Where TLS is spoken, and how.
#[derive(Debug)]
pub(crate) struct Secure {
    /// How.
    pub config: Arc<ServerConfig>,
    /// Listening addresses with their real ports.
    pub addresses: Vec<SocketAddr>,
    /// Where HTTP is spoken beside it.
    pub http: Vec<SocketAddr>,
}

/// The listening sockets were handed over.
#[derive(Debug, Clone)]
pub(crate) struct Leave {
    since: Instant,
    taken: Arc<[SocketAddr]>,
}

impl Leave {
    /// Whether another process accepts at an address from now on. If not, nobody does.
    pub(crate) fn is_taken(&self, address: SocketAddr) -> bool {
        self.taken.contains(&address)
    }
}

/// A counter with a cache line of its own, so that threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counter(AtomicU64);

impl Shared {
    /// An empty table for a number of threads, how many client connections they may have together, and the time over
    /// which what is open is drained.
    pub(crate) fn new(threads: usize, most_connections: usize, drain_limit: Duration) -> Self {
        Self {
            records: Arc::new(Outbox::new(threads)),
            live: ArcSwap::default(),
            swaps: watch::Sender::new(0),
            hopes: watch::Sender::new(0),
            requests: (0..threads).map(|_| Counter::default()).collect(),
            connections: Arc::default(),
            accepting: Arc::default(),
            most_connections,
            drain_limit,
            left: AtomicBool::new(false),
            secure: OnceLock::new(),
            trusted: ArcSwap::default(),
            answers: OnceLock::new(),
            leaving: watch::Sender::new(None),
            doors: watch::Sender::default(),
        }
    }

    /// The listening sockets were handed over, those of these addresses to a process that accepts there. What is
    /// connected here is finished.
    pub(crate) fn leave(&self, taken: Vec<SocketAddr>) {
        // In this order: who is woken looks.
        self.left.store(true, Ordering::Relaxed);
        self.leaving.send_replace(Some(Leave { since: Instant::now(), taken: taken.into() }));
    }

    /// TLS is spoken at these addresses; to be said once, before connections are accepted.
    pub(crate) fn speak_tls(&self, secure: Secure) {
        // Nobody says it twice.
        let _ = self.secure.set(secure);
    }

    /// Where and how TLS is spoken, where it is.
    pub(crate) fn secure(&self) -> Option<&Secure> {
        self.secure.get()
    }

    /// Authorities are answered from here on; to be said once.
    pub(crate) fn answer_authorities(&self, answers: Answers) {
        // Nobody says it twice.
        let _ = self.answers.set(answers);
    }

    /// What is answered to an authority that asks for a path.
    pub(crate) fn answer_to_authority(&self, path: &str) -> Option<String> {
        if path.starts_with(CHALLENGE_PATH) { self.answers.get()?.to(path) } else { None }
    }

    /// How TLS is spoken at an address; none: it is not.
    pub(crate) fn tls_at(&self, address: SocketAddr) -> Option<Arc<ServerConfig>> {
        let secure = self.secure.get().filter(|secure| secure.addresses.contains(&address))?;
        Some(Arc::clone(&secure.config))
    }

    /// Connections from these networks, accepted from now on, begin with a PROXY header.
    pub(crate) fn trust(&self, networks: &[Network]) {
        self.trusted.store(Arc::new(networks.to_vec()));
    }

    /// Whether a connection from there begins with a PROXY header.
    pub(crate) fn is_trusted(&self, ip: IpAddr) -> bool {
        self.trusted.load().iter().any(|network| network.contains(ip))
    }

    /// TCP is accepted at these addresses and passed through.
    pub(crate) fn set_doors(&self, doors: Arc<[Arc<Door>]>) {
        self.doors.send_replace(doors);
    }

    /// Where TCP is accepted, as it changes.
    pub(crate) fn doors(&self) -> watch::Receiver<Arc<[Arc<Door>]>> {
        self.doors.subscribe()
    }

    /// Whether each answer is the last one of its connection: the next request is for the process that accepts.
    pub(crate) fn is_leaving(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Changes once, when the listening sockets are handed over.
    pub(crate) fn leaving(&self) -> watch::Receiver<Option<Leave>> {
        self.leaving.subscribe()
    }

    /// Whether nobody accepts or is connected any more after the sockets were handed over, or who is had time enough.
    pub(crate) fn has_left(&self) -> bool {
        let left = self.leaving.borrow().as_ref().map(|leave| leave.since);
        left.is_some_and(|since| self.is_empty() || since.elapsed() >= self.drain_limit)
    }

    /// Whether nobody accepts or is connected.
    pub(crate) fn is_empty(&self) -> bool {
        // In this order: who accepts counts a connection before it stops to accept.
        self.accepting.load(Ordering::SeqCst) == 0 && self.connections.load(Ordering::SeqCst) == 0
    }

    /// What is left of the drain's time when the process ends: who finishes after a hand-over has had some already.
    pub(crate) fn drain_rest(&self) -> Duration {
        let left = self.leaving.borrow().as_ref().map(|leave| leave.since);
        left.map_or(self.drain_limit, |since| self.drain_limit.saturating_sub(since.elapsed()).max(LAST))
    }

    /// Time over which tunnels of un-routed instances are ended, and which open requests get when the process ends.
    pub(crate) fn drain_limit(&self) -> Duration {
        self.drain_limit
    }

    /// The table that is served now.
    pub(crate) fn live(&self) -> arc_swap::Guard<Arc<Live>> {
        self.live.load()
    }

    /// Serves another table from the next request on.
    pub(crate) fn swap(&self, live: Arc<Live>) {
        self.live.store(live);
    }

    /// Tells the threads to look for kept connections that are of no use any more. To be called after instances were
    /// un-routed.
    pub(crate) fn announce_swap(&self) {
        self.swaps.send_modify(|swaps| *swaps += 1);
        self.raise_hopes();
    }

    /// Wakes requests that wait for an instance: one may be reached now that could not be before.
    pub(crate) fn raise_hopes(&self) {
        self.hopes.send_modify(|hopes| *hopes += 1);
    }

    /// Wakes whenever hopes are raised from now on.
    pub(crate) fn hopes(&self) -> watch::Receiver<u64> {
        self.hopes.subscribe()
    }

    /// Wakes at each announced swap.
    pub(crate) fn swaps(&self) -> watch::Receiver<u64> {
        self.swaps.subscribe()
    }

    /// Counts a request that a thread answered.
    pub(crate) fn count_request(&self, thread: usize) {
        self.requests[thread].0.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests answered by all threads.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.iter().map(|counter| counter.0.load(Ordering::Relaxed)).sum()
    }

    /// Client connections that are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts somebody in who accepts connections.
    pub(crate) fn accepting(&self) -> Accepting {
        self.accepting.fetch_add(1, Ordering::SeqCst);
        Accepting { accepting: Arc::clone(&self.accepting) }
    }

    /// A place for one more client connection; none when there are as many as the limit of open files bears.
    pub(crate) fn admit(&self) -> Option<Admission> {
        let admission = Admission { connections: Arc::clone(&self.connections) };
        let before = self.connections.fetch_add(1, Ordering::SeqCst);
        (before < self.most_connections).then_some(admission)
    }
}

/// A client connection's place among all; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    connections: Arc<AtomicUsize>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody accepts connections until this is dropped.
#[derive(Debug)]
pub(crate) struct Accepting {
    accepting: Arc<AtomicUsize>,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.accepting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_beyond_the_limit_are_not_admitted_until_one_ends() {
        let shared = Shared::new(1, 2, Duration::ZERO);
        let first = shared.admit().unwrap();
        let _second = shared.admit().unwrap();
        assert!(shared.admit().is_none());
        assert!(shared.admit().is_none());
        drop(first);
        assert!(shared.admit().is_some());
    }
}
