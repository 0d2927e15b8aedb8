//! Jobs: an actor each, which runs one command to its end, at most once where that matters.
//!
//! The marker is on the disk before the release phase's command is executed. From then on only its exit record, or the
//! shim that will write one, can say how it ended; where neither is there, nobody knows, and it is said so.

mod actor;
mod launch;
mod outcome;
mod talking;

pub(crate) use actor::{Actor, Phase};
pub(crate) use outcome::read_intent;
