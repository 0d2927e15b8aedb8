//! Control with a real store, and a runner, balancer and builder that obey the documents at once.

mod actors;
mod apps;
mod balancers;
mod builds;
mod clocks;
mod clocks_set_back;
mod crashes;
mod deploys;
mod destroys;
mod fetching;
mod forgetting;
mod formats;
mod https;
mod killed_store;
mod pauses;
mod room;
mod secrecy;
mod sessions;
mod settings;
pub(crate) mod site;
mod snapshots;
mod static_files;
mod status;
mod volumes;
