//! What the figures were measured on.

use std::fs;

use tandem_kit::clock::Clock;
use tandem_testkit::program::Program;

/// One paragraph about this machine and this moment.
pub(crate) fn describe() -> String {
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
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    let python = version("/usr/bin/python3");
    let commit = Program::new("git").arguments(["rev-parse", "--short", "HEAD"]).run().stdout;
    let day = Clock::system().now().strftime("%Y-%m-%d %H:%M UTC").to_string();
    format!(
        "Measured {day} at commit {}, release build, on {count} cores ({}), {gigabytes} GiB, {}, Linux {}, {python}. \
         Load average before the run: {load}.",
        commit.trim(),
        model.trim_start_matches([' ', '\t', ':']),
        system.trim_matches('"'),
        kernel.trim(),
    )
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

fn version(program: &str) -> String {
    Program::new(program).arguments(["--version"]).run().stdout.trim().to_owned()
}
