//! Balancers that gave their sockets to this one and still have requests: what they say counts in what is reported.
//!
//! The server knows one balancer, so it hears one status: the earliest epoch that any of its processes may still route
//! by, and the requests of all. So nothing is stopped that an old process may still send requests to.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tandem_kit::drain::Drain;
use tandem_kit::files::{self, LockGuard};
use tandem_types::routing::BalancerStatus;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::link;
use super::message::Message;

/// Time in which a process that finishes what it has finds the one that serves now: it looks every 20 ms.
const COME: Duration = Duration::from_millis(300);
/// Longest wait for the first of them, on a machine that has no time for anybody.
const COME_LATE: Duration = Duration::from_secs(2);
/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(20);

/// Locked, together with others, by each process that has handed over: one that starts anew knows by it that it will
/// hear of requests that are open elsewhere.
const MARK: &str = "elders.lock";
/// How often it is tried to get it.
const MARK_TRIES: usize = 10;
const UNMARKED: &str = "no balancer that starts anew will know of this one's requests";

/// The latest status of each.
#[derive(Debug, Clone)]
pub(crate) struct Elders {
    statuses: Arc<watch::Sender<BTreeMap<u64, BalancerStatus>>>,
    next: Arc<AtomicU64>,
}

/// One of them, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    elders: Elders,
    number: u64,
}

/// Whether processes that have handed over still finish what they have.
pub(crate) fn has_elders(state_dir: &Path) -> bool {
    let mark = state_dir.join(MARK);
    mark.exists() && files::lock_exclusive(&mark).is_ok_and(|free| free.is_none())
}

/// Takes the mark of an elder. Tried again, since who looks whether there is one has it alone for a moment.
pub(super) async fn mark(state_dir: &Path) -> Option<LockGuard> {
    for _ in 0..MARK_TRIES {
        match files::lock_shared(&state_dir.join(MARK)) {
            Ok(None) => tokio::time::sleep(INTERVAL).await,
            Ok(mark) => return mark,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "{UNMARKED}");
                return None;
            }
        }
    }
    tracing::warn!("{UNMARKED}: others had {MARK} all the time");
    None
}

impl Default for Elders {
    fn default() -> Self {
        Self { statuses: Arc::new(watch::Sender::default()), next: Arc::default() }
    }
}

impl Elders {
    /// Takes one in.
    pub(super) fn add(&self, status: BalancerStatus) -> Place {
        let place = Place { elders: self.clone(), number: self.next.fetch_add(1, Ordering::Relaxed) };
        place.update(status);
        place
    }

    /// Whether none is left.
    pub(crate) fn are_gone(&self) -> bool {
        self.statuses.borrow().is_empty()
    }

    fn has_one_besides(&self, dead: Option<u64>) -> bool {
        self.statuses.borrow().keys().any(|number| Some(*number) != dead)
    }

    /// Lets those come that followed somebody who has died: they look for whoever serves now. Returns at once where there
    /// is none.
    pub(crate) async fn let_come(&self, state_dir: &Path) {
        self.let_others_come(None, state_dir).await;
    }

