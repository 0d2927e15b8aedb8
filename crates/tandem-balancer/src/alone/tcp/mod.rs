//! TCP that is passed through as it is: databases, git over SSH. One door per address, one accept loop per serving thread
//! and door.

mod door;
mod relay;
mod serve;

pub(crate) use door::Door;
pub(super) use door::{Doors, Leads};
pub(crate) use serve::serve;
