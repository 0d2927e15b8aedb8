//! How full a file system is.

use serde::{Deserialize, Serialize};

/// Room on a file system, as `df` counts it for its ordinary users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Space {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Its size in bytes.
    pub total_bytes: u64,
    /// Files and folders that can still be made.
    pub free_inodes: u64,
    /// Files and folders it can hold; 0 where it knows no such limit.
    pub total_inodes: u64,
}

impl Space {
    /// What no build may use up: [`crate::defaults::DISK_RESERVE_BYTES`], on small file systems a part of it.
    #[must_use]
    pub fn reserve_bytes(&self) -> u64 {
        crate::defaults::DISK_RESERVE_BYTES.min(self.total_bytes / crate::defaults::DISK_RESERVE_PART)
    }

    /// The same of inodes; 0 where the file system knows no limit.
    #[must_use]
    pub fn reserve_inodes(&self) -> u64 {
        crate::defaults::DISK_RESERVE_INODES.min(self.total_inodes / crate::defaults::DISK_RESERVE_PART)
    }

    /// Whether less than twice the reserve is left, so that people should look before deploys are refused.
    #[must_use]
    pub fn is_low(&self) -> bool {
        let low = |free: u64, reserve: u64| reserve > 0 && free < 2 * reserve;
        low(self.free_bytes, self.reserve_bytes()) || low(self.free_inodes, self.reserve_inodes())
    }

    /// Whether less is left than `1 / divisor` of the reserve, of bytes or of inodes.
    #[must_use]
    pub fn is_below(&self, divisor: u64) -> bool {
        let below = |free: u64, reserve: u64| reserve > 0 && free < reserve / divisor;
        below(self.free_bytes, self.reserve_bytes()) || below(self.free_inodes, self.reserve_inodes())
    }
}

/// What is kept only to be quicker the next time, or to look back, against what it may take together; in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Budget {
    /// What it may take: `TANDEM_DISK_BUDGET`, or a tenth of the disk.
    pub budget_bytes: u64,
    /// Of builds: downloads, copies of dependencies, parts of earlier ones.
    pub builds_bytes: u64,
    /// Logs of instances and jobs.
    pub logs_bytes: u64,
    /// Snapshots of the store.
    pub snapshots_bytes: u64,
}

impl Budget {
    /// What of it is taken.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        [self.builds_bytes, self.logs_bytes, self.snapshots_bytes].into_iter().fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn space(free: u64, total: u64) -> Space {
        Space { free_bytes: free, total_bytes: total, free_inodes: 500, total_inodes: 0 }
    }

    #[test]
    fn the_reserve_is_a_gibibyte_and_on_small_disks_a_twentieth() {
        assert_eq!(space(0, 100 * GIB).reserve_bytes(), GIB);
        assert_eq!(space(0, GIB).reserve_bytes(), GIB / 20);
        assert!(!space(GIB, 100 * GIB).is_below(1));
        assert!(space(GIB - 1, 100 * GIB).is_below(1));
        assert!(space(2 * GIB - 1, 100 * GIB).is_low() && !space(2 * GIB, 100 * GIB).is_low());
        assert!(!space(GIB / 2, 100 * GIB).is_below(2));
        assert!(space(GIB / 2 - 1, 100 * GIB).is_below(2));
    }

    #[test]
    fn inodes_count_where_the_file_system_counts_them() {
        let full = space(50 * GIB, 100 * GIB);
        assert!(!Space { free_inodes: 0, ..full }.is_below(1));
        assert!(Space { free_inodes: 10, total_inodes: 1_000, ..full }.is_below(1));
        assert!(!Space { free_inodes: 60_000, total_inodes: 10_000_000, ..full }.is_below(1));
        assert!(Space { free_inodes: 40_000, total_inodes: 10_000_000, ..full }.is_below(1));
    }
}
