//! What tells one state of a file from another without reading it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A path, and what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamped {
    path: PathBuf,
    is_folder: bool,
    stamp: Option<Stamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    /// Of a file: what is in a folder is nobody's business here.
    content: Option<(u64, i64, i64)>,
}

impl Stamped {
    /// A file as it is now.
    pub(super) fn file(path: &Path) -> Self {
        Self { path: path.to_owned(), is_folder: false, stamp: stamp(path, false) }
    }

    /// A folder, of which only counts which it is.
    pub(super) fn folder(path: &Path) -> Self {
        Self { path: path.to_owned(), is_folder: true, stamp: stamp(path, true) }
    }

    /// Whether it is there as it was. Blocks.
    pub(super) fn is_as_it_was(&self) -> bool {
        stamp(&self.path, self.is_folder) == self.stamp
    }
}

/// None: there is nothing.
fn stamp(path: &Path, is_folder: bool) -> Option<Stamp> {
    let of = |data: Metadata| Stamp {
        place: (data.dev(), data.ino()),
        content: (!is_folder).then(|| (data.len(), data.mtime(), data.mtime_nsec())),
    };
    fs::metadata(path).ok().map(of)
}
