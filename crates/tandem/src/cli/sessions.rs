//! `tandem sessions`: one-off commands, those that run and those of the last days.

use tandem_types::JobId;
use tandem_types::instance::JobState;
use tandem_types::session::Session as Command;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Style, Table, ago, visible};
use crate::session::Session;

/// Arguments of `sessions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Those that ended stay listed for a week, and the journal tells of them after that, too.

Examples:
  tandem sessions
  tandem sessions --end j12         SIGTERM, and SIGKILL ten seconds later
  tandem logs --process run         what they wrote")]
pub(crate) struct Args {
    /// Ask one to end
    #[arg(long, value_name = "SESSION")]
    end: Option<JobId>,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let place = session.place().await?;
    if let Some(id) = args.end {
        let command: Command = session.client()?.delete(&place.path(&format!("sessions/{id}"))).await?;
        session.output.show(&command, |command| format!("{} was asked to end\n", command.id))?;
        return Ok(Exit::Done);
    }
    let all: Vec<Command> = session.client()?.get(&place.path("sessions")).await?;
    let now = session.clock.now();
    session.output.show(&all, |all| {
        let style = session.output.data_style();
        let mut table = Table::new(&["ID", "STATE", "BY", "SINCE", "RELEASE", "HOST", "COMMAND"]);
        for command in all {
            table.row(row(command, style, now));
        }
        table.render(style, &format!("no one-off commands of {place}; type `tandem run -- COMMAND`"))
    })?;
    Ok(Exit::Done)
}

fn row(command: &Command, style: Style, now: jiff::Timestamp) -> Vec<Cell> {
    vec![
        command.id.into(),
        state(command, style),
        command.cause.actor.as_str().into(),
        ago(command.started.unwrap_or(command.created), now).into(),
        command.release.into(),
        command.host.as_ref().map(ToString::to_string).unwrap_or_default().into(),
        visible(&command.command).to_string().into(),
    ]
}

fn state(command: &Command, style: Style) -> Cell {
    match &command.state {
        // Its host, once it is there, is told not to begin it.
        JobState::Waiting if command.canceled.is_some() => "given up".into(),
        JobState::Waiting => "waiting".into(),
        JobState::Running => Cell::painted("running", |text| style.green(text)),
        JobState::Ended { exit } if exit.code == Some(0) => "done".into(),
        JobState::Ended { exit } => exit.to_string().into(),
        JobState::TimedOut => "timed out".into(),
        JobState::NotStarted { .. } => "not started".into(),
        JobState::Unknown { .. } => "unknown".into(),
    }
}
