//! `make bench-deploy`: what a deploy and a rollback cost, beside the same app by a plain script, in one run.
//!
//! Three parts: one-line changes ([`one_line`]), rollbacks between two warm releases ([`rollbacks`]), and load through
//! deploys and rollbacks with the memory and CPU of an idle installation ([`under_load`]). Every figure is something
//! a user would see or pay for. The tables are printed and written as Markdown together with a description of the
//! machine and of how it was measured.
//!
//! The measuring runs in a child process; [`supervisor`] ends everything, however the child ends.
//!
//! Exit codes: 0 measured, whether or not the aims were hit; 1 it did not come to an end; 2 measured, but a request to
//! Tandem's sites failed; 3 something was left behind; 128 and the signal's number when interrupted.

mod disk;
mod ground;
mod measure;
mod one_line;
mod quiet;
mod rollbacks;
mod script_side;
mod tandem_side;
mod under_load;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use nix::unistd::Pid;
use tandem_testkit::bench::aims::{self, Part};
use tandem_testkit::bench::cleaning::BenchFolder;
use tandem_testkit::bench::progress::{print, say};
use tandem_testkit::bench::record::Record;
use tandem_testkit::bench::{machine, supervisor};

use crate::ground::Ground;

/// A request to Tandem's sites failed.
const REQUESTS_FAILED: u8 = 2;

/// What is to be measured, and how often.
#[derive(Debug, Clone)]
struct Plan {
    binary: PathBuf,
    report: PathBuf,
    deploys: usize,
    quiet_deploys: usize,
    rollbacks: usize,
    loaded_rounds: usize,
    idle_seconds: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    supervisor::serve(|arguments| plan(arguments.into_iter()), Plan::minutes, measure)
}

fn measure(plan: &Plan, bench: &BenchFolder) -> anyhow::Result<ExitCode> {
    let record = Record::create(&bench.record())?;
    record.add_process("the benchmark", Pid::this())?;
    let machine = machine::describe();
    let ground = Ground::prepare(bench, record)?;
    type Measure = fn(&Plan, &Ground) -> anyhow::Result<Part>;
    let parts: [Measure; 3] = [one_line::measure, rollbacks::measure, under_load::measure];
    let (mut sections, mut all, mut failed) = (String::new(), Vec::new(), 0);
    for part in parts {
        let part = part(plan, &ground)?;
        sections.push_str(&part.text);
        all.extend(part.aims);
        failed += part.failed;
    }
    let aims = aims::tell(&all);
    let text = head(&[machine, ground.describe()].join(" "), &aims) + &sections;
    supervisor::report(&plan.report, &text)?;
    print(&aims);
    let count = aims::count(&all);
    say(&format!("{count}; {failed} requests to Tandem failed; written to {}", plan.report.display()));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(REQUESTS_FAILED) })
}

/// Head of the report.
fn head(machine: &str, aims: &str) -> String {
    format!(
        "# What a deploy and a rollback cost\n\n{machine}\n\nWritten by `make bench-deploy`; the program is \
         `crates/tandem-testkit/src/bin/bench_deploy`. The app is `examples/guestbook` with two web instances and a \
         worker, SQLite, ten entries on the page. Everything runs on this one machine, so what is measured and \
         what measures share its cores. Tandem and the scripts take turns in one run. CPU seconds are the kernel's own \
         clock of each process unless said otherwise; growth of the disk is that of the file system after a sync, as `df` \
         shows it. Figures are median (least–most).\n\n## Aims\n\n{aims}"
    )
}

fn plan(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Plan> {
    let (mut binary, mut report, mut quick) = (None, None, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--binary" => binary = arguments.next().map(PathBuf::from),
            "--report" => report = arguments.next().map(PathBuf::from),
            "--quick" => quick = true,
            other => bail!("unknown argument {other}"),
        }
    }
    let binary = binary.context("--binary PATH is missing")?;
    let report = report.context("--report PATH is missing")?;
    let (deploys, quiet_deploys, rollbacks, loaded_rounds, idle_seconds) =
        if quick { (2, 1, 6, 1, 5) } else { (10, 5, 300, 20, 60) };
    Ok(Plan { binary, report, deploys, quiet_deploys, rollbacks, loaded_rounds, idle_seconds })
}

impl Plan {
    /// How long it takes, by what its steps took on two cores.
    fn minutes(&self) -> u64 {
        let starts = 120;
        let deploys = 47 * self.deploys as u64 + 35 * self.quiet_deploys as u64 + 300;
        let rollbacks =
            2 * self.rollbacks as u64 + 10 * self.rollbacks.div_ceil(rollbacks::SCRIPT_SHARE) as u64;
        (starts + deploys + rollbacks + 8 * self.loaded_rounds as u64 + self.idle_seconds).div_ceil(60)
    }
}
