//! CPU time and memory of a proxy: of all processes in its group.

use std::fs;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// CPU seconds that the group's living processes have used. The kernel's clock of a process is the sum of what
/// `/proc/PID/task/*/schedstat` tells of its threads, in nanoseconds, and of those that have ended besides.
pub(crate) fn cpu_seconds(group: Pid) -> f64 {
    let seconds = |id: Pid| {
        let time = clock_gettime(clock_getcpuclockid(id).ok()?).ok()?;
        Some(Duration::from(time).as_secs_f64())
    };
    members(group).into_iter().filter_map(seconds).sum()
}

/// Resident bytes of the group. Pages that its processes share count in each.
pub(crate) fn memory(group: Pid) -> u64 {
    let resident = |id: Pid| {
        let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    };
    members(group).into_iter().filter_map(resident).sum()
}

fn members(group: Pid) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter(|id| group_of(*id) == Some(group.as_raw())).map(Pid::from_raw).collect()
}

fn group_of(id: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name, which is in brackets and may hold anything: state is field 3, the group 5.
    text.rsplit_once(") ")?.1.split(' ').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tandem_testkit::program::Program;
    use tandem_testkit::wait::eventually;

    use super::*;

    #[test]
    fn what_a_child_of_the_group_uses_counts() {
        let script = "(while :; do :; done) & wait";
        let running = Program::new("sh").arguments(["-c", script]).start();
        let one = eventually("both run", || (members(running.id()).len() == 2).then(|| memory(running.id())));
        assert!(one > 0);
        eventually("the child's time counts", || (cpu_seconds(running.id()) > 0.05).then_some(()));
    }
}
