//! Trees and blobs: the content-addressed files that builds are made of.
//!
//! A blob is some bytes named by their BLAKE3 digest; a tree is a blob that lists a folder. This crate keeps them
//! (zstd, on disk), sends only what the other side misses, and turns a tree into a folder of hard links. What the
//! trees mean (source, dependencies, static files) is left to `tandem-build` and the runner.
//!
//! Everything but [`transfer`] and [`stream`] blocks on the disk: async callers wrap it in a blocking task.

mod aside;
pub mod cache;
pub mod checkout;
mod durable;
pub mod export;
pub mod frames;
pub mod ingest;
pub mod links;
mod modes;
mod packed;
pub mod receive;
pub mod scan;
pub mod store;
mod strangers;
pub mod stream;

pub mod transfer;
pub mod tree;

pub use cache::LinkCache;
pub use ingest::ingest_folder;
pub use scan::scan_source;
pub use store::{BlobStore, TreeSummary};
pub use strangers::Strangers;
