//! The data path: routes, pools, probes, retries, static files.
//!
//! A balancer follows the routing document and the hosts' observations through the API, and serves the last table it was
//! given for ever when the server is gone. [`serve`] faces the world, [`upstream`] the instances, [`table`] and [`control`]
//! the server; [`forward`] has the header rules. No decision about rollouts is made here, and nothing here waits for the
//! server while it answers a request.

mod balancer;
mod control;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod handover;
mod open_files;
mod pages;
mod probe;
mod process;
mod saved;
mod serve;
mod shared;
mod start;
mod static_files;
mod table;
mod thread;
mod tick;
mod upstream;

pub use balancer::{Balancer, BuildError, Config, RunError};
pub use handover::TakeError;
pub use process::Process;
pub use saved::saved_table;
pub use serve::ListenError;

#[cfg(test)]
mod tests;
