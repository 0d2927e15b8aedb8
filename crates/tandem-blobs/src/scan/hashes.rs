//! Digests of files from the scan before, so that an unchanged file is not read again.
//!
//! A digest is trusted when size, inode, and times of modification and change are the same to the nanosecond. A file
//! that was modified less than two seconds before it was read is never remembered: it may be written once more within the
//! same tick of a coarse clock, and then nothing would tell.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tandem_kit::files;
use tandem_types::{Digest, Timestamp};

/// Coarser than the clock of any file system in use: FAT counts in steps of two seconds.
const UNTRUSTED_SECONDS: i64 = 2;

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    /// Differs when the meaning of the rest does.
    version: u32,
    files: HashMap<String, Known>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
    inode: u64,
    digest: Digest,
}

const VERSION: u32 = 1;

/// Digests by path below the folder.
pub(super) struct HashCache {
    path: Option<PathBuf>,
    now: Timestamp,
    before: HashMap<String, Known>,
    after: HashMap<String, Known>,
}

impl HashCache {
    /// Reads the digests of the scan before; a file that cannot be read is as none.
    pub(super) fn open(path: Option<&Path>, now: Timestamp) -> Self {
        let stored = path.and_then(|path| match files::read_json::<Stored>(path) {
            Ok(stored) => stored.filter(|stored| stored.version == VERSION),
            Err(error) => {
                tracing::debug!(%error, "every file is read again");
                None
            }
        });
        let before = stored.unwrap_or_default().files;
        Self { path: path.map(Path::to_owned), now, before, after: HashMap::new() }
    }

    /// The digest of a file that looks as it did.
    pub(super) fn find(&mut self, below: &Path, metadata: &Metadata) -> Option<Digest> {
        let name = below.to_str()?;
        let known = *self.before.get(name)?;
        if known != Known::new(metadata, known.digest) {
            return None;
        }
        self.after.insert(name.to_owned(), known);
        Some(known.digest)
    }

    /// Remembers what a file was when it was about to be read.
    pub(super) fn remember(&mut self, below: &Path, metadata: &Metadata, digest: Digest) {
        let young = metadata.mtime().max(metadata.ctime()) > self.now.as_second() - UNTRUSTED_SECONDS;
        if let Some(name) = below.to_str().filter(|_| !young) {
            self.after.insert(name.to_owned(), Known::new(metadata, digest));
        }
    }

    /// Writes the digests down for the next scan, if they changed.
    pub(super) fn save(self) {
        let Some(path) = self.path.filter(|_| self.after != self.before) else { return };
        let stored = Stored { version: VERSION, files: self.after };
        let bytes = serde_json::to_vec(&stored).expect("names and numbers are always JSON");
        let folder = path.parent().unwrap_or(Path::new("."));
        let saved = files::ensure_dir(folder, 0o700)
            .and_then(|()| files::write_atomic_unsynced(&path, &bytes, 0o600));
        if let Err(error) = saved {
            tracing::debug!(%error, "the next scan reads every file again");
        }
    }
}

impl Known {
    fn new(metadata: &Metadata, digest: Digest) -> Self {
        let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Self {
            size: metadata.size(),
            modified_ns: nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanos(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            digest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_version_1_stays_readable_and_another_version_is_as_none() {
        let golden = include_str!("../golden/scan.json").trim_end();
        let stored: Stored = serde_json::from_str(golden).unwrap();
        assert_eq!(serde_json::to_string(&stored).unwrap(), golden);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scan.json");
        for (content, known) in [(golden, 1), (&golden.replace("\"version\":1", "\"version\":2"), 0)] {
            files::write_atomic_unsynced(&path, content.as_bytes(), 0o600).unwrap();
            assert_eq!(HashCache::open(Some(&path), Timestamp::UNIX_EPOCH).before.len(), known);
        }
    }
}
