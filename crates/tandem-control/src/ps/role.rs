//! What people call what an instance does for its app: serving, running, starting, warm, draining.

use tandem_types::InstanceId;
use tandem_types::assignment::Desired;
use tandem_types::rollout::{Rollout, RolloutState};

/// Everything that tells the role of one instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) desired: Desired,
    pub(super) is_web: bool,
    pub(super) is_ready: bool,
    /// It runs the release that takes the traffic.
    pub(super) is_current: bool,
    /// The serving table routes to it.
    pub(super) serves: bool,
    /// A balancer has open requests on it and routes no more to it.
    pub(super) drains: bool,
    /// Its release is kept for a rollback.
    pub(super) is_kept: bool,
    /// What a rollout under way does with it.
    pub(super) part: Option<Part>,
}

/// Which way a rollout under way moves an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Arrives,
    Leaves,
}

/// Which way the rollout moves the instance, if it does.
pub(super) fn part(rollout: &Rollout, id: InstanceId) -> Option<Part> {
    let back = matches!(rollout.state, RolloutState::Reverting | RolloutState::Cleaning);
    let (arrives, leaves) =
        if back { (&rollout.outgoing, &rollout.incoming) } else { (&rollout.incoming, &rollout.outgoing) };
    if arrives.contains(&id) {
        return Some(Part::Arrives);
    }
    leaves.contains(&id).then_some(Part::Leaves)
}

/// The word for it.
pub(super) fn role(facts: &Facts) -> &'static str {
    match facts {
        Facts { desired: Desired::Stop, .. } => "draining",
        Facts { serves: true, .. } => "serving",
        Facts { is_web: false, is_ready: true, .. } => "running",
        Facts { is_web: false, .. } => "starting",
        Facts { drains: true, .. } => "draining",
        Facts { desired: Desired::Warm, is_kept: true, .. } => "warm",
        Facts { part: Some(Part::Arrives), .. } => "starting",
        Facts { desired: Desired::Run, part: None, is_current: true, .. } => "starting",
        // Out of the pool, not wanted back, and running on only for what may still reach it.
        _ => "draining",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A web instance of the current release that is ready and nothing else.
    const PLAIN: Facts = Facts {
        desired: Desired::Run,
        is_web: true,
        is_ready: true,
        is_current: true,
        serves: false,
        drains: false,
        is_kept: false,
        part: None,
    };
    const OLD: Facts = Facts { is_current: false, ..PLAIN };
    const WORKER: Facts = Facts { is_web: false, ..PLAIN };

    #[test]
    fn every_instance_has_the_role_that_people_expect() {
        let (arrives, leaves) = (Some(Part::Arrives), Some(Part::Leaves));
        for (what, facts, expected) in [
            ("in the pool", Facts { serves: true, ..PLAIN }, "serving"),
            ("in the pool and unhealthy", Facts { serves: true, is_ready: false, ..PLAIN }, "serving"),
            (
                "in the pool, leaving at the next epoch",
                Facts { serves: true, part: leaves, ..OLD },
                "serving",
            ),
            ("brought up by a deploy", Facts { part: arrives, is_ready: false, ..OLD }, "starting"),
            ("up, before the traffic moves", Facts { part: arrives, ..OLD }, "starting"),
            (
                "warm, taken back by a rollback",
                Facts { part: arrives, desired: Desired::Warm, ..OLD },
                "starting",
            ),
            ("lost its traffic, requests finish", Facts { part: leaves, ..OLD }, "draining"),
            ("holds websockets of a restart", Facts { part: leaves, drains: true, ..PLAIN }, "draining"),
            ("kept for a rollback", Facts { is_kept: true, desired: Desired::Warm, ..OLD }, "warm"),
            (
                "kept, a request still open",
                Facts { is_kept: true, drains: true, desired: Desired::Warm, ..OLD },
                "draining",
            ),
            ("of a retired release, may be routed to", Facts { desired: Desired::Warm, ..OLD }, "draining"),
            ("scaled down, may be routed to", Facts { desired: Desired::Warm, ..PLAIN }, "draining"),
            ("asked to stop", Facts { desired: Desired::Stop, ..PLAIN }, "draining"),
            (
                "asked to stop while in the pool",
                Facts { desired: Desired::Stop, serves: true, ..PLAIN },
                "draining",
            ),
            ("of an app that is destroyed", OLD, "draining"),
            ("not in the pool yet", PLAIN, "starting"),
            ("a worker", WORKER, "running"),
            ("a worker that crashed", Facts { is_ready: false, ..WORKER }, "starting"),
            (
                "an old worker while the new one comes up",
                Facts { part: leaves, is_current: false, ..WORKER },
                "running",
            ),
        ] {
            assert_eq!(role(&facts), expected, "{what}");
        }
    }
}
