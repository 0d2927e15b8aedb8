//! Writing a file aside and giving it its name when it is whole.
//!
//! The name is given by a hard link, which never replaces: the first of two writers wins and the second finds its
//! work done. So the time at which a blob was first seen stays.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tandem_types::Timestamp;

/// Where a store writes aside, below its folder.
const FOLDER: &str = "aside";

/// A file being written; removed when it is dropped, its content having got another name by then.
pub(crate) struct Aside {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
}

impl Aside {
    /// A new file in a folder, closed to others.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(unique_name());
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file })
    }

    /// Makes the file look as if it was written at that time.
    pub(crate) fn set_first_seen(&self, time: Timestamp) -> io::Result<()> {
        self.file.set_modified(SystemTime::from(time))
    }

    /// Gives the file its name. What is there already stays, but where `is_broken` says that it is no good.
    pub(crate) fn keep(self, target: &Path, is_broken: impl FnOnce() -> bool) -> io::Result<()> {
        let mut linked = fs::hard_link(&self.path, target);
        if linked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            fs::create_dir_all(target.parent().expect("a blob's path has a folder"))?;
            linked = fs::hard_link(&self.path, target);
        }
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if is_broken() {
                    fs::rename(&self.path, target)
                } else {
                    Ok(())
                }
            }
            other => other,
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(%error, path = %self.path.display(), "left a file aside; a sweep removes it");
            }
            _ => {}
        }
    }
}

/// A name that no other thread or process uses: two processes may have one id in two pid namespaces.
pub(crate) fn unique_name() -> String {
    use std::hash::{BuildHasher, Hasher};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{}-{}-{random:016x}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Whether [`unique_name`] makes names like this.
pub(crate) fn is_unique_name(name: &str) -> bool {
    maker(name).is_some()
}

/// The process that made a name.
fn maker(name: &str) -> Option<Pid> {
    let parts: Vec<&str> = name.split('-').collect();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_random = |part: &str| part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let [process, number, random] = parts[..] else { return None };
    let is_ours = is_number(process) && is_number(number) && is_random(random);
    process.parse().ok().filter(|_| is_ours).map(Pid::from_raw)
}

/// Makes the folder of a store, with those that it needs, where they are missing, closes them to others, and clears away what
/// killed processes left aside.
pub(crate) fn make_ready(directory: &Path, below: &[&str]) -> io::Result<()> {
    let aside = directory.join(FOLDER);
    let others = below.iter().map(|name| directory.join(name));
    for folder in [directory.to_owned(), aside.clone()].into_iter().chain(others) {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    }
    remove_orphans(&aside)
}

/// Removes what processes that are no more wrote aside in a folder: they were killed in the middle of it. What a living one
/// writes stays, and what nobody here made. Where an id was given to another process meanwhile, a sweep removes it later.
fn remove_orphans(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let maker = entry.file_name().to_str().and_then(maker);
        if maker.is_some_and(|maker| kill(maker, None) == Err(Errno::ESRCH)) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_told_from_others() {
        assert!(is_unique_name(&unique_name()));
        for other in ["", "notes.txt", "1-2-3", "1-2-00000000000000zz", "-1-0000000000000000", "a-b-c"] {
            assert!(!is_unique_name(other), "{other}");
        }
    }

    #[test]
    fn what_a_killed_process_wrote_aside_goes_and_what_a_living_one_writes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            File::create(&path).unwrap();
            path
        };
        // No process has this id: the kernel gives none beyond 4,194,304.
        let dead = make("4999999-6-7d23c9566e092e7f");
        let living = [make(&unique_name()), make("1-0-7d23c9566e092e7f"), make("4999999-notes")];
        remove_orphans(folder.path()).unwrap();
        assert!(!dead.exists());
        assert!(living.iter().all(|path| path.exists()));
    }
}