    /// As [`Self::let_come`], besides one that has died.
    async fn let_others_come(&self, dead: Option<u64>, state_dir: &Path) {
        if !has_elders(state_dir) {
            return;
        }
        tokio::time::sleep(COME).await;
        let late = async {
            while !self.has_one_besides(dead) && has_elders(state_dir) {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        let _ = tokio::time::timeout(COME_LATE, late).await;
    }
}

impl Place {
    /// Writes down how it stands now.
    pub(super) fn update(&self, status: BalancerStatus) {
        self.elders.statuses.send_modify(|statuses| drop(statuses.insert(self.number, status)));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.elders.statuses.send_modify(|statuses| drop(statuses.remove(&self.number)));
    }
}

/// Listens to one until it has ended: then its socket ends too, whichever way it went. When this process drains it is
/// told to hurry: whoever waits for the end of the balancer waits for all of it.
///
/// Where it was killed, those whose word it passed on live and come by themselves; what it said last counts until then.
pub(super) async fn follow(place: Place, stream: UnixStream, (state_dir, drain): (&Path, &Drain)) {
    listen_to_the_end(&place, stream, drain).await;
    place.elders.let_others_come(Some(place.number), state_dir).await;
}

async fn listen_to_the_end(place: &Place, mut stream: UnixStream, drain: &Drain) {
    let (mut reader, mut writer) = stream.split();
    let listening = async {
        loop {
            match link::receive(&mut reader).await {
                Ok(Message::Status(status)) => place.update(*status),
                Ok(other) => tracing::warn!("a process that has handed over says {other:?}"),
                // What it said last counts: its requests are open as long as it is there.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::warn!("a process that has handed over is not understood: {error}");
                }
                Err(_) => return,
            }
        }
    };
    let mut listening = std::pin::pin!(listening);
    tokio::select! {
        () = &mut listening => return,
        () = drain.requested() => {}
    }
    // It may have ended just now.
    let _ = link::send(&mut writer, &Message::End).await;
    listening.await;
}

/// Puts together what this process and its elders say, for ever.
pub(crate) async fn merge(
    mut own: watch::Receiver<BalancerStatus>,
    elders: Elders,
    merged: watch::Sender<BalancerStatus>,
) {
    let mut others = elders.statuses.subscribe();
    // Of those that came before this listens nothing is announced.
    others.mark_changed();
    loop {
        tokio::select! {
            changed = own.changed() => if changed.is_err() { return },
            // The sender lives in `elders`.
            _ = others.changed() => {}
        }
        let status = own.borrow_and_update().clone();
        merged.send_replace(with_elders(status, others.borrow_and_update().values()));
    }
}

fn with_elders<'a>(
    mut status: BalancerStatus,
    elders: impl Iterator<Item = &'a BalancerStatus>,
) -> BalancerStatus {
    for elder in elders {
        status.serving = status.serving.min(elder.serving);
        for (instance, count) in &elder.draining {
            *status.draining.entry(*instance).or_default() += count;
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use tandem_types::{Epoch, InstanceId};
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn status(serving: u64, draining: &[(u64, u64)]) -> BalancerStatus {
        BalancerStatus {
            draining: draining.iter().map(|(id, count)| (InstanceId(*id), *count)).collect(),
            ..BalancerStatus::silent("box".parse().unwrap(), Epoch(serving))
        }
    }

    #[test]
    fn the_earliest_epoch_counts_and_the_requests_of_all() {
        let own = status(8, &[(1, 2), (2, 1)]);
        let elders = [status(7, &[(1, 3)]), status(8, &[(4, 1)])];
        assert_eq!(with_elders(own.clone(), elders.iter()), status(7, &[(1, 5), (2, 1), (4, 1)]));
        assert_eq!(with_elders(own.clone(), [].iter()), own);
    }

    #[tokio::test]
    async fn an_elder_counts_until_it_is_gone() {
        let elders = Elders::default();
        let (own, statuses) = watch::channel(status(8, &[]));
        let (sender, mut merged) = watch::channel(status(0, &[]));
        let merging = tandem_kit::tasks::owned("merge", merge(statuses, elders.clone(), sender));
        let place = elders.add(status(7, &[(1, 1)]));
        merged.wait_for(|merged| *merged == status(7, &[(1, 1)])).await.unwrap();
        own.send_replace(status(9, &[]));
        place.update(status(9, &[(1, 1)]));
        merged.wait_for(|merged| *merged == status(9, &[(1, 1)])).await.unwrap();
        assert!(!elders.are_gone());
        drop(place);
        merged.wait_for(|merged| *merged == status(9, &[])).await.unwrap();
        assert!(elders.are_gone());
        drop(own);
        merging.await;
    }

    #[tokio::test]
    async fn an_elder_that_is_not_understood_counts_until_it_is_gone() {
        let elders = Elders::default();
        let place = elders.add(status(7, &[(1, 1)]));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (_trigger, drain) = tandem_kit::drain::channel();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let following = async move { follow(place, ours, (&path, &drain)).await };
        let following = tandem_kit::tasks::owned("follow", following);
        theirs.write_u32(2).await.unwrap();
        theirs.write_all(b"{}").await.unwrap();
        link::send(&mut theirs, &Message::Status(Box::new(status(9, &[(1, 1)])))).await.unwrap();
        let mut statuses = elders.statuses.subscribe();
        let heard = statuses.wait_for(|all| all.values().eq([&status(9, &[(1, 1)])]));
        tokio::time::timeout(std::time::Duration::from_secs(20), heard).await.expect("it counts").unwrap();
        drop(theirs);
        following.await;
        assert!(elders.are_gone());
    }

    #[tokio::test]
    async fn one_that_died_counts_until_those_come_whose_word_it_passed_on() {
        let elders = Elders::default();
        let place = elders.add(status(7, &[(1, 1)]));
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (_trigger, drain) = tandem_kit::drain::channel();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let _mark = tandem_kit::files::lock_shared(&path.join("elders.lock")).unwrap().unwrap();
        let following = async move { follow(place, ours, (&path, &drain)).await };
        let mut following = tandem_kit::tasks::owned("follow", following);
        drop(theirs);
        assert!(tokio::time::timeout(COME * 2, &mut following).await.is_err(), "nobody has come yet");
        let _come = elders.add(status(8, &[(1, 1)]));
        following.await;
        assert!(elders.statuses.borrow().values().eq([&status(8, &[(1, 1)])]));
    }
}
