//! `tandem completions SHELL`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

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

pub(super) fn run(args: &Args, session: &Session) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "tandem", &mut script);
    session.output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
