//! `tandem run -- CMD`: a command once, in a fresh instance of the current release.

use std::time::Duration;

use tandem_types::Span;
use tandem_types::session::{RunCommand, Session as Command, Terminal};
use tokio::time::sleep;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::place::Place;
use crate::session::Session;
use crate::talk::{self, Manner, is_on_terminal, window};

/// Between two looks whether its end is known, and their number.
const LOOKS: (Duration, u32) = (Duration::from_millis(250), 80);

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The command gets the files, the config, the volumes and the limits of a web process of the release
that is current now. At a terminal it gets a terminal; else three pipes, so that data goes in and
out unchanged. It goes on when this client is gone, and is neither stopped nor repeated by a deploy.
At a terminal Ctrl-] three times leaves it. A reader that closes standard output sends it SIGHUP.
With --detach it gets no input. One word is a line for the shell, several are a program and its
words.

Ends with the command's own exit code, 128 and the signal's number where one ended it, 124 where its
time was up. The command is in the journal, so do not write secrets into it.

Examples:
  tandem run -- python manage.py shell
  tandem run -- python manage.py dumpdata > data.json
  tandem run -- python manage.py loaddata --format=json - < data.json
  tandem run --detach --timeout 2h -- python manage.py reindex
  tandem run 'echo $DATABASE_URL | wc -c'")]
pub(crate) struct Args {
    /// Print its id and leave it alone
    #[arg(short, long)]
    detach: bool,
    /// Kill it after this time, such as 30m [default: never]
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// Give it pipes although this is a terminal
    #[arg(short = 'T', long)]
    no_terminal: bool,
    /// The command, behind `--`
    #[arg(required = true, value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let place = session.place().await?;
    let at_terminal = is_on_terminal() && !args.no_terminal && !session.global.json;
    let terminal = (at_terminal && !args.detach).then(|| Terminal { size: window(), term: term() });
    let manner = Manner { terminal: terminal.is_some(), aside: session.global.json, ..Manner::default() };
    let asked = RunCommand {
        command: shell_line(&args.command),
        message: session.global.reason(),
        terminal,
        detach: args.detach,
        timeout: args.timeout,
    };
    let command: Command = session.client()?.post(&place.path("run"), &asked).await?;
    let id = command.id;
    if args.detach {
        session.output.show(&command, |command| format!("{}\n", command.id))?;
        let target = session.target(&place);
        session.output.note(format!(
            "`tandem attach {id}{target}` shows what it prints, `tandem sessions{target}` lists it"
        ));
        return Ok(Exit::Done);
    }
    let exit = talk::talk(session, &place, id, manner).await?;
    if session.global.json {
        session.output.value(&ended(session, &place, &command).await?)?;
    }
    Ok(exit)
}

/// The session once its end is known; as it stands after twenty seconds.
async fn ended(session: &Session, place: &Place, command: &Command) -> Result<Command, Failure> {
    let path = place.path(&format!("sessions/{}", command.id));
    let (pause, mut looks) = LOOKS;
    loop {
        let command: Command = session.client()?.get(&path).await?;
        if command.is_over() || looks == 0 {
            return Ok(command);
        }
        looks -= 1;
        sleep(pause).await;
    }
}

fn term() -> String {
    std::env::var("TERM").ok().filter(|term| !term.is_empty()).unwrap_or_else(|| "dumb".to_owned())
}

/// One word is a line for the shell as it is; several are a program, which takes the shell's place, and its words.
fn shell_line(words: &[String]) -> String {
    match words {
        [line] => line.clone(),
        words => {
            let quoted: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            format!("exec {}", quoted.join(" "))
        }
    }
}

/// A word as every POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:=@%+,-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words_and_a_line_stays_a_line() {
        let line =
            |words: &[&str]| shell_line(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["a && b | c"]), "a && b | c");
        assert_eq!(line(&["python", "-c", "print('a b')"]), r"exec python -c 'print('\''a b'\'')'");
        assert_eq!(line(&["ls", "", "-l=x", "$HOME"]), "exec ls '' -l=x '$HOME'");
    }
}
