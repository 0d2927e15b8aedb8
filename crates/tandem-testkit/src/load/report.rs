//! What came of the load.

use std::collections::BTreeMap;
use std::time::Duration;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A page on a fresh connection.
    Page,
    /// An entry, written.
    Write,
    /// A page that takes seconds.
    Slow,
    /// A page on a kept connection.
    Kept,
    /// A body, sent without a form.
    Post,
    /// A body on a kept connection.
    KeptPost,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What was asked for.
    pub kind: Kind,
    /// When it was due, from the load's begin.
    pub due: Duration,
    /// From when it was due to the end of the answer.
    pub latency: Duration,
    /// The status, or why there is none.
    pub outcome: Result<u16, String>,
}

impl Sample {
    /// Whether a visitor would have seen something wrong.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        !matches!(self.outcome, Ok(status) if status < 400)
    }
}

/// All requests of one load.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// In the order in which they ended.
    pub samples: Vec<Sample>,
    /// Requests that went out on a fresh connection because the other side had closed their kept one, without a word,
    /// before they were written. Nothing of them is lost, but nobody who serves well does that.
    pub stale: u64,
}

impl Report {
    /// Requests that failed.
    #[must_use]
    pub fn failures(&self) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.has_failed()).collect()
    }

    /// How many requests there were of each kind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for sample in &self.samples {
            *counts.entry(sample.kind).or_default() += 1;
        }
        counts
    }

    /// Latencies of one kind, sorted.
    #[must_use]
    pub fn latencies(&self, kind: Kind) -> Vec<Duration> {
        let of_kind = self.samples.iter().filter(|sample| sample.kind == kind);
        let mut latencies: Vec<_> = of_kind.map(|sample| sample.latency).collect();
        latencies.sort();
        latencies
    }

    /// Proves that [`Mix::default`](super::Mix) was asked for, every kind of it, and that nothing of it was lost.
    ///
    /// # Panics
    ///
    /// As [`Self::expect_nothing_lost`], and where a kind never came.
    #[track_caller]
    pub fn expect_no_failures(&self) {
        let counts = self.counts();
        assert_eq!(counts.len(), 4, "some kind of load never came: {counts:?}");
        self.expect_nothing_lost();
    }

    /// Proves that there was load, that none of it failed, and that no kept connection was closed without a word: while
    /// balancers live, or follow each other well, clients are told before.
    ///
    /// # Panics
    ///
    /// With the first failures, where there are any.
    #[track_caller]
    pub fn expect_nothing_lost(&self) {
        if let Some(loss) = self.loss() {
            panic!("{loss}");
        }
    }

    /// What [`Self::expect_nothing_lost`] would panic with; none where it would not.
    #[must_use]
    pub fn loss(&self) -> Option<String> {
        let (failures, all) = (self.failures(), self.samples.len());
        let kept = |sample: &Sample| matches!(sample.kind, Kind::Kept | Kind::KeptPost);
        if !failures.is_empty() {
            let first: Vec<_> = failures.iter().take(10).map(|sample| format!("{sample:?}")).collect();
            let (failed, first) = (failures.len(), first.join("\n  "));
            Some(format!("{failed} of {all} requests failed, such as\n  {first}"))
        } else if !self.samples.iter().any(kept) {
            Some(format!("nobody asked on a kept connection: {:?}", self.counts()))
        } else if self.stale > 0 {
            Some(format!("{} kept connections were closed without a word, of {all} requests", self.stale))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kind: Kind, outcome: Result<u16, String>) -> Sample {
        Sample { kind, due: Duration::ZERO, latency: Duration::from_millis(5), outcome }
    }

    #[test]
    fn everything_but_an_answer_below_400_is_a_failure() {
        assert!(!sample(Kind::Page, Ok(200)).has_failed());
        assert!(!sample(Kind::Write, Ok(302)).has_failed());
        assert!(sample(Kind::Page, Ok(404)).has_failed());
        assert!(sample(Kind::Page, Ok(502)).has_failed());
        assert!(sample(Kind::Page, Err("reset".to_owned())).has_failed());
    }

    #[test]
    #[should_panic(expected = "some kind of load never came")]
    fn a_load_without_writes_proves_nothing() {
        let kinds = [Kind::Page, Kind::Slow, Kind::Kept];
        let samples = kinds.map(|kind| sample(kind, Ok(200))).to_vec();
        Report { samples, stale: 0 }.expect_no_failures();
    }

    #[test]
    #[should_panic(expected = "closed without a word")]
    fn a_kept_connection_that_was_closed_without_a_word_is_a_loss() {
        let samples = vec![sample(Kind::Page, Ok(200)), sample(Kind::Kept, Ok(200))];
        Report { samples, stale: 1 }.expect_nothing_lost();
    }

    #[test]
    #[should_panic(expected = "nobody asked on a kept connection")]
    fn a_load_without_kept_connections_does_not_prove_that_none_was_closed() {
        Report { samples: vec![sample(Kind::Page, Ok(200))], stale: 0 }.expect_nothing_lost();
    }
}
