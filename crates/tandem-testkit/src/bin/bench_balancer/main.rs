//! `make bench-balancer`: the balancer beside nginx, HAProxy and Caddy on the same work: CPU per request, handshakes per CPU
//! second, memory of idle connections, and whether each aim is hit.
//!
//! A row ([`rows`]) is some work and what is on for it. For each, all proxies ([`proxies`]) are started on one core and checked
//! to do the same ([`check`]), then loaded in turns from the other one ([`contest`]). What a proxy cannot do is told in its row,
//! and the run goes on.
//!
//! Exit codes: 0 measured, whether or not the aims were hit; 1 it did not come to an end; 2 measured, but a request to
//! Tandem failed; 3 something was left behind; 128 and the signal's number when interrupted.

mod check;
mod contest;
mod ground;
mod handshakes;
mod idle;
mod load;
mod process;
mod proxies;
mod rows;
mod told;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::unistd::Pid;
use tandem_testkit::bench::cleaning::BenchFolder;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::record::Record;
use tandem_testkit::bench::{machine, supervisor};

use crate::contest::Miss;
use crate::ground::Ground;
use crate::proxies::Kind;
use crate::rows::{ROWS, Row, Work};

/// Rounds of a row that measures memory.
const IDLE_ROUNDS: usize = 5;

/// A request to Tandem failed.
const REQUESTS_FAILED: u8 = 2;

/// What is to be measured, and how often.
#[derive(Debug, Clone)]
struct Plan {
    binary: PathBuf,
    /// It is what `make dist` builds.
    given_to_others: bool,
    report: PathBuf,
    /// The one row that is wanted; none: all.
    only: Option<&'static Row>,
    /// Rounds at most; see [`Plan::rounds`].
    rounds: usize,
    /// Length of the load on each proxy in each round.
    length: Duration,
}

fn main() -> anyhow::Result<ExitCode> {
    supervisor::serve(|arguments| plan(arguments.into_iter()), Plan::minutes, measure)
}

fn measure(plan: &Plan, bench: &BenchFolder) -> anyhow::Result<ExitCode> {
    let record = Record::create(&bench.record())?;
    record.add_process("the benchmark", Pid::this())?;
    let machine = machine::describe();
    let ground = Ground::prepare(bench, record)?;
    let mut results = Vec::new();
    for row in plan.rows() {
        say(&format!("{}: {}", row.name, row.what));
        results.push((row, contest::contest(row, plan, &ground)));
    }
    supervisor::report(&plan.report, &told::page(&machine, plan, &results))?;
    say(&format!("{}; written to {}", told::count(&results), plan.report.display()));
    let entries = results.iter().flat_map(|(_, entries)| entries);
    let failed =
        |entry: &contest::Entry| entry.kind == Kind::Tandem && matches!(entry.miss, Some(Miss::Failed(_)));
    Ok(if entries.into_iter().any(failed) { ExitCode::from(REQUESTS_FAILED) } else { ExitCode::SUCCESS })
}

fn plan(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Plan> {
    let (mut binary, mut report, mut only) = (None, None, None);
    let (mut quick, mut given_to_others) = (false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--binary" => binary = arguments.next().map(PathBuf::from),
            "--report" => report = arguments.next().map(PathBuf::from),
            "--only" => only = Some(arguments.next().context("--only wants the name of a row")?),
            "--quick" => quick = true,
            "--given-to-others" => given_to_others = true,
            other => bail!("unknown argument {other}"),
        }
    }
    let only = only.map(|name| find(&name)).transpose()?;
    let binary: PathBuf = binary.context("--binary PATH is missing")?;
    let report = report.context("--report PATH is missing")?;
    // Many short turns rather than few long ones: what else a machine does comes and goes within seconds, and only what is measured
    // close together can be compared.
    let (rounds, seconds) = if quick { (2, 1) } else { (15, 1) };
    // Proxies run in a folder of their own.
    let binary = binary.canonicalize().with_context(|| format!("find {}", binary.display()))?;
    Ok(Plan { binary, given_to_others, report, only, rounds, length: Duration::from_secs(seconds) })
}

fn find(name: &str) -> anyhow::Result<&'static Row> {
    let names = || ROWS.map(|row| row.name).join(", ");
    ROWS.iter()
        .find(|row| row.name == name)
        .with_context(|| format!("there is no row {name}, but {}", names()))
}

impl Plan {
    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        ROWS.iter().filter(|row| self.only.is_none_or(|only| only.name == row.name))
    }

    /// Rounds of a row: memory is the same in each, and takes half a minute.
    fn rounds(&self, row: &Row) -> usize {
        if row.work == Work::Idle { self.rounds.min(IDLE_ROUNDS) } else { self.rounds }
    }

    /// How long it takes, by what its steps took on two cores: four proxies, with a second beside the load of each round.
    fn minutes(&self) -> u64 {
        let row = |row| 4 * (3 + (self.length.as_secs() + 1) * self.rounds(row) as u64);
        (self.rows().map(row).sum::<u64>() + 10).div_ceil(60)
    }
}
