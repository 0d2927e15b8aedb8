//! Limits as the two versions of control groups write them.

use std::io;
use std::path::Path;

use super::hierarchy::Controller;
use crate::spec::{Limits, Weight};

/// Length of the window in which CPU time is counted: the kernel's default. A longer one makes apps stall longer once
/// their share of it is used up.
const CPU_PERIOD_US: u64 = 100_000;

/// Memory is charged in large pages first: who is refused may be below the limit by one of them.
const CHARGED_AT_ONCE: u64 = 2 << 20;

/// One value for one file of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub controller: Controller,
    pub file: &'static str,
    pub value: String,
    /// Not every kernel has the file (swap accounting).
    pub optional: bool,
}

/// Everything to write for these limits; `unified` tells which version has a controller.
pub(super) fn settings(limits: &Limits, unified: impl Fn(Controller) -> bool) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut set = |controller, file, value: String, optional| {
        settings.push(Setting { controller, file, value, optional });
    };
    if let Some(bytes) = limits.memory_bytes {
        if unified(Controller::Memory) {
            set(Controller::Memory, "memory.max", bytes.to_string(), false);
            set(Controller::Memory, "memory.swap.max", "0".to_owned(), true);
        } else {
            set(Controller::Memory, "memory.limit_in_bytes", bytes.to_string(), false);
            // Memory and swap together: the same number means no swap.
            set(Controller::Memory, "memory.memsw.limit_in_bytes", bytes.to_string(), true);
        }
    }
    if let Some(cpus) = limits.cpus {
        let quota = quota(cpus);
        if unified(Controller::Cpu) {
            set(Controller::Cpu, "cpu.max", format!("{quota} {CPU_PERIOD_US}"), false);
        } else {
            set(Controller::Cpu, "cpu.cfs_period_us", CPU_PERIOD_US.to_string(), false);
            set(Controller::Cpu, "cpu.cfs_quota_us", quota.to_string(), false);
        }
    }
    if let Some(pids) = limits.pids {
        set(Controller::Pids, "pids.max", pids.to_string(), false);
    }
    if limits.weight != Weight::Normal {
        settings.push(weight(limits.weight, unified(Controller::Cpu)));
    }
    settings
}

/// The kernel refuses less than a millisecond in a window.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a small positive range"
)]
fn quota(cpus: f64) -> u64 {
    (cpus.clamp(0.01, 10_000.0) * CPU_PERIOD_US as f64) as u64
}

/// The kernel's defaults, and a twentieth of them. Not the least it takes: an instance that is starved on a busy machine
/// fails its probes, and one that holds its database's lock meanwhile stops those that serve.
pub(super) fn weight(weight: Weight, unified: bool) -> Setting {
    let (file, value) = match (unified, weight) {
        (true, Weight::Normal) => ("cpu.weight", 100),
        (true, Weight::Lowest) => ("cpu.weight", 5),
        (false, Weight::Normal) => ("cpu.shares", 1024),
        (false, Weight::Lowest) => ("cpu.shares", 51),
    };
    Setting { controller: Controller::Cpu, file, value: value.to_string(), optional: false }
}

/// How often the kernel killed a member for want of memory.
pub(super) fn out_of_memory_kills(group: &Path) -> io::Result<u64> {
    let text = std::fs::read_to_string(group.join("memory.events"))
        .or_else(|_| std::fs::read_to_string(group.join("memory.oom_control")))?;
    let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    Ok(kills.and_then(|number| number.trim().parse().ok()).unwrap_or(0))
}

/// Whether the group itself met its limit of memory. The kills above are those of the whole machine's, too, and of a
/// group that this one is in. Version 1 counts them nowhere, and failed charges not where swap is limited as well: it tells
/// how much was used at most, be it of pages that the kernel took back then.
pub(super) fn memory_limit_was_met(group: &Path) -> io::Result<bool> {
    let read = |name: &str| std::fs::read_to_string(group.join(name));
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
    if let Ok(text) = read("memory.events") {
        return Ok(text
            .lines()
            .find_map(|line| line.strip_prefix("oom "))
            .is_some_and(|hits| number(hits) > 0));
    }
    let (most, limit) =
        (number(&read("memory.max_usage_in_bytes")?), number(&read("memory.limit_in_bytes")?));
    Ok(most.saturating_add(CHARGED_AT_ONCE) >= limit)
}

/// How often a member was refused another process or thread. Both versions have the file. Before Linux 6.11 those are
/// counted, too, that were refused for the limit of a group that this one is in.
pub(super) fn refused_forks(group: &Path) -> io::Result<u64> {
    let text = std::fs::read_to_string(group.join("pids.events"))?;
    let refused = text.lines().find_map(|line| line.strip_prefix("max "));
    Ok(refused.and_then(|number| number.trim().parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limits: &Limits, unified: bool) -> Vec<String> {
        let line = |setting: Setting| format!("{}={}", setting.file, setting.value);
        settings(limits, |_| unified).into_iter().map(line).collect()
    }

    #[test]
    fn both_versions_get_the_same_limits_in_their_own_files() {
        let limits =
            Limits { memory_bytes: Some(1 << 20), cpus: Some(1.5), pids: Some(64), weight: Weight::Lowest };
        assert_eq!(
            written(&limits, true),
            [
                "memory.max=1048576",
                "memory.swap.max=0",
                "cpu.max=150000 100000",
                "pids.max=64",
                "cpu.weight=5"
            ]
        );
        assert_eq!(
            written(&limits, false),
            [
                "memory.limit_in_bytes=1048576",
                "memory.memsw.limit_in_bytes=1048576",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=150000",
                "pids.max=64",
                "cpu.shares=51"
            ]
        );
    }

    #[test]
    fn a_kill_for_the_machine_is_told_from_one_for_the_group_s_own_limit() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            tandem_kit::files::write_atomic_unsynced(&group.path().join(name), text.as_bytes(), 0o600)
                .unwrap();
        };
        let found =
            || (out_of_memory_kills(group.path()).unwrap(), memory_limit_was_met(group.path()).unwrap());
        assert!(memory_limit_was_met(group.path()).is_err(), "what is not known is no answer");
        write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        write("memory.limit_in_bytes", "67108864\n");
        write("memory.max_usage_in_bytes", "8192000\n");
        assert_eq!(found(), (2, false));
        write("memory.max_usage_in_bytes", "67104768\n");
        assert_eq!(found(), (2, true));
        write("memory.events", "low 0\nhigh 0\nmax 9\noom 0\noom_kill 1\noom_group_kill 0\n");
        assert_eq!(found(), (1, false));
        write("memory.events", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 1\n");
        assert_eq!(found(), (1, true));
    }

    #[test]
    fn no_limits_write_nothing() {
        assert!(written(&Limits::default(), true).is_empty());
    }

    #[test]
    fn a_tiny_share_of_cpu_is_raised_to_what_the_kernel_takes() {
        assert_eq!(quota(0.000_1), 1_000);
    }
}
