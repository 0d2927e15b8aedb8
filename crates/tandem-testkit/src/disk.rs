//! A small file system of a scenario's own, to be filled. Needs root.
//!
//! It is unmounted when the scenario ends, also where the process of the test is killed: an heir waits for that.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tandem_kit::disk;
use tandem_types::disk::Space;
use tempfile::TempDir;

use crate::program::{Program, Running};
use crate::wait::{PATIENCE, eventually, within};

/// A file system that is gone with its owner.
#[derive(Debug)]
pub struct Disk {
    folder: TempDir,
    mount: PathBuf,
    heir: Option<Running>,
}

impl Disk {
    /// In memory: quick, and what is free is exact to the page.
    ///
    /// # Panics
    ///
    /// Where it cannot be mounted.
    #[must_use]
    pub fn in_memory(mebibytes: u64) -> Self {
        let options = format!("size={mebibytes}m,nr_inodes=20k");
        Self::mounted(|mount| {
            let words = ["-t", "tmpfs", "-o", &options, "tandem-test"].map(std::ffi::OsString::from);
            let words = words.into_iter().chain([mount.as_os_str().to_owned()]);
            let _ = Program::new("mount").arguments(words).run().expect_success();
        })
    }

    /// ext4 in a file, where folders and small files cost what they cost on most servers.
    ///
    /// # Panics
    ///
    /// Where it cannot be made or mounted.
    #[must_use]
    pub fn ext4(mebibytes: u64) -> Self {
        Self::ext4_made(mebibytes, &[])
    }

    /// The same with room for this many files and folders, which may be used up before its bytes are.
    ///
    /// # Panics
    ///
    /// Where it cannot be made or mounted.
    #[must_use]
    pub fn ext4_with_inodes(mebibytes: u64, inodes: u32) -> Self {
        Self::ext4_made(mebibytes, &["-N", &inodes.to_string()])
    }

    fn ext4_made(mebibytes: u64, options: &[&str]) -> Self {
        Self::mounted(|mount| {
            let image = mount.with_file_name("image");
            let file = fs::File::create(&image).expect("the temporary folder takes files");
            file.set_len(mebibytes << 20).expect("the temporary folder takes files");
            // No blocks that only root may use: what `df` shows is what there is.
            let words = ["-q", "-F", "-m", "0"].map(std::ffi::OsString::from);
            let words = words.into_iter().chain(options.iter().map(std::ffi::OsString::from));
            let words = words.chain([image.clone().into_os_string()]);
            let _ = Program::new("mkfs.ext4").arguments(words).run().expect_success();
            let words = ["-o", "loop"].map(std::ffi::OsString::from).into_iter();
            let words = words.chain([image.into_os_string(), mount.as_os_str().to_owned()]);
            let _ = Program::new("mount").arguments(words).run().expect_success();
        })
    }

    fn mounted(mount_at: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder takes files");
        let mount = folder.path().join("disk");
        fs::create_dir(&mount).expect("the folder is new");
        mount_at(&mount);
        // Whoever is killed cannot clean up; what runs there ends by other heirs, within seconds.
        let script = "cat; for n in $(seq 100); do mountpoint -q \"$1\" || break; umount \"$1\" 2>/dev/null || \
                      sleep 0.2; done; rm -rf --one-file-system \"$2\"";
        let words = [mount.as_os_str(), folder.path().as_os_str()];
        let heir = Program::new("sh").arguments(["-c", script, "heir"]).arguments(words);
        let heir = Some(heir.hold_input().silent().start());
        Self { folder, mount, heir }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// What is free on it, everything written counted.
    ///
    /// # Panics
    ///
    /// Where it is gone.
    #[must_use]
    pub fn space(&self) -> Space {
        let file = fs::File::open(&self.mount).expect("it is mounted");
        nix::unistd::syncfs(file).expect("it answers");
        disk::space(&self.mount).expect("it is mounted")
    }

    /// Writes until no more than this many bytes are free; 0 fills it to the last one.
    ///
    /// # Panics
    ///
    /// Where it refuses for any other reason.
    pub fn fill_up_to(&self, left: u64) {
        let path = self.filling();
        let file = fs::File::options().create(true).append(true).open(&path).expect("it takes a file");
        let mut more = self.space().free_bytes.saturating_sub(left);
        let mut size = file.metadata().expect("it is open").size();
        // What others write meanwhile leaves less than was counted.
        while more > 0 {
            let taken = nix::fcntl::fallocate(
                &file,
                nix::fcntl::FallocateFlags::empty(),
                i64::try_from(size).expect("disks of tests are small"),
                i64::try_from(more).expect("disks of tests are small"),
            );
            if taken.is_ok() {
                size += more;
                more = self.space().free_bytes.saturating_sub(left);
            } else {
                more /= 2;
            }
            if more < 4096 {
                break;
            }
        }
    }

    /// Gives back what [`Disk::fill_up_to`] took.
    pub fn empty(&self) {
        let _ = fs::remove_file(self.filling());
    }

    fn filling(&self) -> PathBuf {
        self.mount.join("filling")
    }

    /// Unmounts it, which proves that nothing uses it any more.
    ///
    /// # Panics
    ///
    /// Where something does.
    pub fn finish(mut self) {
        eventually("the disk is used by nobody", || self.unmount().then_some(()));
        drop(self.heir.take());
    }

    fn unmount(&self) -> bool {
        let is_mounted = |id: &dyn Fn(&Path) -> Option<u64>| id(&self.mount) != id(self.folder.path());
        let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
        if !is_mounted(&device) {
            return true;
        }
        Program::new("umount").arguments([&self.mount]).run().code == Some(0)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = within(PATIENCE, || self.unmount().then_some(()));
        drop(self.heir.take());
    }
}
