//! Whether one instance may take traffic: not yet, now, or no longer.
//!
//! Before it passed, it is probed often and two good answers in a row let it in; from then on it is probed slowly,
//! and a few misses in a row take it out until it answers again. Instances without a port pass by staying alive.
//! Pure: the probes are made in [`crate::probe`], the clock is read by the actor.

use std::time::Duration;

use tandem_rules::probe::{Outcome, Probe, Thresholds};
use tandem_types::defaults;
use tandem_types::instance::InstanceState;

/// The gate of one run of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    probe: Probe,
    passed: bool,
}

impl Gate {
    /// For an instance that has just started.
    pub(crate) fn closed() -> Self {
        let first = Thresholds { successes_back: defaults::READINESS_SUCCESSES, ..Thresholds::default() };
        Self { probe: Probe::untrusted(first), passed: false }
    }

    /// For an instance that passed under an earlier process of the runner: it keeps its traffic until probes fail.
    pub(crate) fn passed_before() -> Self {
        Self { probe: Probe::trusted(Thresholds::default()), passed: true }
    }

    /// Takes in how one probe ended. True when [`Gate::state`] is another now.
    pub(crate) fn note(&mut self, good: bool) -> bool {
        let outcome = if good { Outcome::Good } else { Outcome::Bad };
        let changed = self.probe.record(outcome).is_some();
        if changed && !self.passed {
            *self = Self::passed_before();
        }
        changed
    }

    /// Lets it pass without a probe: it has no port and stayed alive.
    pub(crate) fn open(&mut self) {
        *self = Self::passed_before();
    }

    /// Whether it passed once.
    pub(crate) fn has_passed(&self) -> bool {
        self.passed
    }

    /// Time from one probe to the next.
    pub(crate) fn interval(&self) -> Duration {
        let interval = if self.passed { defaults::PROBE_INTERVAL } else { defaults::READINESS_INTERVAL };
        interval.as_duration()
    }

    /// As it is reported.
    pub(crate) fn state(&self) -> InstanceState {
        match (self.passed, self.probe.is_healthy()) {
            (false, _) => InstanceState::Starting,
            (true, true) => InstanceState::Ready,
            (true, false) => InstanceState::Unhealthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InstanceState::{Ready, Starting, Unhealthy};

    fn states(mut gate: Gate, probes: &str) -> Vec<InstanceState> {
        let note = |answer| {
            gate.note(answer == '+');
            gate.state()
        };
        probes.chars().map(note).collect()
    }

    #[test]
    fn two_good_answers_in_a_row_open_the_gate() {
        assert_eq!(states(Gate::closed(), "++"), [Starting, Ready]);
        assert_eq!(states(Gate::closed(), "-+-++"), [Starting, Starting, Starting, Starting, Ready]);
        assert_eq!(states(Gate::closed(), "-----"), [Starting; 5]);
    }

    #[test]
    fn three_misses_in_a_row_close_it_and_two_good_answers_open_it_again() {
        let expected = [Ready, Ready, Ready, Ready, Ready, Unhealthy, Unhealthy, Ready];
        assert_eq!(states(Gate::passed_before(), "--+---++"), expected);
    }

    #[test]
    fn an_adopted_instance_is_ready_from_the_first_moment() {
        assert_eq!(Gate::passed_before().state(), Ready);
        assert_eq!(Gate::closed().state(), Starting);
    }

    #[test]
    fn it_is_probed_often_only_before_it_passed() {
        let mut gate = Gate::closed();
        assert_eq!(gate.interval(), defaults::READINESS_INTERVAL.as_duration());
        gate.open();
        assert!(gate.has_passed());
        assert_eq!(gate.interval(), defaults::PROBE_INTERVAL.as_duration());
    }

    #[test]
    fn only_a_change_of_state_is_told() {
        let mut gate = Gate::closed();
        assert_eq!(
            "++---".chars().map(|a| gate.note(a == '+')).collect::<Vec<_>>(),
            [false, true, false, false, true]
        );
    }
}
