//! Removing what an instance or job leaves behind.

use std::io;
use std::path::Path;

/// Removes the folder and the socket of one that has ended. What the disk refuses is logged and swept at the next start.
pub(crate) fn remove(folder: &Path, socket: &Path) {
    for (path, removed) in [(folder, std::fs::remove_dir_all(folder)), (socket, std::fs::remove_file(socket))]
    {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not remove {}",
                    path.display()
                );
            }
            _ => {}
        }
    }
}
