//! Control groups: one per instance, job and build command.

mod group;
mod hierarchy;
mod limits;
#[cfg(test)]
mod tests;

pub(crate) use group::join_shims;
pub use group::{Error, Group, list, remove_parent};
pub(crate) use hierarchy::Hierarchies;
