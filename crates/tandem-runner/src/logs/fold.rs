//! Makes the log of an instance or job that is gone take as little of the disk as it can.

use std::io;
use std::path::Path;

use tandem_sandbox::logs;

use super::source;

/// Folds a log that nobody writes any more. One that cannot be folded stays as it is, and can be read all the same.
pub(crate) fn fold(folder: &Path) {
    if let Err(error) = try_fold(folder) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "could not fold the log in {}",
            folder.display()
        );
    }
}

fn try_fold(folder: &Path) -> io::Result<()> {
    // What is folded has its head alone to say whose it is.
    if let Some(head) = source::of_head(folder)
        && source::read(folder).is_none_or(|(_, written)| written != head)
    {
        return Ok(());
    }
    if logs::fold(folder)? {
        remove_rest(folder)?;
    }
    Ok(())
}

fn remove_rest(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // Whose it is, and what a crash left beside it. A chunk would be somebody's lines.
        if entry.file_name().to_string_lossy().contains(source::NAME) {
            std::fs::remove_file(entry.path())?;
        }
    }
    std::fs::remove_dir(folder)
}
