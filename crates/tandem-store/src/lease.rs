//! Holding a lease: the duty of whoever acts under one.
//!
//! The store ends a lease by its own clock. The holder cannot read that clock, so it counts by its monotonic clock from
//! *before* it sent the request: then it stops earlier than anybody else may begin, however long the answer
//! took and whatever the wall clock does. What it writes to the store carries the fence and is checked there; effects
//! outside of it are only safe while [`Held::is_safe`] says so.

use tandem_kit::clock::{Clock, Moment};
use tandem_types::Span;
use tandem_types::document::Lease;

use crate::{Error, Store};

/// A lease with its end by the holder's own clock.
#[derive(Debug, Clone)]
pub struct Held {
    lease: Lease,
    length: Span,
    until: Moment,
    clock: Clock,
}

impl Held {
    /// Takes a lease; none: somebody else holds it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn acquire(
        store: &dyn Store,
        clock: &Clock,
        (name, holder): (&str, &str),
        length: Span,
    ) -> Result<Option<Self>, Error> {
        let until = clock.monotonic() + length.as_duration();
        let lease = store.acquire(name, holder, length).await?;
        Ok(lease.map(|lease| Self { lease, length, until, clock: clock.clone() }))
    }

    /// Makes it last for its length again.
    ///
    /// # Errors
    /// [`Error::Fenced`]: it has ended, and so must whatever was done under it.
    pub async fn renew(&mut self, store: &dyn Store) -> Result<(), Error> {
        let until = self.clock.monotonic() + self.length.as_duration();
        self.lease = store.renew(&self.lease).await?;
        self.until = until;
        Ok(())
    }

    /// Gives it back.
    ///
    /// # Errors
    /// The store fails.
    pub async fn release(self, store: &dyn Store) -> Result<(), Error> {
        store.release(&self.lease).await
    }

    /// Whether nobody else can hold it yet.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.clock.monotonic() < self.until
    }

    /// The lease, for [`crate::Transaction::fenced`] and for effects that carry its fence.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }
}
