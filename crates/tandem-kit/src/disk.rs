//! Asking how full a file system is.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use tandem_types::disk::Space;

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
}
