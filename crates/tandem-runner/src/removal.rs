//! Removing what an instance or job leaves behind.

use std::io;

use tandem_kit::files;

use crate::folders::{Folders, Unit};

/// Removes the folder, the socket and the config of one that has ended. What the disk refuses is logged, and swept later.
pub(crate) fn remove(folders: &Folders, unit: Unit) {
    let (folder, socket, secret) = (folders.unit(unit), folders.socket(unit), folders.secret(unit));
    let removed = [
        // Its home was the app's to fill.
        (&folder, files::remove_tree(&folder)),
        (&socket, std::fs::remove_file(&socket)),
        (&secret, std::fs::remove_file(&secret)),
    ];
    for (path, removed) in removed {
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
