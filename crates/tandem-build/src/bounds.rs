//! What a command of a build is ended for before its time is up: a disk that everything else of the installation writes to,
//! and limits that it has met already.
//!
//! Who met a limit of the kernel's rarely comes to anything after that. A compiler that was killed fails its build; a bomb
//! of processes tries again and again and would use all of the build's time, and half of the machine.

use std::path::Path;
use std::time::Duration;

use tandem_kit::disk;
use tandem_sandbox::cgroup::Group;
use tandem_types::disk::Space;

/// Between two looks, which cost microseconds. Two cores that do nothing else make some ten thousand files meanwhile, and
/// half of the reserve are 25,000.
const INTERVAL: Duration = Duration::from_millis(50);
/// A deploy is refused where less than the reserve is left; one that was let in may use half of that.
const DIVISOR: u64 = 2;

/// Why a command is ended.
#[derive(Debug)]
pub(crate) enum Overrun {
    /// The disk has no more than half of its reserve left: what is left.
    Disk(Space),
    /// It was refused memory or a process; which, is told by how it ended.
    Limit,
}

/// Returns when a command has to be ended that writes to this folder and runs in this group.
pub(crate) async fn overrun(folder: &Path, group: Group) -> Overrun {
    loop {
        if let Some(left) = too_little(folder) {
            return Overrun::Disk(left);
        }
        if group.ran_out_of_memory() || group.was_refused_processes() {
            return Overrun::Limit;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What is left, where bytes or inodes are less than half of the reserve. A disk that does not answer is not known to be
/// full.
pub(crate) fn too_little(folder: &Path) -> Option<Space> {
    disk::space(folder).ok().filter(|space| space.is_below(DIVISOR))
}

/// What there is too little of, for people: `40 MiB`, `room for 900 files`.
pub(crate) fn describe(left: &Space) -> String {
    let bytes_alone = Space { free_inodes: left.total_inodes, ..*left };
    if bytes_alone.is_below(DIVISOR) {
        format!("{} MiB", left.free_bytes >> 20)
    } else {
        format!("room for {} files", left.free_inodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_of_what_there_is_too_little() {
        let space = Space { free_bytes: 9 << 20, total_bytes: 1 << 30, free_inodes: 9, total_inodes: 65_536 };
        assert_eq!(describe(&space), "9 MiB");
        assert_eq!(describe(&Space { free_bytes: 900 << 20, ..space }), "room for 9 files");
        // btrfs and others count no inodes.
        assert_eq!(describe(&Space { free_inodes: 0, total_inodes: 0, ..space }), "9 MiB");
    }
}
