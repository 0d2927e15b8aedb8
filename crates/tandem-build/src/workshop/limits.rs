//! What a command of a build may use: as a rule, by the size of the machine, or as a person set it.

use std::fs;

use tandem_kit::{env, size};
use tandem_sandbox::{Limits, Weight};

/// Compilers take a lot; more than this is a build that goes astray.
pub(super) const MEMORY_BYTES: u64 = 4 << 30;
/// Parallel compilers and their threads, for each core; and the least and the most that a build gets of them. A bomb of four
/// thousand processes kept two cores busy for ten seconds until all of them were dead, and nobody else could start one.
const PIDS_PER_CORE: u32 = 256;
const LEAST_PIDS: u32 = 1024;
pub(super) const MOST_PIDS: u32 = 4096;

/// What commands may use as a rule, or what a person set of it.
pub(crate) fn limits() -> Limits {
    let memory_bytes = Some(memory(memory_set(), memory_of_machine()));
    Limits { memory_bytes, cpus: None, pids: Some(pids()), weight: Weight::Normal }
}

/// No more than three quarters of the machine's where nobody set it, or a small one had no limit at all. What apps need
/// beyond the rest the kernel takes from builds first.
fn memory(set: Option<u64>, machine: Option<u64>) -> u64 {
    let most = machine.map_or(MEMORY_BYTES, |bytes| (bytes / 4 * 3).min(MEMORY_BYTES));
    set.unwrap_or(most)
}

/// What a person set; a value that is no size is told and not heeded.
fn memory_set() -> Option<u64> {
    let text = std::env::var(env::TANDEM_BUILD_MEMORY).ok()?;
    let set = size::parse_bytes(&text).filter(|bytes| *bytes > 0);
    if set.is_none() {
        tracing::warn!("{}={text} is no size such as 2GiB and is not heeded", env::TANDEM_BUILD_MEMORY);
    }
    set
}

fn pids() -> u32 {
    let cores = std::thread::available_parallelism()
        .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    cores.saturating_mul(PIDS_PER_CORE).clamp(LEAST_PIDS, MOST_PIDS)
}

fn memory_of_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kibibytes.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|number| number << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_gets_three_quarters_of_a_small_machine_or_what_was_set() {
        assert!(memory_of_machine().is_some_and(|bytes| bytes > 1 << 28), "Linux tells");
        assert_eq!(memory(None, Some(1 << 30)), 768 << 20);
        assert_eq!(memory(None, Some(64 << 30)), MEMORY_BYTES);
        assert_eq!(memory(None, None), MEMORY_BYTES);
        for set in [512 << 20, 8 << 30] {
            assert_eq!(memory(Some(set), Some(1 << 30)), set, "people know their machine");
        }
    }
}
