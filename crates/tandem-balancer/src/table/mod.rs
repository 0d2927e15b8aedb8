//! The routing table: watched and prepared on the control side, read by every thread that serves.

mod account;
mod feed;
mod holder;
mod instance;
mod live;
mod prepare;
mod registry;
mod report;
mod state_file;

pub(crate) use account::{Account, Counted, Permit, Seat};
pub(crate) use feed::{Feed, Update};
pub(crate) use holder::Holder;
pub(crate) use instance::{Endpoint, Instance, Lease};
pub(crate) use live::{Found, Live, LiveRoute};
pub(crate) use registry::{Place, Registry};
pub(crate) use report::report;
pub(crate) use state_file::{Saved, StateFile, keep_saved};
