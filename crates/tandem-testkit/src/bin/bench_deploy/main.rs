//! `make bench-deploy`: what a deploy and a rollback cost, beside the same app by a plain script, in one run.
//!
//! Three parts: one-line changes ([`one_line`]), rollbacks between two warm releases ([`rollbacks`]), and load through
//! deploys and rollbacks with the memory and CPU of an idle installation ([`under_load`]). Every figure is something
//! a user would see or pay for; nothing here passes or fails. The tables are printed and written as Markdown together
//! with a description of the machine.

mod ground;
mod machine;
mod measure;
mod one_line;
mod poller;
mod rollbacks;
mod script_side;
mod tables;
mod tandem_side;
mod under_load;
mod wire;

use std::path::PathBuf;

use anyhow::{Context as _, bail};

/// What is to be measured, and how often.
#[derive(Debug, Clone)]
struct Plan {
    binary: PathBuf,
    report: PathBuf,
    deploys: usize,
    rollbacks: usize,
    loaded_rounds: usize,
    idle_seconds: u64,
}

fn main() -> anyhow::Result<()> {
    let plan = plan(std::env::args().skip(1))?;
    let machine = machine::describe();
    let mut text = tables::head(&machine);
    let ground = ground::Ground::prepare()?;
    text.push_str(&one_line::measure(&plan, &ground)?);
    text.push_str(&rollbacks::measure(&plan, &ground)?);
    text.push_str(&under_load::measure(&plan, &ground)?);
    tandem_kit::files::write_atomic(&plan.report, text.as_bytes(), 0o644)?;
    say(&text);
    say(&format!("written to {}", plan.report.display()));
    Ok(())
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
    let (deploys, rollbacks, loaded_rounds, idle_seconds) =
        if quick { (2, 6, 1, 5) } else { (10, 300, 20, 60) };
    Ok(Plan { binary, report, deploys, rollbacks, loaded_rounds, idle_seconds })
}

#[expect(clippy::print_stdout, reason = "a benchmark's figures are its output")]
fn say(text: &str) {
    println!("{text}");
}
