//! What an actor is told, as a state it can look at any time.

use std::sync::Arc;

use tandem_types::assignment::Desired;
use tokio::sync::watch;

use crate::intent::{Intent, JobIntent};

/// What an instance or a job should be, and whether it should still be at all.
#[derive(Debug)]
pub(crate) struct Order<T> {
    /// What it should be.
    pub(crate) intent: Arc<T>,
    /// An assignment that is obeyed says so, and not only the record of an earlier process of the runner.
    pub(crate) confirmed: bool,
    /// Whether it should be at all.
    pub(crate) fate: Fate,
}

/// Whether an instance or a job should be at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It should.
    Stay,
    /// Everything on this host ends, and may begin again: end the process, and keep what must not happen twice.
    Halt,
    /// Nobody names it: end the process and remove the folder.
    Leave,
}

impl<T> Clone for Order<T> {
    /// Also where `T` itself cannot be cloned.
    fn clone(&self) -> Self {
        Self { intent: Arc::clone(&self.intent), confirmed: self.confirmed, fate: self.fate }
    }
}

/// Intents that may ask for an end by themselves.
pub(crate) trait Wish {
    /// Whether the process should end, its actor staying to tell of it.
    fn wants_end(&self) -> bool;
}

impl Wish for Intent {
    fn wants_end(&self) -> bool {
        self.instance.desired == Desired::Stop
    }
}

impl Wish for JobIntent {
    fn wants_end(&self) -> bool {
        self.job.canceled
    }
}

impl<T: Wish> Order<T> {
    /// Whether the process should end, for whatever reason.
    pub(crate) fn wants_end(&self) -> bool {
        self.fate != Fate::Stay || self.intent.wants_end()
    }
}

/// An actor's side of its orders. Who gives them may go first (the runner leaves its instances running): then they
/// never change again.
#[derive(Debug, Clone)]
pub(crate) struct Orders<T>(watch::Receiver<Order<T>>);

impl<T: Wish> Orders<T> {
    /// Orders, and where they are given.
    pub(crate) fn channel(first: Order<T>) -> (watch::Sender<Order<T>>, Self) {
        let (sender, receiver) = watch::channel(first);
        (sender, Self(receiver))
    }

    /// The order as it stands.
    pub(crate) fn now(&self) -> Order<T> {
        self.0.borrow().clone()
    }

    /// Waits for one that this actor has not seen, and returns it.
    pub(crate) async fn next(&mut self) -> Order<T> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.0.borrow_and_update().clone()
    }

    /// Waits until the order is such; returns at once where it is already.
    pub(crate) async fn until(&mut self, holds: impl FnMut(&Order<T>) -> bool) {
        if self.0.wait_for(holds).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Does something unless the process should end meanwhile, or already.
    pub(crate) async fn unless_ended<R>(&mut self, work: impl Future<Output = R>) -> Option<R> {
        tokio::select! {
            biased;
            () = self.until(Order::wants_end) => None,
            done = work => Some(done),
        }
    }
}
