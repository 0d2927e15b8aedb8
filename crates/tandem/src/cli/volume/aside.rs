//! The file that an export is written into before it is whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// A backup has everything in it that the app knows of people. So what an export that was killed left, or somebody laid
/// there, is neither written to nor followed.
pub(super) fn create(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_lies_in_its_place_is_neither_followed_nor_kept() {
        let folder = tempfile::tempdir().expect("there is room");
        let (aside, other) = (folder.path().join("x.tar.partial"), folder.path().join("other"));
        File::create(&other).expect("there is room");
        symlink(&other, &aside).expect("there is room");
        let mode = || {
            let file = create(&aside).expect("there is room");
            file.metadata().expect("it is open").permissions().mode() & 0o777
        };
        assert_eq!(mode(), 0o600);
        assert!(!std::fs::symlink_metadata(&aside).expect("it was made").is_symlink());
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
        assert_eq!(mode(), 0o600);
    }
}
