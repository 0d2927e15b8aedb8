//! Child processes: isolation, limits, signals and the shim that outlives Tandem.
//!
//! Whoever wants something to run describes it as a [`Spec`] and either runs it to its end ([`run`]) or gives it to a
//! shim that lives on by itself ([`shim`]). Trusted programs of the host (git, uv) are called through [`tool`].

pub mod cgroup;
pub mod isolation;
pub mod listener;
pub mod logs;
pub mod run;
pub mod shim;
pub mod spec;
pub mod tool;

pub use isolation::isolation;
pub use spec::{Limits, Mount, Network, Spec, User, Weight};
