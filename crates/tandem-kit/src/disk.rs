//! Asking how full a file system is, and what takes it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use tandem_types::disk::Space;

use crate::{env, size};

/// Unit of `st_blocks`, whatever the file system's is.
const BLOCK: u64 = 512;
/// Deeper folders are none of Tandem's.
const DEEPEST: usize = 64;

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

/// Bytes on the disk of everything below a folder, links not followed; what goes meanwhile or cannot be read is none.
#[must_use]
pub fn bytes_below(folder: &Path) -> u64 {
    bytes_within(folder, 0)
}

fn bytes_within(folder: &Path, depth: usize) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| {
        let Ok(metadata) = entry.metadata() else { return 0 };
        let below =
            if metadata.is_dir() && depth < DEEPEST { bytes_within(&entry.path(), depth + 1) } else { 0 };
        below + metadata.blocks() * BLOCK
    };
    entries.map(bytes).sum()
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
}
