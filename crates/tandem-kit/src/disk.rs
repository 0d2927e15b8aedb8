//! Asking how full a file system is, and what takes it.

use std::fs::{DirEntry, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use tandem_types::disk::Space;

use crate::{env, size};

/// Unit of `st_blocks`, whatever the file system's is.
const BLOCK: u64 = 512;
/// Folders in folders that are measured: twice what a build may hold, since what an app or a build script wrote may be nested
/// without end.
const DEEPEST: usize = 256;

/// Room on the file system of a file or folder.
///
/// # Errors
/// The path is not there, or its file system does not answer.
pub fn space(path: &Path) -> io::Result<Space> {
    let found = statvfs(path)?;
    let unit = found.fragment_size();
    Ok(Space {
        free_bytes: found.blocks_available() * unit,
        total_bytes: found.blocks() * unit,
        free_inodes: found.files_available(),
        total_inodes: found.files(),
    })
}

/// Number of the file system that a file or folder lies on.
///
/// # Errors
/// The path is not there.
pub fn device(path: &Path) -> io::Result<u64> {
    Ok(std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(path)?))
}

/// What a person set as room for what nobody needs; a value that is no size is told once and not heeded.
#[must_use]
pub fn budget() -> Option<u64> {
    static TOLD: std::sync::Once = std::sync::Once::new();
    let text = std::env::var(env::TANDEM_DISK_BUDGET).ok()?;
    let budget = size::parse_bytes(&text);
    if budget.is_none() {
        TOLD.call_once(|| {
            tracing::warn!(
                "{}={text} is no size such as 20GiB: a tenth of the disk it is",
                env::TANDEM_DISK_BUDGET
            );
        });
    }
    budget
}

/// What lies below a folder.
#[derive(Debug, Default)]
pub struct Measured {
    /// Bytes on the disk of what was seen.
    pub bytes: u64,
    /// Why that is not all; the first reason. What goes while it is looked at is none.
    pub missed: Option<io::Error>,
}

/// Bytes on the disk of everything below a folder, links not followed; what goes meanwhile or cannot be read is none.
#[must_use]
pub fn bytes_below(folder: &Path) -> u64 {
    measure(folder, 0).bytes
}

/// Measures what lies below a folder, links not followed. Each entry counts for `least` bytes at least, for who wants empty
/// files to weigh something.
#[must_use]
pub fn measure(folder: &Path, least: u64) -> Measured {
    let mut walk = Walk { least, found: Measured::default() };
    match std::fs::read_dir(folder) {
        Ok(entries) => walk.entries(entries, 0),
        Err(error) => walk.found.missed = Some(error),
    }
    walk.found
}

struct Walk {
    least: u64,
    found: Measured,
}

impl Walk {
    fn entries(&mut self, entries: ReadDir, depth: usize) {
        for entry in entries {
            if let Err(error) = entry.and_then(|entry| self.entry(&entry, depth)) {
                self.miss(error);
            }
        }
    }

    fn entry(&mut self, entry: &DirEntry, depth: usize) -> io::Result<()> {
        let metadata = entry.metadata()?;
        self.found.bytes += (metadata.blocks() * BLOCK).max(self.least);
        if !metadata.is_dir() {
            return Ok(());
        }
        if depth == DEEPEST {
            return Err(io::Error::other("it is nested without end"));
        }
        self.entries(std::fs::read_dir(entry.path())?, depth + 1);
        Ok(())
    }

    /// What others removed, or put something else in the place of, between two looks is nothing that was missed.
    fn miss(&mut self, error: io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.found.missed.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_tells_its_room_and_a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let space = space(folder.path()).unwrap();
        assert!(space.total_bytes > 0 && space.free_bytes <= space.total_bytes, "{space:?}");
        assert!(super::space(&folder.path().join("gone")).is_err());
    }

    #[test]
    fn what_lies_below_a_folder_is_counted_in_blocks_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        crate::files::ensure_dir(below.parent().unwrap(), 0o700).unwrap();
        crate::files::ensure_dir(&below, 0o700).unwrap();
        crate::files::write_atomic_unsynced(&below.join("file"), &[7; 50_000], 0o600).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("a/link")).unwrap();
        assert!((50_000..100_000).contains(&bytes_below(folder.path())));
        assert_eq!(bytes_below(&folder.path().join("gone")), 0);
    }

    #[test]
    fn what_goes_while_it_is_measured_is_none_and_what_cannot_be_seen_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        for name in ["file", "folder", "kept"] {
            std::fs::create_dir_all(top.join(name)).unwrap();
        }
        std::fs::remove_dir(top.join("file")).unwrap();
        std::fs::File::create(top.join("file")).unwrap();
        let entries: Vec<_> = std::fs::read_dir(&top).unwrap().map(Result::unwrap).collect();
        std::fs::remove_file(top.join("file")).unwrap();
        std::fs::remove_dir(top.join("folder")).unwrap();
        let mut walk = Walk { least: 1 << 20, found: Measured::default() };
        for entry in &entries {
            walk.entry(entry, 0).unwrap_or_else(|error| walk.miss(error));
        }
        assert_eq!(walk.found.bytes, 1 << 20, "an entry counts for something");
        assert!(walk.found.missed.is_none(), "{:?}", walk.found);
        let gone = measure(&top.join("folder"), 0);
        assert_eq!(gone.missed.unwrap().kind(), io::ErrorKind::NotFound, "the folder itself should be there");
    }

    #[test]
    fn folders_without_end_are_measured_as_far_as_they_go() {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let honest = folder.path().join("d/".repeat(DEEPEST));
        std::fs::create_dir_all(&honest).unwrap();
        let whole = measure(folder.path(), 1);
        assert!(whole.bytes >= DEEPEST as u64 && whole.missed.is_none(), "{whole:?}");
        std::fs::create_dir_all(honest.join("d/d")).unwrap();
        let found = measure(folder.path(), 1);
        assert!(found.bytes > whole.bytes && found.missed.is_some(), "{found:?}");
    }
}
