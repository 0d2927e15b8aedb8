//! A build must not fill the disk that everything else of the installation writes to.

use std::path::Path;
use std::time::Duration;

use tandem_kit::disk;

/// Between two looks. A disk that takes 1 GB/s is ended well within what is left.
const INTERVAL: Duration = Duration::from_millis(200);
/// A deploy is refused where less than the reserve is left; one that was let in may use half of that.
const DIVISOR: u64 = 2;

/// Returns when the disk of a folder has no more than half of its reserve left, with the bytes that are.
pub(crate) async fn nearly_full(folder: &Path) -> u64 {
    loop {
        if let Some(left) = too_little(folder) {
            return left;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Bytes that are left, where they (or the inodes) are less than half of the reserve. A disk that does not answer is not
/// known to be full.
pub(crate) fn too_little(folder: &Path) -> Option<u64> {
    let space = disk::space(folder).ok()?;
    space.is_below(DIVISOR).then_some(space.free_bytes)
}
