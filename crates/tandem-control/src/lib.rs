//! Use cases and reconcilers: apps, builds, rollouts, hosts, secrets.

pub mod event_log;
pub mod secrets;
