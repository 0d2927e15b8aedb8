//! `make bench-apps`: public apps as their authors published them, each with nothing added but `docs/apps/NAME.toml`: what a
//! first build costs, what a change of one line costs, how long they boot and migrate, and whether a request is lost
//! meanwhile.
//!
//! Each app gets an installation of its own, so that nothing is cached at its first build but uv itself. Sources are work
//! trees that were cloned before; the commit is checked. Databases and Redis are real and run beside it.
//!
//! Exit codes: 0 measured; 1 it did not come to an end; 2 measured, but a request failed; 3 something was left behind; 128
//! and the signal's number when interrupted.

mod apps;
mod measure;
mod services;
mod told;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use nix::unistd::Pid;
use tandem_testkit::bench::cleaning::BenchFolder;
use tandem_testkit::bench::progress::{print, say};
use tandem_testkit::bench::record::Record;
use tandem_testkit::bench::{machine, supervisor};

use crate::apps::{APPS, App};
use crate::services::Services;

/// A request to an app failed.
const REQUESTS_FAILED: u8 = 2;

/// What is to be measured, and how often.
#[derive(Debug, Clone)]
struct Plan {
    binary: PathBuf,
    report: PathBuf,
    /// Folder of the work trees, each called as its app.
    sources: PathBuf,
    /// What is copied into `tools` of every data folder: `python/NAME`, `node/NAME`.
    tools: Option<PathBuf>,
    /// The one app that is wanted; none: all.
    only: Option<String>,
    /// Changes of one line.
    changes: usize,
}

fn main() -> anyhow::Result<ExitCode> {
    if std::env::args().nth(1).as_deref() == Some("--list") {
        for App { name, repository, commit, .. } in APPS {
            print(&format!("{name} https://github.com/{repository}.git {commit}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    supervisor::serve(|arguments| plan(arguments.into_iter()), Plan::minutes, measure)
}

fn measure(plan: &Plan, bench: &BenchFolder) -> anyhow::Result<ExitCode> {
    let record = Record::create(&bench.record())?;
    record.add_process("the benchmark", Pid::this())?;
    let machine = machine::describe();
    let services = Services::start(&record, &bench.scratch())?;
    let mut results = Vec::new();
    for app in plan.apps() {
        say(&format!("{}: first build", app.name));
        let result = measure::measure(app, plan, (&services, &record, bench));
        results.push((app, result.with_context(|| format!("measure {}", app.name))?));
    }
    supervisor::report(&plan.report, &told::page(&machine, &results))?;
    let failed: usize = results.iter().map(|(_, result)| result.failed).sum();
    say(&format!("{failed} requests failed; written to {}", plan.report.display()));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(REQUESTS_FAILED) })
}

fn plan(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Plan> {
    let (mut binary, mut report, mut sources, mut tools, mut only, mut changes) =
        (None, None, None, None, None, 5);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--binary" => binary = arguments.next().map(PathBuf::from),
            "--report" => report = arguments.next().map(PathBuf::from),
            "--sources" => sources = arguments.next().map(PathBuf::from),
            "--tools" => tools = arguments.next().map(PathBuf::from),
            "--only" => only = arguments.next(),
            "--quick" => changes = 2,
            other => bail!("unknown argument {other}"),
        }
    }
    let plan = Plan {
        binary: binary.context("--binary PATH is missing")?,
        report: report.context("--report PATH is missing")?,
        sources: sources.context("--sources PATH is missing")?,
        tools,
        only,
        changes,
    };
    if plan.apps().next().is_none() {
        bail!("there is no app {}", plan.only.unwrap_or_default());
    }
    Ok(plan)
}

impl Plan {
    fn apps(&self) -> impl Iterator<Item = &'static App> {
        APPS.iter().filter(|app| self.only.as_deref().is_none_or(|only| only == app.name))
    }

    /// How long it takes, by what its steps took on two cores.
    fn minutes(&self) -> u64 {
        (self.apps().count() as u64 * (90 + 20 * self.changes as u64)).div_ceil(60)
    }
}
