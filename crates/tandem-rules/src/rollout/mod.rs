//! Rollouts: the state machine that moves an environment's traffic from one release to another.
//!
//! [`plan`] looks at a world and says what to write next; whoever carries it out looks again afterwards. All that a
//! rollout knows is in its document, so it goes on after a crash at any moment as if nothing had happened. One file
//! holds one state or a group of them: `queued`, `building`, `staging`, `jobs` (smoke check and release phase),
//! `starting`, `shifting` (prepare and commit), `draining` (and soak), `reverting`, `cleaning`.

mod begin;
mod building;
mod cleaning;
mod draining;
mod jobs;
mod plan;
mod problems;
mod progress;
mod queued;
mod reverting;
mod shifting;
mod staging;
mod starting;
mod step;
#[cfg(test)]
pub(crate) mod tests;

pub use building::{Built, build_failed, built};
pub use plan::{Plan, plan};
pub use progress::{Told, untold};
pub use queued::{PREEMPTED, preempted_by_rollback, queued};
pub use step::{before_shift, domain_taken};
