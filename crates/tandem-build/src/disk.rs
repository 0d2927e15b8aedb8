//! A build must not fill the disk that everything else of the installation writes to.

use std::path::Path;
use std::time::Duration;

use nix::sys::statvfs::statvfs;

/// What a build leaves free at least: the store, logs and running apps go on writing.
const RESERVE: u64 = 512 << 20;
/// On small disks the reserve is this part of the whole.
const PART: u64 = 20;
/// Between two looks. A disk that takes 1 GB/s is ended well within its reserve.
const INTERVAL: Duration = Duration::from_millis(200);

/// Returns when the disk of a folder has no more than the reserve left, with the bytes that are.
pub(crate) async fn nearly_full(folder: &Path) -> u64 {
    loop {
        if let Some(left) = too_little(folder) {
            return left;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Bytes that are left, where they are no more than the reserve. A disk that does not answer is not known to be full.
pub(crate) fn too_little(folder: &Path) -> Option<u64> {
    let disk = statvfs(folder).ok()?;
    let unit = disk.fragment_size();
    let (left, whole) = (disk.blocks_available() * unit, disk.blocks() * unit);
    (left <= RESERVE.min(whole / PART)).then_some(left)
}
