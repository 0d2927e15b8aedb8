//! Counts good and bad probes of one instance and says when it goes out of its pool and when it comes back.
//!
//! One miss means little (a garbage collection, a full queue), so it takes several in a row to change anything. Who
//! probes, how and when is left to the runner (gate) and to the balancer (pool).

use tandem_types::defaults;

/// How many equal outcomes in a row change the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Failures in a row that take a healthy instance out. At least 1.
    pub failures_out: u32,
    /// Good answers in a row that bring it back. At least 1.
    pub successes_back: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { failures_out: defaults::PROBE_FAILURES_OUT, successes_back: defaults::PROBE_SUCCESSES_BACK }
    }
}

/// How one probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It answered in time with a status below 500.
    Good,
    /// It refused, timed out or answered with 500 and above.
    Bad,
}

/// What one outcome changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was healthy and is so no longer.
    Out,
    /// It was not healthy and is so now.
    Back,
}

/// The health of one instance by its probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    thresholds: Thresholds,
    healthy: bool,
    /// Outcomes in a row that speak against `healthy`.
    against: u32,
}

impl Probe {
    /// Healthy until enough failures in a row: for an instance that passed a gate elsewhere.
    #[must_use]
    pub fn trusted(thresholds: Thresholds) -> Self {
        Self { thresholds, healthy: true, against: 0 }
    }

    /// Not healthy until enough good answers in a row: for an instance nobody vouches for.
    #[must_use]
    pub fn untrusted(thresholds: Thresholds) -> Self {
        Self { thresholds, healthy: false, against: 0 }
    }

    /// Takes in one outcome; says so when it changes the state.
    pub fn record(&mut self, outcome: Outcome) -> Option<Change> {
        if (outcome == Outcome::Good) == self.healthy {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if self.healthy { self.thresholds.failures_out } else { self.thresholds.successes_back };
        if self.against < needed {
            return None;
        }
        self.against = 0;
        self.healthy = !self.healthy;
        Some(if self.healthy { Change::Back } else { Change::Out })
    }

    /// Takes the instance out at once: something surer than a probe said so (its port refused a connection).
    pub fn take_out(&mut self) {
        self.healthy = false;
        self.against = 0;
    }

    /// Brings the instance in at once: something surer than the count said so (the first probe after a restart of
    /// whoever counts).
    pub fn bring_in(&mut self) {
        self.healthy = true;
        self.against = 0;
    }

    /// Whether it should take traffic.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }
}

#[cfg(test)]
mod tests;
