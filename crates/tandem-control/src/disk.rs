//! Whether there is room for a deploy, and what to do where there is not.
//!
//! Only deploys are refused: they write most, and can wait. A rollback, a change of config or scale and a restart write
//! some pages of the store and the records of instances, for which [`tandem_kit::ballast`] is set aside.

use std::path::{Path, PathBuf};

use tandem_kit::{disk, tasks};
use tandem_types::api::DiskStatus;
use tandem_types::problem::Problem;

use crate::handle::Handle;
use crate::housekeeping::Housekeeping;

const MIB: u64 = 1 << 20;

/// Disks that the server writes to, each once, under the first folder of the data folder that lies on it.
pub(crate) fn disks(root: &Path) -> Vec<DiskStatus> {
    let mut disks: Vec<(u64, DiskStatus)> = Vec::new();
    for folder in ["", "blobs", "build", "runner"] {
        let folder = if folder.is_empty() { root.to_owned() } else { root.join(folder) };
        // Not there yet, or gone: then nothing can be said of it.
        let (Ok(device), Ok(space)) = (disk::device(&folder), disk::space(&folder)) else { continue };
        if disks.iter().all(|(known, _)| *known != device) {
            disks.push((device, DiskStatus { folder, space, reserve_bytes: space.reserve_bytes() }));
        }
    }
    disks.into_iter().map(|(_, disk)| disk).collect()
}

/// What a person should know of these disks.
pub(crate) fn problems(disks: &[DiskStatus]) -> Vec<String> {
    let low = disks.iter().filter(|disk| disk.space.is_low());
    low.map(|disk| {
        let Shortage { free, needed, look } = shortage(disk);
        let folder = disk.folder.display();
        if disk.space.is_below(1) {
            format!("the disk of {folder} has only {free} free: deploys are refused below {needed}; {look}")
        } else {
            format!("the disk of {folder} has {free} free; below {needed} deploys are refused: {look}")
        }
    })
    .collect()
}

/// What there is too little of.
struct Shortage {
    free: String,
    needed: String,
    /// How to find what takes it.
    look: String,
}

fn shortage(disk: &DiskStatus) -> Shortage {
    let (space, folder) = (&disk.space, disk.folder.display());
    let inodes = space.reserve_inodes();
    if inodes > 0 && space.free_inodes < 2 * inodes && space.free_bytes >= 2 * disk.reserve_bytes {
        return Shortage {
            free: format!("{} inodes (files and folders)", space.free_inodes),
            needed: inodes.to_string(),
            look: format!("`du -x --inodes -d 3 {folder} | sort -n | tail` shows what takes them"),
        };
    }
    Shortage {
        free: mebibytes(space.free_bytes),
        needed: mebibytes(disk.reserve_bytes),
        look: format!("`du -xh -d 3 {folder} | sort -h | tail` shows what takes it"),
    }
}

fn mebibytes(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 10 * 1024 * MIB => format!("{} GiB", bytes / (1024 * MIB)),
        bytes => format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
    }
}

fn short(root: &Path) -> Option<DiskStatus> {
    disks(root).into_iter().find(|disk| disk.space.is_below(1))
}

impl Handle {
    /// Lets a source in, before any of it is received and before a rollout is made of it. Where there is too little
    /// room, what nobody needs is given back first.
    ///
    /// # Errors
    /// `disk_full`: still too little.
    pub async fn admit_source(&self) -> Result<(), Problem> {
        let root = self.shared.root.clone();
        let look = move || {
            tasks::blocking("look at the disk", {
                let root: PathBuf = root.clone();
                move || short(&root)
            })
        };
        if look().await.is_none() {
            return Ok(());
        }
        let given_back = Housekeeping::new(self.shared.clone()).reclaim().await;
        match look().await {
            Some(disk) => Err(refuse(&disk, given_back)),
            None => Ok(()),
        }
    }
}

fn refuse(disk: &DiskStatus, given_back: u64) -> Problem {
    let Shortage { free, needed, look } = shortage(disk);
    let folder = disk.folder.display();
    let title = format!("the disk of {folder} has only {free} free, and a deploy needs {needed}");
    let given_back = if given_back < MIB / 10 {
        "Tandem has nothing left to give back".to_owned()
    } else {
        format!("Tandem gave back {} that it kept only to be quicker", mebibytes(given_back))
    };
    let detail = format!(
        "{given_back}: the rest is needed by releases that can be rolled back to, by logs and volumes, or is not Tandem's"
    );
    let hint = format!(
        "make room ({look}) and deploy again; an app that nobody uses goes by `tandem app destroy`; `tandem rollback`, \
         config, scale and restart work meanwhile"
    );
    Problem::new(507, "disk_full", title).detail(detail).hint(hint)
}

#[cfg(test)]
mod tests {
    use tandem_types::disk::Space;

    use super::*;

    fn disk(free: u64, inodes: u64) -> DiskStatus {
        let space =
            Space { free_bytes: free, total_bytes: 1000 * MIB, free_inodes: inodes, total_inodes: 100_000 };
        DiskStatus { folder: "/data".into(), space, reserve_bytes: space.reserve_bytes() }
    }

    #[test]
    fn people_are_warned_before_deploys_are_refused_and_told_what_to_type() {
        assert_eq!(problems(&[disk(500 * MIB, 90_000)]), Vec::<String>::new());
        let early = problems(&[disk(90 * MIB, 90_000)]);
        assert!(early[0].contains("has 90.0 MiB free; below 50.0 MiB deploys are refused"), "{early:?}");
        let late = problems(&[disk(40 * MIB, 90_000)]);
        assert!(
            late[0].contains("deploys are refused below 50.0 MiB") && late[0].contains("`du "),
            "{late:?}"
        );
        let inodes = problems(&[disk(500 * MIB, 20)]);
        let words =
            "only 20 inodes (files and folders) free: deploys are refused below 5000; `du -x --inodes ";
        assert!(inodes[0].contains(words), "{inodes:?}");
        let refused = refuse(&disk(500 * MIB, 20), 0);
        assert!(refused.title.ends_with("20 inodes (files and folders) free, and a deploy needs 5000"));
        assert!(refused.hint.contains("du -x --inodes"), "{refused:?}");
        let refused = refuse(&disk(40 * MIB, 90_000), 3 * MIB);
        assert_eq!((refused.status, refused.code.as_str()), (507, "disk_full"));
        assert!(refused.title.contains("40.0 MiB") && refused.title.contains("50.0 MiB"), "{refused:?}");
    }

    #[test]
    fn folders_of_one_disk_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("runner")).unwrap();
        let disks = disks(folder.path());
        assert_eq!(disks.len(), 1);
        assert_eq!(disks[0].folder, folder.path());
    }
}
