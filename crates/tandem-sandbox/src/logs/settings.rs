//! Where and how a log is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where and how a shim writes its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Folder of the chunks; made where it is missing.
    pub dir: PathBuf,
    /// Size at which a chunk is closed and the next one begun ([`tandem_types::defaults::LOG_CHUNK_BYTES`]).
    pub chunk_bytes: u64,
    /// Chunks kept ([`tandem_types::defaults::LOG_CHUNKS`]).
    pub chunks: usize,
    /// Said at the head of every chunk: app, environment, release, process, index.
    pub tags: BTreeMap<String, String>,
}
