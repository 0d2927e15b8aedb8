//! A running command: its output, its end, and the ways to end it. Shared by shims and [`crate::run`].

mod child;
mod lines;
mod output;
mod prepare;
mod stop;

pub(crate) use child::{Ending, Supervisor, Watched, wait_for};
pub(crate) use lines::Lines;
pub use prepare::StartError;
pub(crate) use prepare::{Prepared, Streams, program};
