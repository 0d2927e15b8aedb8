//! Child processes: isolation, limits, signals and the shim that outlives Tandem.
//!
//! Whoever wants something to run describes it as a [`Spec`] and either runs it to its end ([`run`]) or gives it to a
//! shim that lives on by itself ([`shim`]). Trusted programs of the host (git, uv) are called through [`tool`].

mod bubblewrap;
pub mod cgroup;
mod check;
mod command;
mod environment;
#[doc(hidden)]
pub mod fuzzing;
pub mod isolation;
pub mod listener;
pub mod logs;
mod members;
mod mount_points;
pub mod packet_rules;
mod plain;
pub mod process;
pub mod run;
pub mod shim;
mod spawn;
pub mod spec;
mod supervisor;
pub mod tool;

pub use check::Error as SpecError;
pub use isolation::{isolation, limits};
pub use spec::{Limits, Mount, Network, Spec, User, Weight};
pub use supervisor::StartError;

#[cfg(test)]
mod tests;
