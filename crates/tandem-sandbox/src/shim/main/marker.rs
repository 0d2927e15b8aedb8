//! The marker: the command of a job that runs at most once may have run.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tandem_kit::files;

/// The proof that a command may have run, on the disk before it is executed.
pub(super) struct Marker(PathBuf);

impl Marker {
    pub(super) fn set(path: PathBuf) -> io::Result<Self> {
        let taken = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                io::Error::new(error.kind(), "it was started before, and is started only once")
            }
            _ => error,
        };
        File::create_new(&path).map_err(taken)?.sync_all()?;
        sync_parent(&path)?;
        Ok(Self(path))
    }

    /// The command was certainly not executed.
    pub(super) fn take_back(self) {
        let _ = std::fs::remove_file(&self.0).and_then(|()| sync_parent(&self.0));
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    Ok(files::sync_dir(path.parent().unwrap_or(Path::new("/")))?)
}
