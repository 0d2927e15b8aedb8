//! A balancer without a server: a fixed table from a file (`tandem balancer --routes FILE`), for who only wants a proxy.
//!
//! What is served and how is the same as ever; only where the table comes from differs. It is read again when the file
//! changes; a file with a mistake changes nothing. docs/balancer.md has the file for people.

mod balancer;
mod file;
mod follow;
mod handover;
mod parse;
mod stamp;
mod table;
mod targets;
pub(crate) mod tcp;
mod values;

pub use balancer::{Alone, AloneConfig, AloneError};
pub use handover::TakeOverError;
pub(crate) use parse::counts;
pub use tandem_toml::Mistake;

#[cfg(test)]
mod tests;
