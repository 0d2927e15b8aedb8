//! Whose the store's files are. Whoever types a verb as root in another user's data folder must leave nothing there that
//! this user's server cannot read: it would not start again.

use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

/// Gives a file to whoever the store in `database` belongs to, or where there is none to whoever its folder does. Does nothing where
/// that is so already. SQLite does the same with what it lays beside a file.
///
/// # Errors
/// The file is another's, and this process is not root.
pub fn give(path: &Path, database: &Path) -> io::Result<()> {
    let folder = database.parent().unwrap_or(Path::new("."));
    let of = database.metadata().or_else(|_| folder.metadata())?;
    let now = path.metadata()?;
    if (of.uid(), of.gid()) == (now.uid(), now.gid()) {
        return Ok(());
    }
    match chown(path, Some(of.uid()), Some(of.gid())) {
        // Who may not give it away is no root, and so the one whose file it is to be.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && now.uid() == of.uid() => Ok(()),
        done => done,
    }
}
