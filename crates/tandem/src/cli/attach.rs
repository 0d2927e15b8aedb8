//! `tandem attach j12`: back to a one-off command, with the last that it wrote.

use tandem_types::JobId;
use tandem_types::session::Session as Command;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;
use crate::talk::{self, Manner, is_on_terminal};

/// Arguments of `attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Several may be attached at a time. To a command with a terminal all may type, and Ctrl-] three times
leaves it. Of one without a terminal the output is shown, and Ctrl-C leaves it: it gets no signal,
and input only with --input. It goes on either way; `tandem sessions --end j12` ends it.
Ends with the command's own exit code.

Examples:
  tandem attach                     back to the last one that runs
  tandem attach j12 | head -3
  tandem attach --input j12 < rest.json")]
pub(crate) struct Args {
    /// Which; the latest that runs where none is named
    #[arg(value_name = "SESSION")]
    id: Option<JobId>,
    /// Send standard input and its end to one without a terminal
    #[arg(long)]
    input: bool,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    if session.global.json {
        return Err(Failure::usage("a conversation is no JSON").hint("tandem sessions --json"));
    }
    let place = session.place().await?;
    let command: Command = match args.id {
        Some(id) => session.client()?.get(&place.path(&format!("sessions/{id}"))).await?,
        None => {
            let all: Vec<Command> = session.client()?.get(&place.path("sessions")).await?;
            let target = session.target(&place);
            all.into_iter().find(|command| !command.is_over()).ok_or_else(|| {
                Failure::new(format!("no one-off command of {place} runs"))
                    .hint(format!("tandem run{target} -- COMMAND"))
            })?
        }
    };
    let terminal = command.spec.terminal.is_some() && is_on_terminal();
    let manner = Manner {
        terminal,
        screenful: terminal,
        visits: true,
        looks_on: !terminal && !args.input,
        ..Manner::default()
    };
    talk::talk(session, &place, command.id, manner).await
}
