//! Where the benchmark works: a file system of its own, so that the growth of a disk is that of the deploys, and a
//! control group of its own, so that CPU time is that of one installation. Both need root; without it the figures
//! that depend on them are left out.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::sys::statvfs::statvfs;
use nix::unistd::{Uid, syncfs};
use tandem_testkit::program::Program;

use tandem_testkit::bench::cleaning::BenchFolder;
use tandem_testkit::bench::machine;
use tandem_testkit::bench::record::Record;

/// Largest size of the file system; the file behind it is sparse.
const DISK_BYTES: u64 = 8 << 30;

/// The folder and the group. What watches over this process removes both.
#[derive(Debug)]
pub(crate) struct Ground {
    folder: PathBuf,
    scratch: PathBuf,
    mounted: bool,
    group: Option<PathBuf>,
    record: Record,
}

impl Ground {
    /// Makes both, as far as the user may.
    pub(crate) fn prepare(bench: &BenchFolder, record: Record) -> anyhow::Result<Self> {
        let (folder, scratch) = (bench.ground(), bench.scratch());
        for folder in [&folder, &scratch] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let mounted = Uid::effective().is_root() && mount(&bench.disk(), &folder)?;
        let group = accounting_group(&record)?;
        Ok(Self { folder, scratch, mounted, group, record })
    }

    /// What this run has started.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Where sources and temporary files lie: on another file system than what is measured.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// What lies below the sites, in words.
    pub(crate) fn describe(&self) -> String {
        let below = machine::disk_of(&self.scratch);
        if self.mounted {
            format!(
                "The sites lie on an ext4 of their own in a sparse file through a loop device, on {below}."
            )
        } else {
            format!("The sites lie on {below}, which others write to: growth of the disk was not measured.")
        }
    }

    /// The folder that everything goes into.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `cgroup.procs` of the group, where there is one.
    pub(crate) fn group_members(&self) -> Option<PathBuf> {
        self.group.as_ref().map(|group| group.join("cgroup.procs"))
    }

    /// CPU seconds of everything that ever ran in the group and was not moved to another one.
    pub(crate) fn group_seconds(&self) -> Option<f64> {
        let text = fs::read_to_string(self.group.as_ref()?.join("cpuacct.usage")).ok()?;
        Some(text.trim().parse::<f64>().ok()? / 1e9)
    }

    /// Bytes in use on the file system, written out before; none where it is shared with others.
    pub(crate) fn used_bytes(&self) -> Option<u64> {
        if !self.mounted {
            return None;
        }
        syncfs(File::open(&self.folder).ok()?.as_fd()).ok()?;
        let all = statvfs(&self.folder).ok()?;
        Some((all.blocks() - all.blocks_free()) * all.fragment_size())
    }
}

/// A new ext4 in a sparse file, mounted through a loop device; false where this machine has none.
fn mount(disk: &Path, folder: &Path) -> anyhow::Result<bool> {
    let file = File::create(disk).with_context(|| format!("make {}", disk.display()))?;
    file.set_len(DISK_BYTES).context("size the disk")?;
    let made = Program::new("mkfs.ext4").arguments(["-q", "-m", "0"]).arguments([disk]).run();
    let done = made.code == Some(0)
        && Program::new("mount").arguments(["-o", "loop"]).arguments([disk, folder]).run().code == Some(0);
    if !done {
        fs::remove_file(disk).with_context(|| format!("remove {}", disk.display()))?;
    }
    Ok(done)
}

/// A group of version 1's accounting, where children stay that are moved for limits by other hierarchies.
fn accounting_group(record: &Record) -> anyhow::Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
    let accounts = |line: &&str| {
        let mut fields = line.split(' ');
        let kind = fields.nth(2);
        kind == Some("cgroup") && fields.next().is_some_and(|o| o.split(',').all(|o| o != "cpu"))
    };
    let line = mounts.lines().filter(accounts).find(|line| line.contains("cpuacct"));
    let Some(root) = line.and_then(|line| line.split(' ').nth(1)) else { return Ok(None) };
    let group = Path::new(root).join(format!("tandem-bench-{}", std::process::id()));
    record.add_group(&group)?;
    // Without the right to make one there is none.
    Ok(fs::create_dir(&group).is_ok().then_some(group))
}
