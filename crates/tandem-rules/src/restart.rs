//! How long to wait before a crashed instance is started again: doubling, with an upper bound, without an end.
//!
//! Runners ask this; giving up silently is not among the answers, because an app whose database was away for an
//! hour must come back by itself.

use tandem_types::{Span, defaults};

/// The back-off of one instance. The first start after a crash is soon, later ones ever later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A back-off that has seen no failure.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an end that nobody asked for after the process ran for `ran`, and says how long to wait before the
    /// next start. A process that ran for [`defaults::RESTART_FORGIVEN`] begins anew.
    pub fn ended(&mut self, ran: Span) -> Span {
        if ran >= defaults::RESTART_FORGIVEN {
            self.failures = 0;
        }
        let wait = defaults::RESTART_FIRST.as_millis() << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        Span::millis(wait.min(defaults::RESTART_MOST.as_millis()))
    }

    /// Ends since the last forgiven one.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_never_end() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..9).map(|_| backoff.ended(Span::seconds(1)).as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        for _ in 0..100 {
            assert_eq!(backoff.ended(Span::seconds(1)), defaults::RESTART_MOST);
        }
    }

    #[test]
    fn a_long_run_is_forgiven() {
        let mut backoff = Backoff::new();
        backoff.ended(Span::seconds(1));
        backoff.ended(Span::seconds(1));
        assert_eq!(backoff.ended(defaults::RESTART_FORGIVEN), defaults::RESTART_FIRST);
        assert_eq!(backoff.failures(), 1);
    }
}
