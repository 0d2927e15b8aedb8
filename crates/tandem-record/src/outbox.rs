//! From the serving threads to the server, once a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tandem_kit::api::Client;
use tandem_kit::tasks::{Kind, Tasks};
use tandem_types::traffic::{Served, TrafficReport};
use tandem_types::{BalancerId, Timestamp};
use tokio::time::MissedTickBehavior;

use super::{AccessLog, AccessLogConfig, AccessLogError, Interval, Kept, Totals, Writing};

/// Time between two reports.
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the server to take a report: the next one is due then.
const PATIENCE: Duration = Duration::from_secs(1);
/// Seconds that wait at most where nobody takes them.
const MOST_WAITING: usize = 4;
/// Slowest requests told at once, of all releases together.
const MOST_SLOWEST: usize = 200;

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    /// By thread.
    waiting: Box<[Mutex<Vec<Drained>>]>,
    log: OnceLock<Arc<AccessLog>>,
    totals: OnceLock<Arc<Totals>>,
}

/// What a thread saw in a second.
#[derive(Debug)]
pub(super) struct Drained {
    /// Releases with the requests that are under way, and what was added.
    pub releases: Vec<(Option<Arc<Served>>, u64, Interval)>,
    /// Some of the latest requests.
    pub latest: Vec<(Option<Arc<Served>>, Kept)>,
}

impl Outbox {
    /// For so many threads.
    pub fn new(threads: usize) -> Self {
        let waiting = (0..threads).map(|_| Mutex::default()).collect();
        Self { waiting, log: OnceLock::new(), totals: OnceLock::new() }
    }

    /// Keeps sums from now on.
    pub fn keep_totals(&self) -> Arc<Totals> {
        Arc::clone(self.totals.get_or_init(|| Arc::new(Totals::new(self.waiting.len()))))
    }

    /// Writes an access log from now on, where one is wanted, until what is returned is dropped. To be called once.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn begin_log(
        &self,
        config: Option<&AccessLogConfig>,
        tasks: &Tasks,
    ) -> Result<Option<Writing>, AccessLogError> {
        let Some(config) = config else { return Ok(None) };
        let (log, writing) = AccessLog::open(config.clone(), self.waiting.len())?;
        tasks.spawn("reopen-access-log", Kind::Helper, Arc::clone(&log).reopen_at_hangup());
        // Nobody begins it twice.
        let _ = self.log.set(log);
        Ok(Some(writing))
    }

    /// Where lines go, if anybody wants them.
    pub(super) fn access_log(&self) -> Option<&AccessLog> {
        self.log.get().map(AsRef::as_ref)
    }

    /// A thread's last second. Where nobody took the ones before, the oldest is lost.
    pub(super) fn put(&self, thread: usize, drained: Drained) {
        if let Some(totals) = self.totals.get() {
            totals.put(thread, &drained.releases);
        }
        let mut waiting = lock(&self.waiting[thread]);
        if waiting.len() >= MOST_WAITING {
            waiting.remove(0);
        }
        waiting.push(drained);
    }

    /// Everything that waits, added up; none where there is nothing to tell.
    pub(super) fn report(&self, (balancer, process): (BalancerId, Timestamp)) -> Option<TrafficReport> {
        let mut sums: HashMap<Option<Arc<Served>>, (u64, Interval)> = HashMap::new();
        let mut latest = Vec::new();
        for thread in &self.waiting {
            let mut waiting = std::mem::take(&mut *lock(thread));
            let newest = waiting.len().saturating_sub(1);
            for (place, drained) in waiting.drain(..).enumerate() {
                for (served, in_flight, interval) in drained.releases {
                    let sum = sums.entry(served).or_default();
                    // What was under way a while ago is no news.
                    sum.0 += if place == newest { in_flight } else { 0 };
                    sum.1.merge(interval);
                }
                latest.extend(drained.latest);
            }
        }
        if sums.is_empty() {
            return None;
        }
        latest.sort_by_key(|(_, kept)| kept.at_us());
        let latest = latest.iter().filter_map(|(served, kept)| kept.to_record(served.as_ref())).collect();
        let slowest = sums.iter().flat_map(|(served, (_, interval))| interval.slowest(served.as_ref()));
        let mut slowest: Vec<_> = slowest.collect();
        slowest.sort_by_key(|record| std::cmp::Reverse(record.total_us));
        slowest.truncate(MOST_SLOWEST);
        let releases = sums.iter();
        let releases = releases
            .map(|(served, (in_flight, interval))| interval.to_traffic(served.as_ref(), *in_flight))
            .collect();
        Some(TrafficReport { balancer, process, releases, slowest, latest })
    }
}

/// What a mutex guards.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left behind is a second's sums.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the server what was seen, each second, for ever. What it does not take is lost. Another process of the same balancer
/// may do so at the same time: sums add up.
pub async fn report_traffic(
    client: Client,
    outbox: Arc<Outbox>,
    (balancer, process): (BalancerId, Timestamp),
) {
    let client = client.waiting(PATIENCE);
    let path = format!("/v1/balancers/{balancer}/traffic");
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(report) = outbox.report((balancer.clone(), process)) else { continue };
        if let Err(error) = client.put::<_, ()>(&path, &report).await {
            tracing::debug!("the server does not take what was seen: {error}");
        }
    }
}
