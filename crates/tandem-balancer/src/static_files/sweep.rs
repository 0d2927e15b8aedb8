//! Removes static files that no table has named for a while.
//!
//! Done at a start only, when the trees of the last table are loaded and nothing is being fetched: a sweep beside a fetch
//! could take away what the fetch has just found to be here.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tandem_types::Timestamp;

/// Seconds for which a file stays without being named: a rollback may want it again.
const KEPT_SECONDS: i64 = 7 * 24 * 60 * 60;

/// Removes files below `directory` that are not in `named` and that came here long before `now`; returns how many.
///
/// # Errors
/// The disk refuses.
pub(super) fn sweep(directory: &Path, named: &HashSet<PathBuf>, now: Timestamp) -> io::Result<u64> {
    let mut removed = 0;
    for folder in fs::read_dir(directory)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder.path())? {
            let file = file?;
            let old = file.metadata()?.ctime() < now.as_second() - KEPT_SECONDS;
            if old && !named.contains(&file.path()) {
                fs::remove_file(file.path())?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use tandem_kit::clock::Clock;
    use tandem_kit::files;

    use super::*;

    #[test]
    fn only_old_files_that_nothing_names_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        files::ensure_dir(&folder.path().join("ab"), 0o700).unwrap();
        let [named, other] = ["ab/1", "ab/2"].map(|name| folder.path().join(name));
        for path in [&named, &other] {
            files::write_atomic_unsynced(path, b"x", 0o600).unwrap();
        }
        let keep = HashSet::from([named.clone()]);
        let now = Clock::system().now();
        assert_eq!(sweep(folder.path(), &keep, now).unwrap(), 0);
        let later = Timestamp::from_second(now.as_second() + KEPT_SECONDS + 60).unwrap();
        assert_eq!(sweep(folder.path(), &keep, later).unwrap(), 1);
        assert!(named.exists() && !other.exists());
    }
}
