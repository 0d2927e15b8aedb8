//! `make bench-faults`: what faults cost. Parts of Tandem are killed at random moments of every operation, all of it is
//! killed and started again, requests are counted that each fault loses; beside it, what the store can do and how long a
//! start with a long history takes.
//!
//! Parts: moments ([`moments`]), restarts of the whole ([`restarts`]), lost requests by victim ([`requests`]), the store
//! ([`store`]) and recovery with a long journal ([`recovery`]). The measuring runs in a child process that is cleaned up
//! after however it ends.
//!
//! Exit codes: 0 measured, whether or not the aims were hit; 1 it did not come to an end; 2 measured, but a promise was
//! broken that holds at any moment; 3 something was left behind; 128 and the signal's number when interrupted.

mod ground;
mod moments;
mod operation;
mod promises;
mod recovery;
mod requests;
mod restarts;
mod rollouts;
mod store;
mod victim;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use nix::unistd::Pid;
use tandem_testkit::bench::aims::{self, Part};
use tandem_testkit::bench::cleaning::BenchFolder;
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::record::Record;
use tandem_testkit::bench::{machine, supervisor};

use crate::ground::{Ground, Site};

/// A promise was broken that holds at any moment.
const BROKEN: u8 = 2;
/// Releases that the whole run puts into the journal.
const LONG_HISTORY: u64 = 10_000;

/// What is to be measured, and how often.
#[derive(Debug, Clone)]
struct Plan {
    binary: PathBuf,
    report: PathBuf,
    /// The one part that is wanted; none: all.
    only: Option<String>,
    /// Moments at which something is killed.
    moments: usize,
    /// Times that all of Tandem is killed, at rest and in a rollout each.
    restarts: usize,
    /// Times that each victim is killed under load.
    kills: usize,
    /// Transactions of each writer.
    transactions: usize,
    /// Releases in the journal.
    history: u64,
    /// Starts with each history.
    starts: usize,
}

fn main() -> anyhow::Result<ExitCode> {
    supervisor::serve(|arguments| plan(arguments.into_iter()), Plan::minutes, measure)
}

fn measure(plan: &Plan, bench: &BenchFolder) -> anyhow::Result<ExitCode> {
    let record = Record::create(&bench.record())?;
    record.add_process("the benchmark", Pid::this())?;
    let machine = machine::describe();
    let ground = Ground::prepare(bench, record)?;
    let mut parts = parts(plan, &ground)?;
    // What people look for first stands first; it is measured last, since it takes longest.
    parts.reverse();
    let broken: usize = parts.iter().map(|part| part.failed).sum();
    let sections: String = parts.iter().map(|part| part.text.as_str()).collect();
    let all: Vec<_> = parts.into_iter().flat_map(|part| part.aims).collect();
    let aims = aims::tell(&all);
    let text = head(&[machine, ground.describe()].join(" "), &aims) + &sections;
    supervisor::report(&plan.report, &text)?;
    let count = aims::count(&all);
    say(&format!("{count}; {broken} promises broken; written to {}", plan.report.display()));
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(BROKEN) })
}

fn parts(plan: &Plan, ground: &Ground) -> anyhow::Result<Vec<Part>> {
    let is_wanted = |name: &str| plan.only.as_ref().is_none_or(|only| only == name);
    type Alone = fn(&Plan, &Ground) -> anyhow::Result<Part>;
    let alone: [(&str, Alone); 2] = [("store", store::measure), ("recovery", recovery::measure)];
    let alone = alone.into_iter().filter(|(name, _)| is_wanted(name));
    let mut parts = alone.map(|(_, measure)| measure(plan, ground)).collect::<Result<Vec<_>, _>>()?;
    type Faults = fn(&Plan, &mut Site, &Poller) -> anyhow::Result<Part>;
    let faults: [(&str, Faults); 3] =
        [("restarts", restarts::measure), ("requests", requests::measure), ("moments", moments::measure)];
    let faults: Vec<_> = faults.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    if !faults.is_empty() {
        let mut site = Site::start(plan, ground)?;
        let visitor = site.visitor();
        for (_, measure) in faults {
            parts.push(measure(plan, &mut site, &visitor)?);
        }
        drop(visitor);
        site.finish();
    }
    Ok(parts)
}

/// Head of the report.
fn head(machine: &str, aims: &str) -> String {
    format!(
        "# What faults cost\n\n{machine}\n\nWritten by `make bench-faults`; the program is \
         `crates/tandem-testkit/src/bin/bench_faults`. Apps are `examples/guestbook` with two web instances and a worker, and \
         a small one without packages. Everything runs on this one machine, so what is measured and what measures share its \
         cores. Kills are SIGKILL; whoever watches over Tandem starts it again at once, as a service manager would. Figures \
         are median (least–most).\n\n## Aims\n\n{aims}"
    )
}

fn plan(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Plan> {
    let (mut binary, mut report, mut only, mut quick) = (None, None, None, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--binary" => binary = arguments.next().map(PathBuf::from),
            "--report" => report = arguments.next().map(PathBuf::from),
            "--only" => only = arguments.next(),
            "--quick" => quick = true,
            other => bail!("unknown argument {other}"),
        }
    }
    let binary = binary.context("--binary PATH is missing")?;
    let report = report.context("--report PATH is missing")?;
    Ok(if quick {
        let history = LONG_HISTORY / 20;
        Plan {
            binary,
            report,
            only,
            moments: 10,
            restarts: 2,
            kills: 2,
            transactions: 200,
            history,
            starts: 2,
        }
    } else {
        let history = LONG_HISTORY;
        Plan {
            binary,
            report,
            only,
            moments: 50,
            restarts: 20,
            kills: 20,
            transactions: 2_000,
            history,
            starts: 10,
        }
    })
}

impl Plan {
    /// How long it takes, by what its steps took on two cores.
    fn minutes(&self) -> u64 {
        let rounds = 20 * self.moments + 20 * self.restarts + 36 * self.kills + 8 * self.starts;
        (240 + rounds as u64 + self.history / 80).div_ceil(60)
    }
}
