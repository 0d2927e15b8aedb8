//! Process plumbing: clock, logging, task tree and drain, atomic files, HTTP set-up, the API client.
//!
//! Everything a Tandem process needs before it knows what it is for. Nothing here knows apps, rollouts or the
//! store; the crates above bring the meaning.

pub mod api;
pub mod attention;
pub mod ballast;
pub mod boot;
pub mod clock;
pub mod disk;
pub mod drain;
pub mod env;
pub mod error;
pub mod files;
pub mod http;
pub mod logging;
pub mod paths;
pub mod points;
pub mod probe;
pub mod size;
pub mod splice;
pub mod stamp;
pub mod steady;
pub mod tasks;
pub mod tcp;
pub mod version;
