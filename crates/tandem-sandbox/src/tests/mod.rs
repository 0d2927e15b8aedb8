//! Real commands in real sandboxes. They need root and bubblewrap, as Tandem does where it isolates.

mod escapes;
mod harness;
mod inside;
mod limits;
mod loopback;
mod plain;

pub(crate) use harness::{Place, can_isolate, eventually};
