//! One signal for everything: the process is asked to end.
//!
//! Whoever owns the process (its `main`) holds the [`Trigger`]; every component takes a [`Drain`], finishes the
//! step it is in and returns. The signal never goes back. How long the rest gets is the business of `main`
//! (see [`crate::tasks::Tasks::join`]).

use std::sync::Arc;

use tokio::sync::watch;

/// A pair of trigger and signal.
#[must_use]
pub fn channel() -> (Trigger, Drain) {
    let drain = Drain { requested: Arc::new(watch::Sender::new(false)) };
    (Trigger { drain: drain.clone() }, drain)
}

/// Asks for the end. Dropping it asks for nothing.
#[derive(Debug, Clone)]
pub struct Trigger {
    drain: Drain,
}

impl Trigger {
    /// Asks everybody who holds the signal to end. Doing it twice is the same as once.
    pub fn fire(&self) {
        self.drain.fire();
    }
}

/// The signal, cheap to clone.
#[derive(Debug, Clone)]
pub struct Drain {
    requested: Arc<watch::Sender<bool>>,
}

impl Drain {
    /// Waits until the end is asked for; returns at once when it already is.
    pub async fn requested(&self) {
        let mut receiver = self.requested.subscribe();
        // The sender lives in `self`, so the channel cannot close while we wait.
        let _ = receiver.wait_for(|requested| *requested).await;
    }

    /// Whether the end has been asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// A task whose failure ends the process asks for the end by itself.
    pub(crate) fn fire(&self) {
        self.requested.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_given_before_anybody_waited_is_not_lost() {
        let (trigger, drain) = channel();
        trigger.fire();
        assert!(drain.is_requested());
        drain.requested().await;
    }

    #[tokio::test]
    async fn all_waiters_hear_one_signal_and_a_lost_trigger_is_none() {
        let (trigger, drain) = channel();
        drop(trigger.clone());
        assert!(!drain.is_requested());
        let waiting = futures_util::future::join(drain.requested(), drain.requested());
        trigger.fire();
        waiting.await;
    }
}
