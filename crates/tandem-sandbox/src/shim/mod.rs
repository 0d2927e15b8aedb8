//! The shim: a small process of its own that holds one instance or job and outlives the runner.
//!
//! It holds what cannot be handed over: the output pipes, the right to learn the exit code, and the tie by which the kernel
//! kills the app when its keeper dies. So a runner may end, crash and come back as a newer version at any time.
//!
//! Its folder has `spec.json` (what to run, without what is secret, 0600), `shim.json` (which process it is), `shim.lock`
//! (held from before its first instruction to its end), and in the end `exit.json`, synced before anybody is told.

mod adopt;
mod control;
mod handle;
pub(crate) mod input;
mod launch;
mod main;
pub(crate) mod record;
mod secrets;
mod session;
#[cfg(test)]
mod tests;

pub use adopt::{Adopted, adopt};
pub use handle::{Error, ShimHandle, Status};
pub use launch::{LaunchError, ShimSpec, launch};
pub use main::main;
pub use record::ExitRecord;
pub use secrets::Secrets;
