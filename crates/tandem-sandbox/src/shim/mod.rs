//! The shim: a small process of its own that holds one instance or job and outlives the runner.

mod adopt;
mod handle;
mod launch;
mod main;
mod record;

pub use adopt::{Adopted, adopt};
pub use handle::{Error, ShimHandle, Status};
pub use launch::{LaunchError, ShimSpec, launch};
pub use main::main;
pub use record::ExitRecord;
