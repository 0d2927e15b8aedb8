//! The host reconciler: makes what runs here equal to the assignment document.
//!
//! Knows nothing but the documents it watches and the API client: it may be killed at any moment, comes back, takes over
//! what runs and goes on. [`Runner`] is built from a [`Config`] and run until a drain.

mod api;
mod assignments;
mod board;
mod carriage;
mod config;
mod context;
mod environment;
mod folders;
mod gate;
mod holds;
mod host;
mod instance;
mod intent;
mod job;
mod ledger;
mod logs;
mod order;
mod packet_rules;
mod plan;
mod port_range;
mod ports;
mod probe;
mod reconcile;
mod remembered;
mod removal;
mod report;
mod runner;
mod secrets;
mod spec;
mod stage;
mod tail;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod together;
mod traces;
mod volumes;

pub use volumes::{pack::Databases, worker};

/// What the kernel takes and the line that sets ports aside, where none are left for instances; none where all is well.
#[must_use]
pub fn lacking_ports() -> Option<(String, String)> {
    port_range::PortRange::lacking()
}

pub use remembered::{Remembered, remembered};
pub use runner::{Config, EndMode, Error, Runner};
