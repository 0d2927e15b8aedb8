//! The SQLite engine: one writer thread, readers on connections of their own, volatile documents in memory.
//!
//! Writes queue for the writer, which takes what has gathered into one SQLite transaction and acknowledges all of it
//! after one sync. Nothing here polls: an idle store only wakes for the signs of life of its watches.
//! The file is used by one process; whoever opens it holds the lock of its data folder.

mod check;
mod commit;
mod engine;
mod failure;
pub mod foreign;
mod leases;
mod open;
pub mod owner;
mod read;
pub mod restore;
mod retention;
mod schema;
pub mod snapshots;
mod volatile;
mod watch;
mod writer;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

pub use check::{Checked, check};
pub use open::open;
