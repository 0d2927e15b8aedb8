//! What an installation is started from.

use std::path::PathBuf;

/// Which binary, and where it lives.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The binary.
    pub binary: PathBuf,
    /// Folder that takes the data folder; none: the machine's temporary folder.
    pub parent: Option<PathBuf>,
    /// A `cgroup.procs` file: `tandem up` runs in that group, and with it what it starts.
    pub group: Option<PathBuf>,
    /// The user id that everything runs as, where it is not that of the tests.
    pub user: Option<u32>,
}

impl Setting {
    /// The binary, with nothing else of its own.
    #[must_use]
    pub fn of(binary: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), parent: None, group: None, user: None }
    }
}
