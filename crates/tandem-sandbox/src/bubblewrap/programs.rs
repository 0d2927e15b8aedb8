//! The programs of Linux that isolation stands on.

use std::path::PathBuf;

/// Folders looked through besides `PATH`, which may be short for services.
const FOLDERS: [&str; 6] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];

/// Where bubblewrap and what it executes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    pub bubblewrap: PathBuf,
    /// Below `/usr`, `/bin` or `/sbin`: it is executed inside.
    pub setpriv: PathBuf,
    /// As `setpriv`; of the same package.
    pub setsid: PathBuf,
}

impl Programs {
    /// Finds them, or says what to type to get them.
    pub(crate) fn find() -> Result<Self, String> {
        let bubblewrap = find("bwrap").ok_or("bubblewrap is missing: apt-get install bubblewrap")?;
        let setpriv = find("setpriv").ok_or("setpriv is missing: apt-get install util-linux")?;
        let setsid = find("setsid").ok_or("setsid is missing: apt-get install util-linux")?;
        Ok(Self { bubblewrap, setpriv, setsid })
    }
}

/// A program of the system by its name.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| PathBuf::from(folder).join(name)).find(|path| path.is_file())
}
