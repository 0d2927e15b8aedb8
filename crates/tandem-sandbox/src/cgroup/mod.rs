//! Control groups: one per instance, job and build command.

mod group;

pub use group::{Error, Group, list};
