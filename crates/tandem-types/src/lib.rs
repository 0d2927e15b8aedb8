//! The words of Tandem as values: ids, specifications, observations and wire messages.
//!
//! Every other crate speaks in these types, so that a document in the store, a body on the wire and a value
//! in a decision are one shape. There is no logic here beyond parsing and printing: decisions live in
//! `tandem-rules`, effects in the crates that have them.
//!
//! Stored kinds carry a format version (`rollout/1`, see [`document`]); adding a field bumps it, so that an
//! older server refuses to write over what it does not understand instead of dropping it.

pub mod api;
pub mod app;
pub mod assignment;
pub mod build;
pub mod canary;
pub mod defaults;
pub mod destroy;
pub mod disk;
pub mod document;
pub mod domain;
pub mod duration;
pub mod environment;
pub mod event;
#[cfg(test)]
mod formats;
pub mod frame;
pub mod git;
pub mod health;
pub mod https;
pub mod ids;
pub mod instance;
pub mod keys;
pub mod limits;
pub mod network;
pub mod pause;
pub mod problem;
pub mod release;
pub mod rollout;
pub mod routing;
pub mod session;
pub mod shim;
pub mod signal;
pub mod token;
pub mod traffic;
pub mod tree;
pub mod volume;

pub use duration::Span;
pub use health::{Health, Statuses};
pub use ids::{
    AppName, BalancerId, BuildNumber, Digest, EnvironmentName, Epoch, Fence, HostName, InstanceId, JobId,
    ProcessType, ReleaseNumber, Revision, RolloutNumber,
};
/// A point in time (UTC, nanoseconds), printed as RFC 3339.
pub use jiff::Timestamp;
pub use limits::Limits;
pub use network::Network;
pub use signal::StopSignal;
