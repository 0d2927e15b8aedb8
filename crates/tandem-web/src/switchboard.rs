//! Where clients of one-off commands and the runners that have these meet.
//!
//! Nobody commands a runner, and a server may not even reach one. So each runner offers a connection for each such command
//! that it runs, and offers the next as soon as one is taken. Nothing here outlives the server: then both sides ask again.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tandem_types::JobId;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

/// Offers kept for one command. A runner makes one at a time; one that is gone may have left some.
const MOST_OFFERS: usize = 4;

/// Offered connections by command. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Switchboard {
    offers: Arc<Mutex<HashMap<JobId, VecDeque<OnUpgrade>>>>,
    changed: Arc<Notify>,
}

impl Switchboard {
    /// Keeps a connection that will be there once its request was answered.
    pub(crate) fn offer(&self, session: JobId, offer: OnUpgrade) {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = offers.entry(session).or_default();
        own.push_back(offer);
        if own.len() > MOST_OFFERS {
            own.pop_front();
        }
        drop(offers);
        self.changed.notify_waiters();
    }

    /// Waits for a connection to the shim of a command. Of those that are there the newest is the likeliest to live.
    pub(crate) async fn take(&self, session: JobId) -> TokioIo<Upgraded> {
        loop {
            let changed = self.changed.notified();
            while let Some(offer) = self.newest(session) {
                if let Ok(upgraded) = offer.await {
                    let mut link = TokioIo::new(upgraded);
                    if lives(&mut link) {
                        return link;
                    }
                }
            }
            changed.await;
        }
    }

    /// Forgets what was offered for a command that is over.
    pub(crate) fn forget(&self, session: JobId) {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }

    fn newest(&self, session: JobId) -> Option<OnUpgrade> {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        offers.get_mut(&session)?.pop_back()
    }
}

/// Whether nothing has come yet: a runner speaks only when it is spoken to, so all that can come is the end.
fn lives(link: &mut TokioIo<Upgraded>) -> bool {
    let mut byte = [0];
    let read = std::future::poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut byte);
        Pin::new(&mut *link).poll_read(context, &mut buffer)
    });
    let read: Option<io::Result<()>> = read.now_or_never();
    read.is_none()
}
