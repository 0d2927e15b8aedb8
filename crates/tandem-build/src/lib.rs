//! From source to build: what the source is, its dependencies, bytecode and static files, and the digest of it all.
//!
//! Everything that a source brings along runs in the sandbox of `tandem-sandbox`; what comes out is kept in the blob
//! store as subtrees. Parts whose input is the same as before are taken from the store. Which release a build becomes,
//! and when it runs, is left to `tandem-control`.

mod advice;
mod bounds;
mod builder;
mod bytecode;
mod commands;
mod compress;
mod data;
mod dependencies;
mod detected;
mod digest;
mod django;
mod error;
pub mod git;
mod installation;
mod installed;
mod kept;
mod look;
pub mod needs;
mod network;
mod node;
mod platform;
mod python;
mod recipe;
mod requirements;
mod server;
mod source;
mod static_files;
mod survey;
pub mod tools;
mod uv_cache;
mod workshop;

pub use builder::{BuildRequest, Builder, BuilderConfig, Stock, Stocked};
pub use detected::{Detected, detect};
pub use error::Error;
pub use look::{interpreter_path, static_parts, static_trees};
pub use network::NetworkSettings;

/// Where a build tells what it does.
pub type Events<'a> = &'a (dyn Fn(tandem_types::event::Event) + Send + Sync);
