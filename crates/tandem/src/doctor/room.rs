//! The data folder: whose it is, what it lies on and how much room there is.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, NFS_SUPER_MAGIC, TMPFS_MAGIC, statfs};
use nix::unistd::{AccessFlags, Uid, access};
use tandem_kit::disk;
use tandem_types::disk::Space;

use super::Finding;
use crate::output::bytes;
use crate::session::Session;

/// Rights of the owner. Root needs none of them, and has them all the same where the folder is as it was made.
const OWN: u32 = 0o700;
/// Rights of others than the owner.
const OTHERS: u32 = 0o077;

pub(super) fn look(session: &Session) -> Vec<Finding> {
    let folder = session.data();
    let there = nearest(&folder);
    let kind = statfs(&there).map(|found| found.filesystem_type());
    vec![data_folder(&folder, &there), kind_of_disk(&there, kind.ok()), room(&there, disk::space(&there))]
}

/// The folder, or the nearest above it that is there.
fn nearest(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|folder| folder.is_dir());
    found.unwrap_or(Path::new("/")).to_owned()
}

fn data_folder(folder: &Path, there: &Path) -> Finding {
    const NAME: &str = "data folder";
    let shown = folder.display();
    if folder != there {
        let may = access(there, AccessFlags::W_OK).is_ok();
        return if may {
            Finding::good(NAME, format!("{shown}, which `tandem up` makes"))
        } else {
            Finding::lacking(NAME, format!("{shown} cannot be made by this user"))
                .costs("`tandem up` does not start")
                .line("name another one with --data or TANDEM_DATA")
        };
    }
    let Ok(about) = std::fs::metadata(folder) else {
        return Finding::lacking(NAME, format!("{shown} cannot be looked at"))
            .costs("`tandem up` does not start")
            .line("name another one with --data or TANDEM_DATA");
    };
    let own = Uid::effective().as_raw();
    if about.uid() != own {
        return Finding::lacking(NAME, format!("{shown} belongs to user {}", about.uid()))
            .costs("`tandem up` does not start as this user")
            .line("run it as that user, or name another folder with --data or TANDEM_DATA");
    }
    if about.mode() & OTHERS != 0 {
        return Finding::lacking(
            NAME,
            format!("{shown} is open to others (mode {:o})", about.mode() & 0o7777),
        )
        .costs("other users of this machine may look at what apps keep")
        .line(format!("chmod 700 {shown}"));
    }
    if about.mode() & OWN != OWN {
        return Finding::lacking(
            NAME,
            format!("{shown} is closed to its own user (mode {:o})", about.mode() & 0o7777),
        )
        .costs("`tandem up` does not start as this user")
        .line(format!("chmod 700 {shown}"));
    }
    Finding::good(NAME, shown.to_string())
}

fn kind_of_disk(there: &Path, kind: Option<FsType>) -> Finding {
    const NAME: &str = "file system";
    let shown = there.display();
    match kind {
        Some(TMPFS_MAGIC) => Finding::note(NAME, format!("{shown} is in memory"))
            .costs("everything is lost when the machine starts again")
            .line("name a folder on a disk with --data or TANDEM_DATA"),
        Some(NFS_SUPER_MAGIC) => Finding::lacking(NAME, format!("{shown} is on NFS"))
            .costs("the store needs locks and memory maps that NFS does not keep: it may be damaged")
            .line("name a folder on a disk of this machine with --data or TANDEM_DATA"),
        _ => Finding::good(NAME, "a disk"),
    }
}

fn room(there: &Path, space: std::io::Result<Space>) -> Finding {
    const NAME: &str = "room";
    let shown = there.display();
    let space = match space {
        Ok(space) => space,
        Err(error) => {
            return Finding::note(NAME, format!("it is not known how full {shown} is: {error}"))
                .line(format!("df -h {shown}"));
        }
    };
    let inodes = match space.total_inodes {
        0 => String::new(),
        _ => format!(", {} files can be made", space.free_inodes),
    };
    let says = format!("{} of {} free at {shown}{inodes}", bytes(space.free_bytes), bytes(space.total_bytes));
    let line = format!("make room on the disk of {shown}, or name another with --data or TANDEM_DATA");
    if space.is_below(1) {
        return Finding::lacking(NAME, says).costs("deploys are refused").line(line);
    }
    if space.is_low() {
        return Finding::lacking(NAME, says).costs("deploys are refused before long").line(line);
    }
    Finding::good(NAME, says)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::State;
    use super::*;

    #[test]
    fn a_folder_that_others_may_read_is_told_with_the_line_that_closes_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).expect("it is ours");
        assert_eq!(data_folder(path, path).state, State::Good);
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
        let open = data_folder(path, path);
        assert_eq!((open.state, open.line), (State::Lacking, format!("chmod 700 {}", path.display())));
        std::fs::set_permissions(path, Permissions::from_mode(0o500)).expect("it is ours");
        let closed = data_folder(path, path);
        assert_eq!((closed.state, closed.line), (State::Lacking, format!("chmod 700 {}", path.display())));
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).expect("it is ours");
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_made_where_that_may_be() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("a/b");
        assert_eq!(nearest(&folder), parent.path());
        assert_eq!(data_folder(&folder, parent.path()).state, State::Good);
        assert!(!folder.exists(), "nothing is made only to look");
    }

    #[test]
    fn little_room_and_memory_for_a_disk_are_told() {
        let space = Space { free_bytes: 1 << 20, total_bytes: 100 << 30, free_inodes: 9, total_inodes: 0 };
        assert_eq!(room(Path::new("/x"), Ok(space)).state, State::Lacking);
        let much = Space { free_bytes: 50 << 30, ..space };
        assert_eq!(room(Path::new("/x"), Ok(much)).state, State::Good);
        assert_eq!(kind_of_disk(Path::new("/x"), Some(TMPFS_MAGIC)).state, State::Note);
        assert_eq!(kind_of_disk(Path::new("/x"), Some(NFS_SUPER_MAGIC)).state, State::Lacking);
    }
}
