//! Removing folders in which an app could write.
//!
//! `std::fs::remove_dir_all` does not follow links either, but it calls itself and keeps a descriptor for each level. A
//! folder that an app has nested some thousand times ends the process that removes it: with an overflow of the
//! stack, or without descriptors for anything else. See `docs/decisions/019-what-an-app-cannot-do.md`.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Levels that are gone down before what lies deeper is moved to the top. Trees of honest apps stay below.
const DEEPEST: usize = 64;
/// Passes over one folder: some file systems skip entries while others are being removed.
const PASSES: usize = 16;

/// Removes a folder with all that is in it, however deep, or a file, as `std::fs::remove_dir_all` does. Links are
/// removed and never followed. Takes bounded memory, stack and descriptors.
///
/// # Errors
/// There is nothing of this name, or the system refuses a step; what is left may lie elsewhere in the folder then.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    if !std::fs::symlink_metadata(path)?.is_dir() {
        return std::fs::remove_file(path);
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut removal = Removal { top: nix::fcntl::open(path, flags, Mode::empty())?, moved: 0 };
    loop {
        let before = removal.moved;
        let mut top = Dir::openat(&removal.top, c".", flags, Mode::empty())?;
        removal.empty(&mut top, 0)?;
        match std::fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && removal.moved > before => {}
            result => return result,
        }
    }
}

struct Removal {
    /// The folder that is removed.
    top: std::os::fd::OwnedFd,
    /// Folders that were moved there.
    moved: u64,
}

impl Removal {
    /// Removes what is in a folder, but for what was moved to the top meanwhile.
    fn empty(&mut self, folder: &mut Dir, depth: usize) -> io::Result<()> {
        for _ in 0..PASSES {
            if self.pass(folder, depth)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Goes through a folder once; returns how many entries were there.
    fn pass(&mut self, folder: &mut Dir, depth: usize) -> io::Result<usize> {
        let mut found = 0;
        let owner = folder.as_fd().try_clone_to_owned()?;
        for entry in folder.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            found += 1;
            self.entry(&owner, (name, entry.file_type()), depth)?;
        }
        Ok(found)
    }

    fn entry(
        &mut self,
        folder: &impl AsFd,
        (name, kind): (&CStr, Option<Type>),
        depth: usize,
    ) -> io::Result<()> {
        // Folders are told by trying where the file system does not say.
        if !matches!(kind, Some(Type::Directory) | None) {
            return gone(unlinkat(folder, name, UnlinkatFlags::NoRemoveDir));
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let child = match openat(folder, name, flags, Mode::empty()) {
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                return gone(unlinkat(folder, name, UnlinkatFlags::NoRemoveDir));
            }
            Err(Errno::ENOENT) => return Ok(()),
            child => child?,
        };
        if depth >= DEEPEST {
            return self.lift(folder, name);
        }
        self.empty(&mut Dir::from_fd(child)?, depth + 1)?;
        gone(unlinkat(folder, name, UnlinkatFlags::RemoveDir))
    }

    /// Moves a folder to the top, under a name that is free.
    fn lift(&mut self, folder: &impl AsFd, name: &CStr) -> io::Result<()> {
        loop {
            self.moved += 1;
            let new = format!(".removed-{}", self.moved);
            match renameat(folder, name, &self.top, new.as_str()) {
                Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => {}
                moved => return gone(moved),
            }
        }
    }
}

/// What went by itself is fine.
fn gone(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::ENOENT) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::mkdirat;

    use super::*;

    /// Folders in each other; as deep as an app can make them in a second.
    fn nest(top: &Path, depth: usize) {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut folder = nix::fcntl::open(top, flags, Mode::empty()).unwrap();
        for _ in 0..depth {
            mkdirat(&folder, "d", Mode::from_bits_truncate(0o755)).unwrap();
            folder = openat(&folder, "d", flags, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn a_folder_goes_however_deep_it_is() {
        // In memory: disks that discard what is freed take milliseconds for each folder.
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let top = folder.path().join("top");
        std::fs::create_dir(&top).unwrap();
        nest(&top, 20_000);
        // Names that the removal would like to use.
        std::fs::create_dir_all(top.join(".removed-1/full")).unwrap();
        std::fs::File::create(top.join(".removed-2")).unwrap();
        remove_tree(&top).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn links_go_and_what_they_lead_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (top, other) = (folder.path().join("top"), folder.path().join("other"));
        for made in [&top, &other, &top.join("sub")] {
            std::fs::create_dir(made).unwrap();
        }
        std::fs::File::create(other.join("kept")).unwrap();
        std::os::unix::fs::symlink(&other, top.join("sub/link")).unwrap();
        nix::unistd::mkfifo(&top.join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        remove_tree(&link).unwrap();
        remove_tree(&top).unwrap();
        assert!(other.join("kept").exists() && !top.exists() && std::fs::symlink_metadata(&link).is_err());
        assert_eq!(remove_tree(&top).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
