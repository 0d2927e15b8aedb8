//! Since when reports are received without a gap.
//!
//! A server that starts has heard of nobody; one that was stopped for a minute has heard of nobody lately. Both must not take
//! silence for an answer: rules count limits of what reports should tell from here on, and take nobody for gone before there was
//! the time to report.

use std::sync::{Mutex, PoisonError};

use tandem_kit::attention::{Attention, NOTE_EVERY};
use tandem_kit::clock::Clock;
use tandem_kit::steady::Steady;
use tandem_types::Timestamp;

/// See the module.
#[derive(Debug)]
pub(crate) struct Observing {
    steady: Steady,
    attention: Attention,
    since: Mutex<Timestamp>,
}

impl Observing {
    /// From now on.
    pub(crate) fn new(steady: Steady, clock: Clock) -> Self {
        let since = Mutex::new(steady.now());
        Self { steady, attention: Attention::new(clock), since }
    }

    /// At work from now on: what it took to come here is the start, and no gap.
    pub(crate) fn begin(&self) {
        let _ = self.attention.note();
    }

    /// Since when. Asked by who is about to decide, so that nothing is decided behind a gap before it is known.
    pub(crate) fn since(&self) -> Timestamp {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(absence) = self.attention.note() {
            tracing::warn!(
                "did nothing for {absence:?}; waiting for reports before anything is taken for silent"
            );
            *since = self.steady.now();
        }
        *since
    }

    /// Notices gaps, for ever.
    pub(crate) async fn keep(&self) {
        loop {
            let _ = self.since();
            tokio::time::sleep(NOTE_EVERY).await;
        }
    }

    #[cfg(test)]
    pub(crate) fn listened(&self, length: std::time::Duration) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) -= length;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn after_a_gap_nobody_has_been_heard_yet() {
        let (clock, hands) = Clock::manual("2026-11-21T12:00:00Z".parse().unwrap());
        let steady = Steady::new(clock.clone());
        let observing = Observing::new(steady.clone(), clock);
        let begin = steady.now();
        for _ in 0..30 {
            hands.advance(NOTE_EVERY);
            assert_eq!(observing.since(), begin);
        }
        hands.advance(Duration::from_secs(60));
        assert_eq!(observing.since(), steady.now());
    }
}
