//! Every decision of Tandem, pure: no clock, no input or output, no async.

pub mod balancers;
pub mod canary;
pub mod config;
pub mod destroy;
mod draft;
pub mod ejection;
pub mod histogram;
pub mod https;
mod missing_module;
pub mod pause;
pub mod placement;
pub mod probe;
pub mod read_only;
pub mod restart;
pub mod restore;
pub mod retention;
pub mod retries;
pub mod rollout;
pub mod room;
pub mod routing;
mod sessions;
mod staffing;
pub mod table;
pub mod traffic;
pub mod upkeep;
pub mod world;

pub use draft::Change;
