//! `tandem ps`: what runs for an environment now, warm instances included.

use tandem_types::api::ProcessLine;
use tandem_types::instance::InstanceState;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Style, Table, ago};
use crate::session::Session;

/// Arguments of `ps`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Roles: `serving` gets traffic, `warm` waits for a rollback, `running` has no traffic by nature
(workers).

Examples:
  tandem ps
  tandem ps --app guestbook --env staging
  tandem ps --json")]
pub(crate) struct Args {}

pub(super) async fn run(_args: Args, session: &Session) -> Result<Exit, Failure> {
    let place = session.place().await?;
    let lines: Vec<ProcessLine> = session.client()?.get(&place.path("ps")).await?;
    let now = session.clock.now();
    session.output.show(&lines, |lines| {
        let style = session.output.data_style();
        let mut table =
            Table::new(&["NAME", "RELEASE", "ROLE", "STATE", "STARTED", "RESTARTS", "HOST", "ID", "DETAIL"]);
        for line in lines {
            table.row(row(line, style, now));
        }
        table.render(style, &format!("nothing of {place} runs; type `tandem deploy`"))
    })?;
    Ok(Exit::Done)
}

fn row(line: &ProcessLine, style: Style, now: jiff::Timestamp) -> Vec<Cell> {
    vec![
        line.name.as_str().into(),
        line.release.into(),
        line.role.as_str().into(),
        state(line.state, style),
        line.started.map(|started| ago(started, now)).unwrap_or_default().into(),
        line.restarts.into(),
        line.host.as_str().into(),
        line.id.into(),
        line.detail.as_deref().unwrap_or_default().lines().next().unwrap_or_default().into(),
    ]
}

fn state(state: InstanceState, style: Style) -> Cell {
    match state {
        InstanceState::Ready => Cell::painted("ready", |text| style.green(text)),
        InstanceState::Waiting => "waiting".into(),
        InstanceState::Starting => Cell::painted("starting", |text| style.yellow(text)),
        InstanceState::Stopping => "stopping".into(),
        InstanceState::Stopped => "stopped".into(),
        InstanceState::Unhealthy => Cell::painted("unhealthy", |text| style.red(text)),
        InstanceState::Crashed => Cell::painted("crashed", |text| style.red(text)),
    }
}
