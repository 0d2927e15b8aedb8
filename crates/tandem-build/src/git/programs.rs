//! git and ssh, by absolute path: what `PATH` names first may be a version manager's, which the sandbox does not show.

use std::path::{Path, PathBuf};

/// Folders of the host that every sandbox shows, the distribution's own first.
const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

/// A program that the sandbox shows as well.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}
