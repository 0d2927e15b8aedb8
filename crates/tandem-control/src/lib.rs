//! Use cases and reconcilers: apps, builds, rollouts, hosts, secrets.

mod abort;
mod apps;
mod builder;
mod config;
mod deploy_keys;
mod disk;
pub mod event_log;
mod feed;
mod fetching;
mod git_hosts;
mod handle;
mod hosts;
mod housekeeping;
mod https;
mod instance_config;
mod mirror;
mod observing;
mod pausing;
mod place;
mod problem;
mod ps;
mod releases;
mod rollout;
mod rollouts;
pub mod secrets;
mod sessions;
mod settings;
mod shared;
mod start;
mod status;
mod tokens;
mod traffic;
mod volumes;
mod world;

pub use builder::{BuildOrder, Builder, Events, SharedBuilder, SourceBuilder};
pub use config::{Control, ControlConfig, Error};
pub use handle::Handle;
pub use place::{Place, RolloutPlace};
pub use ps::LogSource;
pub use sessions::over as session_over;
pub use tandem_kit::steady::Steady;
pub use tandem_rules::traffic::Filter as TrafficFilter;
pub use volumes::{VolumeHost, VolumePlace, volumes_unreachable};

use tandem_kit::steady;

#[cfg(test)]
mod tests;
