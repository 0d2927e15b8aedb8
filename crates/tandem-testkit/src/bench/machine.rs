//! What the figures were measured on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::program::Program;
use crate::wait::pass;
use tandem_kit::clock::Clock;

/// Time in which the work of others is measured.
const BEFORE: Duration = Duration::from_secs(5);

/// One paragraph about this machine and this moment.
#[must_use]
pub fn describe() -> String {
    let cores = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cores.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let count = cores.lines().filter(|line| line.starts_with("processor")).count();
    let memory =
        field("/proc/meminfo", "MemTotal:").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let gigabytes = memory.unwrap_or_default() / 1_048_576;
    let system = field("/etc/os-release", "PRETTY_NAME=").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(", ");
    let busy = busy_percent(BEFORE);
    let python = version("/usr/bin/python3");
    let commit = Program::new("git").arguments(["rev-parse", "--short", "HEAD"]).run().stdout;
    let changed = Program::new("git").arguments(["status", "--porcelain", "-uno"]).run().stdout;
    let changed = if changed.trim().is_empty() { "" } else { " with uncommitted changes" };
    let own = std::env::current_exe().unwrap_or_default();
    let build = own.parent().and_then(|folder| folder.file_name()).unwrap_or_default().display();
    let day = Clock::system().now().strftime("%Y-%m-%d %H:%M UTC").to_string();
    format!(
        "Measured {day} at commit {}{changed}, {build} build, on {count} cores ({}), {gigabytes} GiB, {}, Linux {}, {python}. \
         Load averages \
         before the run (1, 5 and 15 minutes; building counts): {load}. In the {} s before it, {busy} of the \
         processor time was used by others.",
        commit.trim(),
        model.trim_start_matches([' ', '\t', ':']),
        system.trim_matches('"'),
        kernel.trim(),
        BEFORE.as_secs(),
    )
}

/// The file system and the device below a folder.
#[must_use]
pub fn disk_of(folder: &Path) -> String {
    let words = ["-n", "-o", "FSTYPE,SOURCE", "-T"];
    let found = Program::new("findmnt").arguments(words).arguments([folder]).run().stdout;
    let (kind, source) = found.trim().split_once(' ').unwrap_or(("an unknown file system", "?"));
    let source = source.trim();
    let device = source.rsplit('/').next().unwrap_or_default();
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/sys/block/{device}/{name}")).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let sectors = read("size").and_then(|text| text.parse::<u64>().ok());
    let size = sectors.map(|sectors| format!(", {} GiB", sectors >> 21)).unwrap_or_default();
    let model = read("device/model").map(|model| format!(", {model}")).unwrap_or_default();
    format!("{kind} of {source}{size}{model}")
}

/// Share of all cores that was in use while this waited.
fn busy_percent(length: Duration) -> String {
    let read = || {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let fields = text.lines().next()?.split_whitespace().skip(1);
        let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).take(8).collect();
        // Idle and waiting for a disk are the fourth and fifth.
        Some((ticks.iter().sum::<u64>(), ticks.get(3)? + ticks.get(4)?))
    };
    let before = read();
    pass(length);
    let share = before.zip(read()).map(|((all, idle), (all_later, idle_later))| {
        let (all, idle) = (all_later - all, idle_later - idle);
        #[expect(clippy::cast_precision_loss, reason = "some seconds in ticks")]
        let share = (all.saturating_sub(idle) as f64) / (all.max(1) as f64);
        format!("{:.0} %", share * 100.0)
    });
    share.unwrap_or_else(|| "an unknown part".to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

fn version(program: &str) -> String {
    Program::new(program).arguments(["--version"]).run().stdout.trim().to_owned()
}
