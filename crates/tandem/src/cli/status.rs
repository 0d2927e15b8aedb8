//! `tandem status`: what runs, and what a person should look at.

use std::fmt::Write;

use tandem_types::api::{AppSummary, Status};
use tandem_types::disk::Budget;
use tandem_types::https::Signer;
use tandem_types::instance::Isolation;

use super::app;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Style, Table, ago, bytes, count, visible};
use crate::session::Session;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem status
  tandem status --json | jq .problems")]
pub(crate) struct Args {}

pub(super) async fn run(_args: Args, session: &Session) -> Result<Exit, Failure> {
    let status: Status = session.client()?.get("/v1/status").await?;
    let now = session.clock.now();
    session.output.show(&status, |status| render(status, session.output.data_style(), now))?;
    Ok(Exit::Done)
}

fn render(status: &Status, style: Style, now: jiff::Timestamp) -> String {
    let mut text = format!(
        "tandem {}, started {}, revision {}, routing {}\n",
        status.version,
        ago(status.started, now),
        status.cursor.revision,
        status.epoch
    );
    if status.problems.is_empty() {
        let _ = writeln!(text, "{}", style.green("all is well"));
    }
    for problem in &status.problems {
        let _ = writeln!(text, "{} {}", style.yellow("attention:"), visible(problem));
    }
    for disk in &status.disks {
        let (free, total) = (bytes(disk.space.free_bytes), bytes(disk.space.total_bytes));
        let _ = writeln!(text, "{free} of {total} free on the disk of {}", disk.folder.display());
    }
    if let Some(budget) = &status.budget {
        let _ = writeln!(text, "{}", budget_line(budget));
    }
    let _ = write!(text, "\n{}", hosts(status, style));
    let _ = write!(text, "\n{}", balancers(status, style));
    if !status.certificates.is_empty() {
        let _ = write!(text, "\n{}", certificates(status, (style, now)));
    }
    let _ = write!(text, "\n{}", apps(&status.apps, style));
    text
}

/// What Tandem would give back, so that nobody looks for it with `du`.
fn budget_line(budget: &Budget) -> String {
    format!(
        "{} of {} used for what only helps: builds keep {}, logs {}, snapshots {}",
        bytes(budget.used_bytes()),
        bytes(budget.budget_bytes),
        bytes(budget.builds_bytes),
        bytes(budget.logs_bytes),
        bytes(budget.snapshots_bytes)
    )
}

fn hosts(status: &Status, style: Style) -> String {
    let mut table = Table::new(&["HOST", "STATE", "ISOLATION", "INSTANCES"]);
    for host in &status.hosts {
        let isolation = match host.isolation {
            Some(Isolation::Sandbox) => "sandbox".into(),
            Some(Isolation::Plain) => Cell::painted("plain (none)", |text| style.yellow(text)),
            None => "".into(),
        };
        table.row([host.name.as_str().into(), live(host.live, style), isolation, host.instances.into()]);
    }
    table.render(style, "no host has reported yet")
}

fn balancers(status: &Status, style: Style) -> String {
    let mut table = Table::new(&["BALANCER", "STATE", "EPOCH", "REQUESTS", "ADDRESSES"]);
    for balancer in &status.balancers {
        let http = balancer.status.http.iter().map(|a| format!("http://{a}"));
        let https = balancer.status.https.iter().map(|a| format!("https://{a}"));
        let addresses: Vec<String> = http.chain(https).collect();
        table.row([
            balancer.status.balancer.as_str().into(),
            live(balancer.live, style),
            balancer.status.serving.into(),
            balancer.status.requests.into(),
            addresses.join(" ").into(),
        ]);
    }
    table.render(style, "no balancer has reported yet")
}

fn certificates(status: &Status, (style, now): (Style, jiff::Timestamp)) -> String {
    let mut table = Table::new(&["DOMAIN", "SIGNED BY", "ENDS"]);
    for line in &status.certificates {
        let signer: Cell = match line.signer {
            Some(Signer::Acme) => Cell::painted("authority", |text| style.green(text)),
            Some(Signer::Local) if line.problem.is_some() => {
                Cell::painted("local", |text| style.yellow(text))
            }
            Some(Signer::Local) => "local".into(),
            None => "".into(),
        };
        let ends = match line.not_after {
            Some(end) if end <= now => Cell::painted("ended", |text| style.red(text)),
            Some(end) => end.strftime("%Y-%m-%d").to_string().into(),
            None => "".into(),
        };
        table.row([line.domain.as_str().into(), signer, ends]);
    }
    table.render(style, "")
}

fn apps(apps: &[AppSummary], style: Style) -> String {
    let environments: usize = apps.iter().map(|app| app.environments.len()).sum();
    let heading = format!(
        "{}, {}\n",
        count(apps.len() as u64, "app", "apps"),
        count(environments as u64, "environment", "environments")
    );
    let table = app::table(apps, style);
    if apps.is_empty() { table } else { format!("{}{table}", style.dim(&heading)) }
}

fn live(live: bool, style: Style) -> Cell {
    if live {
        Cell::painted("live", |text| style.green(text))
    } else {
        Cell::painted("silent", |text| style.red(text))
    }
}
