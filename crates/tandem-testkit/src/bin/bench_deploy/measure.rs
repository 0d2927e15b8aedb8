//! CPU time and memory of processes, exact where the kernel has exact figures.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};
use tandem_testkit::leftovers::Process;

/// CPU seconds that a living process has used, its ended threads included, by the kernel's own clock for it.
pub(crate) fn cpu_seconds(id: Pid) -> Option<f64> {
    let time = clock_gettime(clock_getcpuclockid(id).ok()?).ok()?;
    Some(Duration::from(time).as_secs_f64())
}

/// CPU seconds of ended and awaited children of a living process, in ticks of 10 ms.
pub(crate) fn children_seconds(id: Pid) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name, which is in brackets and may hold anything: state is field 3, cutime 16, cstime 17.
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields.get(13)?.parse::<f64>().ok()? + fields.get(14)?.parse::<f64>().ok()?;
    let per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some(ticks / per_second as f64)
}

/// CPU seconds of the benchmark's own ended children: the commands that it has typed.
pub(crate) fn own_children_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel always knows");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    micros as f64 / 1e6
}

/// CPU seconds by process.
pub(crate) fn seconds_by_process(processes: &[Process]) -> BTreeMap<i32, f64> {
    let seconds = |process: &Process| Some((process.id.as_raw(), cpu_seconds(process.id)?));
    processes.iter().filter_map(seconds).collect()
}

/// What the processes used between two looks. What came in between counts whole; what ended in between is lost.
pub(crate) fn used(before: &BTreeMap<i32, f64>, after: &BTreeMap<i32, f64>) -> f64 {
    after.iter().map(|(id, seconds)| seconds - before.get(id).unwrap_or(&0.0)).sum()
}

/// Resident and proportional memory in bytes: pages that are shared count whole in the first, by their share in the
/// second.
pub(crate) fn memory(id: Pid) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    Some((field("Rss:")?, field("Pss:")?))
}
