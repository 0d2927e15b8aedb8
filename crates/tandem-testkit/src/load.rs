//! Constant open-loop load: requests go out at their time, whether or not earlier ones were answered, and each
//! latency counts from the time at which the request was due. A slow server cannot slow its own examination down.
//!
//! The mix is that of a small site: pages on fresh connections, entries written, pages that take seconds, and
//! browsers that keep a connection. Every failure counts, and so does every status from 400 on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tandem_kit::clock::{Clock, Moment};
use tandem_kit::drain::{self, Trigger};

mod kept;
mod report;
mod single;

pub use report::{Kind, Report, Sample};

/// What is asked, and how often.
#[derive(Debug, Clone)]
pub struct Mix {
    /// The page that is asked for, with its query.
    pub page: String,
    /// Pages a second, each on a connection of its own.
    pub pages: f64,
    /// Entries written a second, each on a connection of its own.
    pub writes: f64,
    /// Slow pages a second.
    pub slow: f64,
    /// Time a slow page takes.
    pub slow_takes: Duration,
    /// Clients that keep their connection.
    pub kept_clients: u32,
    /// Pages a second of each of those.
    pub kept_pages: f64,
    /// Bodies sent a second, each on a connection of its own, to an app that takes them without a form.
    pub posts: f64,
    /// Whether every second client that keeps its connection sends bodies too, instead of asking for pages.
    pub kept_posts: bool,
}

impl Default for Mix {
    /// About a fifth of what two instances of the guestbook can answer on one core.
    fn default() -> Self {
        Self {
            page: "/".to_owned(),
            pages: 10.0,
            writes: 2.0,
            slow: 0.5,
            slow_takes: Duration::from_secs(2),
            kept_clients: 8,
            kept_pages: 2.0,
            posts: 0.0,
            kept_posts: false,
        }
    }
}

impl Mix {
    /// Only GETs of quick pages, no more than one instance can take: whoever is asked may be killed and another one
    /// answers, so that nothing need be lost.
    #[must_use]
    pub fn gets() -> Self {
        Self { pages: 20.0, writes: 0.0, slow: 0.0, kept_clients: 4, kept_pages: 5.0, ..Self::default() }
    }
}

/// Where it is asked.
#[derive(Debug, Clone)]
pub struct Target {
    /// The balancer.
    pub address: SocketAddr,
    /// The site's host name.
    pub host: String,
}

/// Load that goes on until it is stopped.
#[derive(Debug)]
pub struct Load {
    stop: Trigger,
    ended: Arc<AtomicUsize>,
    begin: Moment,
    thread: JoinHandle<Report>,
}

impl Load {
    /// Begins, on a thread of its own.
    ///
    /// # Panics
    ///
    /// Where the system has no thread left.
    #[must_use]
    pub fn start(target: Target, mix: Mix) -> Self {
        let (stop, drain) = drain::channel();
        let thread = std::thread::Builder::new().name("load".to_owned());
        let ended = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&ended);
        let begin = Clock::system().monotonic();
        let thread = thread.spawn(move || single::run(target, mix, (drain, begin, counter)));
        Self { stop, ended, begin, thread: thread.expect("a thread is free") }
    }

    /// Time since its begin, from which its samples count as well.
    #[must_use]
    pub fn now(&self) -> Duration {
        Clock::system().monotonic().elapsed_since(self.begin)
    }

    /// Requests that have ended so far, well or not.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Asks nothing new, waits for the answers to what was asked, and tells.
    ///
    /// # Panics
    ///
    /// Where the load itself panicked.
    #[must_use]
    pub fn stop(self) -> Report {
        self.stop.fire();
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
