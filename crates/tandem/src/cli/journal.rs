//! `tandem journal`: who changed what, when and why.

use futures_util::TryStreamExt;
use tandem_types::document::JournalEntry;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Style, local_time};
use crate::session::Session;

/// Arguments of `journal`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --app it covers the whole installation.

Examples:
  tandem journal                     the last 50 entries
  tandem journal -f                  and then new ones as they come
  tandem journal --app guestbook -n 10
  tandem journal --json | jq 'select(.action == \"config.set\")'")]
pub(crate) struct Args {
    /// Go on with new entries as they come; Ctrl-C ends it
    #[arg(short, long)]
    follow: bool,
    /// How many past entries
    #[arg(short = 'n', long, default_value_t = 50, value_name = "NUMBER")]
    lines: u64,
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let mut path = format!("/v1/journal?limit={}", args.lines);
    if let Some(app) = &session.global.app {
        path.push_str(&format!("&subject={app}/{}", session.global.env));
    }
    if args.follow {
        path.push_str("&follow=true");
    }
    let mut entries = session.client()?.lines::<JournalEntry>(&path);
    let style = session.output.data_style();
    let mut any = false;
    while let Some(entry) = entries.try_next().await? {
        any = true;
        if session.output.json {
            session.output.value(&entry)?;
        } else {
            session.output.line(render(&entry, style))?;
        }
    }
    if !any && !args.follow {
        session.output.note("nothing has happened yet; type `tandem deploy` in the folder of your app");
    }
    Ok(Exit::Done)
}

fn render(entry: &JournalEntry, style: Style) -> String {
    let cause = &entry.cause;
    let mut line = format!(
        "{} {} {:<18} {:<20} {}",
        style.dim(&local_time(entry.time)),
        style.dim(&format!("{:>6}", entry.revision)),
        cause.actor,
        cause.action,
        cause.subject
    );
    if !cause.reason.is_empty() {
        line.push_str(&format!("  {}", cause.reason));
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_types::Revision;
    use tandem_types::document::Cause;

    #[test]
    fn an_entry_is_one_line_that_ends_with_the_reason() {
        let entry = JournalEntry {
            revision: Revision(41),
            time: jiff::Timestamp::UNIX_EPOCH,
            cause: Cause {
                actor: "unix:ann".into(),
                action: "deploy.start".into(),
                reason: "hotfix".into(),
                subject: "shop/production".into(),
            },
            keys: Vec::new(),
        };
        let line = render(&entry, Style::new(false));
        assert!(
            line.ends_with("    41 unix:ann           deploy.start         shop/production  hotfix"),
            "{line}"
        );
    }
}
