//! `tandem completions SHELL`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use serde::Serialize;

use super::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem completions bash > /etc/bash_completion.d/tandem
  tandem completions zsh > ~/.zfunc/_tandem
  tandem completions fish > ~/.config/fish/completions/tandem.fish")]
pub(crate) struct Args {
    /// Shell to print them for
    shell: Shell,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Completions {
    shell: String,
    script: String,
}

pub(super) fn run(args: &Args, session: &Session) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "tandem", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    session.output.show(&Completions { shell: args.shell.to_string(), script }, |it| it.script.clone())?;
    Ok(Exit::Done)
}
