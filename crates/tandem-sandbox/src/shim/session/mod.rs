//! How people talk with a one-off command: its input, its last output, and who is attached (decision 021).
//!
//! The shim holds all of it, since it alone outlives everybody else. Nothing here waits; what is kept of the output is
//! bounded, and so is the time for which a command waits for somebody who does not read.

mod backlog;
mod client;
mod input;
mod talk;
mod terminal;
#[cfg(test)]
mod tests;

pub(crate) use talk::{Talk, pipe};
pub(crate) use terminal::open;
