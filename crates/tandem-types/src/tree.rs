//! Trees: folders as Merkle nodes over blobs.
//!
//! A tree is stored as a blob whose content is the canonical JSON of [`Tree`] (keys sorted, no white space), and
//! named by the BLAKE3 digest of those bytes. A one-line change thus touches one blob and the folders above it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// One folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tree {
    /// Name → what it is. A name has no `/` and no NUL, is not empty, `.` or `..`, and is valid UTF-8.
    pub entries: BTreeMap<String, Entry>,
}

/// What a name in a folder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// A regular file.
    File {
        /// Digest of its content.
        digest: Digest,
        /// Size in bytes.
        size: u64,
        /// Mode 0555 instead of 0444.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        executable: bool,
    },
    /// A folder.
    Folder {
        /// Digest of its [`Tree`].
        digest: Digest,
    },
    /// A symbolic link. Its target stays inside the tree or is the interpreter recorded in the build.
    Link {
        /// Target as written in the link.
        target: String,
    },
}
