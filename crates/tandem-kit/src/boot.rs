//! Which start of which machine this is: two processes that read the same id run on one kernel, and see one disk's folders.

/// The id that the kernel drew at its start; empty where it tells none.
#[must_use]
pub fn id() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.map(|id| id.trim().to_owned()).unwrap_or_default()
}
