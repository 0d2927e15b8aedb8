//! Logs of instances and jobs: chunks of lines, written by a shim, read by a runner.

mod chunks;
mod fold;
mod follow;
pub(crate) mod format;
mod queue;
mod settings;
mod tail;
#[cfg(test)]
mod tests;
mod trim;
mod writer;

pub use fold::{fold, folded, tags};
pub use follow::Follow;
pub use format::Line;
pub use settings::Settings;
pub use tail::{Position, Tail, tail};
pub use trim::trim;
pub(crate) use writer::Writer;
