//! Harness, load and measuring for tests and benchmarks of the real binary; only for development.
//!
//! A scenario reads as what a person does: [`installation::Installation`] starts `tandem up` on a data folder of its
//! own, its verbs are typed through [`program::Program`], pages are asked for through [`site::Site`], and
//! [`load::Load`] keeps asking while things happen. At its end an installation must leave nothing behind
//! ([`leftovers`]). Expectations panic here: a scenario that cannot go on has failed.

pub mod app_folder;
pub mod bench;
pub mod connection;
pub mod disk;
pub mod documents;
pub mod filled_store;
pub mod git_server;
pub mod hold;
pub mod installation;
pub mod leftovers;
pub mod load;
pub mod locks;
pub mod pebble;
pub mod postgres;
pub mod program;
pub mod promises;
pub mod site;
pub mod wait;
