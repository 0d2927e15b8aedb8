//! `tandem doctor`: what this machine lacks, what that costs, and the line to type.

use std::fmt::Write as _;

use serde::Serialize;

use crate::doctor::{self, Finding, State};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Style, count, visible};
use crate::session::Session;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is changed. The exit code is 1 where something is lacking that apps
need or that keeps them apart, else 0; what only some apps need is a note.

Run it as the user that runs `tandem up`: what root may do, others may not.

Examples:
  sudo tandem doctor
  tandem doctor --json | jq '.findings[] | select(.state == \"lacking\")'")]
pub(crate) struct Args {
    /// Show what is as it should be as well
    #[arg(short, long)]
    all: bool,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    /// Whether something important is lacking.
    lacking: bool,
    /// Everything that was looked at, also with `--all` left out.
    findings: &'a [Finding],
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let findings = doctor::look(session).await;
    let lacking = findings.iter().any(|finding| finding.state == State::Lacking);
    let style = session.output.data_style();
    session
        .output
        .show(&Answer { lacking, findings: &findings }, |answer| render(answer.findings, args.all, style))?;
    Ok(if lacking { Exit::Failed } else { Exit::Done })
}

fn render(findings: &[Finding], all: bool, style: Style) -> String {
    let width = findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| all || finding.state != State::Good) {
        let name = format!("{:<width$}", finding.name);
        let state = match finding.state {
            State::Good => style.green("good   "),
            State::Note => style.yellow("note   "),
            State::Lacking => style.red("lacking"),
        };
        let _ = writeln!(text, "{state}  {name}  {}", visible(&finding.says));
        let indent = " ".repeat(width + 11);
        if !finding.costs.is_empty() {
            let _ = writeln!(text, "{indent}costs: {}", visible(&finding.costs));
        }
        if !finding.line.is_empty() {
            let _ = writeln!(text, "{indent}type:  {}", style.cyan(&visible(&finding.line)));
        }
    }
    text.push_str(&summary(findings, style));
    text
}

fn summary(findings: &[Finding], style: Style) -> String {
    let number = |state| findings.iter().filter(|finding| finding.state == state).count() as u64;
    let good = count(number(State::Good), "thing is", "things are");
    let notes = match number(State::Note) {
        0 => String::new(),
        notes => format!(", {} for some", count(notes, "note", "notes")),
    };
    match number(State::Lacking) {
        0 => format!("{}: {good} as they should be{notes}\n", style.green("nothing important is lacking")),
        lacking => {
            let lacking = count(lacking, "thing is lacking", "things are lacking");
            format!("{}: {good} as they should be{notes}\n", style.red(&lacking))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &'static str, state: State) -> Finding {
        let (costs, line) = match state {
            State::Good => (String::new(), String::new()),
            State::Note | State::Lacking => ("much".to_owned(), format!("apt-get install {name}")),
        };
        Finding { name, state, says: "so it is".to_owned(), costs, line }
    }

    #[test]
    fn what_is_good_is_counted_and_what_is_not_is_told() {
        let all =
            [finding("bubblewrap", State::Lacking), finding("git", State::Note), finding("uv", State::Good)];
        insta::assert_snapshot!(render(&all, false, Style::new(false)), @"
        lacking  bubblewrap  so it is
                             costs: much
                             type:  apt-get install bubblewrap
        note     git         so it is
                             costs: much
                             type:  apt-get install git
        1 thing is lacking: 1 thing is as they should be, 1 note for some
        ");
        assert!(render(&all, true, Style::new(false)).contains("good     uv          so it is\n"));
    }
}
