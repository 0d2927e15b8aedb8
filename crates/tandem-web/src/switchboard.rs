//! Where clients of one-off commands and the runners that have these meet.
//!
//! Nobody commands a runner, and a server may not even reach one. So each runner offers a connection for each such command
//! that it runs, and offers the next as soon as one is taken. Nothing here outlives the server: then both sides ask again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tandem_types::JobId;
use tandem_types::frame::NOTHING;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, oneshot};

/// Offers kept for one command. A runner makes one at a time; one that is gone may have left some.
const MOST_OFFERS: usize = 4;

/// Asks the keeper of a connection for it.
type Offer<L> = oneshot::Sender<oneshot::Sender<L>>;

/// Offered connections by command. Cheap to clone.
pub(crate) struct Switchboard<L = TokioIo<Upgraded>> {
    offers: Arc<Mutex<HashMap<JobId, VecDeque<Offer<L>>>>>,
    changed: Arc<Notify>,
}

impl<L> Clone for Switchboard<L> {
    fn clone(&self) -> Self {
        Self { offers: Arc::clone(&self.offers), changed: Arc::clone(&self.changed) }
    }
}

impl<L> Default for Switchboard<L> {
    fn default() -> Self {
        Self { offers: Arc::default(), changed: Arc::default() }
    }
}

impl<L: AsyncRead + AsyncWrite + Unpin> Switchboard<L> {
    /// Keeps a connection until it is taken, its runner has ended it, or newer ones take its place.
    pub(crate) async fn keep(&self, session: JobId, mut link: L) {
        let (offer, wanted) = oneshot::channel();
        self.put(session, offer);
        let mut byte = [0];
        tokio::select! {
            biased;
            // A runner speaks only when it is spoken to, so all that can come is the end.
            _ = link.read(&mut byte) => {}
            asker = wanted => {
                if let Ok(asker) = asker {
                    // Who asked may have gone meanwhile; the runner offers another.
                    drop(asker.send(link));
                }
                return;
            }
        }
        drop(link);
        self.clear(session);
    }

    /// Waits for a connection to the shim of a command. Of those that are there the newest is the likeliest to live.
    ///
    /// Its runner hears of it at once and offers the next: else a client that says nothing would keep others out.
    pub(crate) async fn take(&self, session: JobId) -> L {
        loop {
            let changed = self.changed.notified();
            while let Some(offer) = self.newest(session) {
                let (give, given) = oneshot::channel();
                if offer.send(give).is_err() {
                    continue;
                }
                let Ok(mut link) = given.await else { continue };
                if link.write_all(&NOTHING).await.is_ok() && link.flush().await.is_ok() {
                    return link;
                }
            }
            changed.await;
        }
    }

    fn put(&self, session: JobId, offer: Offer<L>) {
        let mut offers = self.lock();
        let own = offers.entry(session).or_default();
        own.push_back(offer);
        if own.len() > MOST_OFFERS {
            own.pop_front();
        }
        drop(offers);
        self.changed.notify_waiters();
    }

    fn newest(&self, session: JobId) -> Option<Offer<L>> {
        let mut offers = self.lock();
        let own = offers.get_mut(&session)?;
        let newest = own.pop_back();
        if own.is_empty() {
            offers.remove(&session);
        }
        newest
    }

    /// Forgets the offers of a command whose connections are gone.
    fn clear(&self, session: JobId) {
        let mut offers = self.lock();
        let Some(own) = offers.get_mut(&session) else { return };
        own.retain(|offer| !offer.is_closed());
        if own.is_empty() {
            offers.remove(&session);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, VecDeque<Offer<L>>>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tandem_kit::tasks::{Owned, owned};
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const SESSION: JobId = JobId(7);

    /// The runner's end of a connection that is offered.
    async fn offered(board: &Switchboard<DuplexStream>) -> (DuplexStream, Owned<()>) {
        let ((runner, link), board) = (duplex(64), board.clone());
        let before = board.lock().get(&SESSION).map_or(0, VecDeque::len);
        let keeper = board.clone();
        let kept = owned("test-offer", async move { keeper.keep(SESSION, link).await });
        while board.lock().get(&SESSION).map_or(0, VecDeque::len) == before && !kept.is_finished() {
            if before == MOST_OFFERS {
                tokio::task::yield_now().await;
                break;
            }
            tokio::task::yield_now().await;
        }
        (runner, kept)
    }

    #[tokio::test]
    async fn an_offer_whose_runner_is_gone_leaves_nothing_behind() {
        let board = Switchboard::default();
        let (runner, kept) = offered(&board).await;
        drop(runner);
        kept.await;
        assert!(board.lock().is_empty());
    }

    #[tokio::test]
    async fn the_runner_hears_at_once_that_its_offer_is_taken_and_the_oldest_of_many_goes() {
        let board = Switchboard::default();
        let mut runners = Vec::new();
        for _ in 0..=MOST_OFFERS {
            runners.push(offered(&board).await);
        }
        let (mut oldest, kept) = runners.remove(0);
        kept.await;
        assert_eq!(oldest.read(&mut [0]).await.unwrap(), 0, "it is closed");
        let mut link = board.take(SESSION).await;
        let (mut newest, _) = runners.pop().unwrap();
        let mut heard = [1; NOTHING.len()];
        newest.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, NOTHING);
        link.write_all(b"hello").await.unwrap();
        newest.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }
}
