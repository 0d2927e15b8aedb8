//! Removes static files that no table names any more.
//!
//! Done whenever a table was committed and once an hour, one folder of 256 at a time, each only while nothing is being
//! fetched: a sweep beside a fetch could take away what the fetch has just found to be here. A file that is being sent
//! is open, and an open file can be read to its end after its name is gone.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tandem_types::Timestamp;

use super::shelf::Quiet;

/// Seconds for which a file stays without being named. The table itself names every release that took traffic in the
/// last day; this is for a table that was withdrawn and is tried again, and for files that are being written.
pub(super) const KEPT_SECONDS: i64 = 60 * 60;

/// How far a sweep came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swept {
    /// Through, with so many files removed.
    Through(u64),
    /// A fetch came between; what is named may be more by now.
    Interrupted,
}

/// Removes files below `directory` that are not in `named` and that came here long before `now`.
///
/// # Errors
/// The disk refuses.
pub(super) fn sweep(
    directory: &Path,
    named: &HashSet<PathBuf>,
    now: Timestamp,
    quiet: &Quiet,
) -> io::Result<Swept> {
    let mut removed = 0;
    for folder in fs::read_dir(directory)? {
        let folder = folder?;
        if !folder.file_type()?.is_dir() {
            continue;
        }
        let Some(_quiet) = quiet.hold() else { return Ok(Swept::Interrupted) };
        removed += sweep_folder(&folder.path(), named, now)?;
    }
    Ok(Swept::Through(removed))
}

fn sweep_folder(folder: &Path, named: &HashSet<PathBuf>, now: Timestamp) -> io::Result<u64> {
    let mut removed = 0;
    for file in fs::read_dir(folder)? {
        let file = file?;
        let old = file.metadata()?.ctime() < now.as_second() - KEPT_SECONDS;
        if old && !named.contains(&file.path()) {
            fs::remove_file(file.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use tandem_kit::clock::Clock;
    use tandem_kit::files;

    use super::super::shelf::Shelf;
    use super::*;

    #[tokio::test]
    async fn only_old_files_that_nothing_names_are_removed_and_none_beside_a_fetch() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(folder.path()).unwrap();
        files::ensure_dir(&folder.path().join("ab"), 0o700).unwrap();
        let [named, other] = ["ab/1", "ab/2"].map(|name| folder.path().join(name));
        for path in [&named, &other] {
            files::write_atomic_unsynced(path, b"x", 0o600).unwrap();
        }
        let keep = HashSet::from([named.clone()]);
        let now = Clock::system().now();
        let later = Timestamp::from_second(now.as_second() + KEPT_SECONDS + 60).unwrap();
        let quiet = shelf.quiet();
        assert_eq!(sweep(folder.path(), &keep, now, &quiet).unwrap(), Swept::Through(0));
        let fetching = shelf.fetching().await;
        assert_eq!(sweep(folder.path(), &keep, later, &shelf.quiet()).unwrap(), Swept::Interrupted);
        drop(fetching);
        assert_eq!(
            sweep(folder.path(), &keep, later, &quiet).unwrap(),
            Swept::Interrupted,
            "one was between"
        );
        assert!(other.exists());
        assert_eq!(sweep(folder.path(), &keep, later, &shelf.quiet()).unwrap(), Swept::Through(1));
        assert!(named.exists() && !other.exists());
    }
}
