//! Getting what was written to the disk, as cheaply as the amount allows.
//!
//! A handful of files is synced one by one, some milliseconds each: a changed line must not wait for whatever else
//! the machine is writing. Thousands of files are synced at once with their whole file system.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// More files than this are synced with their whole file system.
const FEW: usize = 64;

/// Files that were written and not synced yet.
#[derive(Debug, Default)]
pub(crate) struct Unsynced(Mutex<Pending>);

#[derive(Debug)]
enum Pending {
    Few(BTreeSet<PathBuf>),
    Many,
}

impl Default for Pending {
    fn default() -> Self {
        Self::Few(BTreeSet::new())
    }
}

impl Unsynced {
    /// Notes that a file or folder was written.
    pub(crate) fn add(&self, path: &Path) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Pending::Few(paths) = &mut *pending {
            paths.insert(path.to_owned());
            if paths.len() > FEW {
                *pending = Pending::Many;
            }
        }
    }

    /// Makes everything noted durable; `folder` is on the same file system. On failure all of it counts as unsynced.
    pub(crate) fn sync(&self, folder: &Path) -> io::Result<()> {
        let pending = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let synced = match pending {
            Pending::Few(paths) => sync_each(&paths),
            Pending::Many => sync_file_system(folder),
        };
        if synced.is_err() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Pending::Many;
        }
        synced
    }
}

/// Files first, then the folders that name them.
fn sync_each(paths: &BTreeSet<PathBuf>) -> io::Result<()> {
    let folders: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    for path in paths.iter().map(PathBuf::as_path).chain(folders) {
        match File::open(path) {
            // A sweep, or somebody who found it damaged, was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => file?.sync_all()?,
        }
    }
    Ok(())
}

fn sync_file_system(folder: &Path) -> io::Result<()> {
    nix::unistd::syncfs(File::open(folder)?).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_and_many_are_synced_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        for count in [0, 3, FEW + 1] {
            let unsynced = Unsynced::default();
            for number in 0..count {
                let path = folder.path().join(number.to_string());
                File::create(&path).unwrap();
                unsynced.add(&path);
            }
            unsynced.add(&folder.path().join("gone"));
            unsynced.sync(folder.path()).unwrap();
            assert!(matches!(&*unsynced.0.lock().unwrap(), Pending::Few(paths) if paths.is_empty()));
        }
    }

    #[test]
    fn what_could_not_be_synced_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        File::create(&file).unwrap();
        let unsynced = Unsynced::default();
        // A path through a file is refused by the system, as a failing disk would refuse.
        unsynced.add(&file.join("below"));
        assert!(unsynced.sync(folder.path()).is_err());
        assert!(matches!(*unsynced.0.lock().unwrap(), Pending::Many));
    }
}
