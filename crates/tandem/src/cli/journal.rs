//! `tandem journal`: who changed what, when and why.

use futures_util::TryStreamExt;
use tandem_types::api::AppSummary;
use tandem_types::document::JournalEntry;
use tandem_types::{Revision, Timestamp};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Style, local_time, visible};
use crate::session::Session;

use super::reconnect::Reconnect;

/// Entries that are asked for at once after a broken connection.
const MISSED: u64 = 1_000;

/// Arguments of `journal`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --app it covers the whole installation, with --app all environments of the app, with --env
one of them.

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
    let mut reader = Reader { subject: subject(session), began: session.clock.now(), seen: None, shown: 0 };
    if args.follow {
        ensure_known(session, &reader).await?;
        return reader.follow(session, args.lines).await;
    }
    let mut entries = session.client()?.lines(&reader.path(args.lines, false));
    while let Some(entry) = entries.try_next().await? {
        reader.show(session, &entry)?;
    }
    if reader.shown == 0 && args.lines > 0 {
        // An app that was destroyed has entries; one that never was has none.
        if let Some(app) = &session.global.app {
            let _: AppSummary = session.client()?.get(&format!("/v1/apps/{app}")).await?;
        }
        session.output.note("nothing has happened yet; type `tandem deploy` in the folder of your app");
    }
    Ok(Exit::Done)
}

/// The app with all its environments, or the one environment that was named.
fn subject(session: &Session) -> Option<String> {
    let app = session.global.app.as_ref()?;
    Some(match &session.global.env {
        Some(environment) => format!("{app}/{environment}"),
        None => app.to_string(),
    })
}

/// Nobody waits for the entries of an app that is misspelled.
async fn ensure_known(session: &Session, reader: &Reader) -> Result<(), Failure> {
    let Some(app) = &session.global.app else { return Ok(()) };
    let mut past = session.client()?.lines::<JournalEntry>(&reader.path(1, false));
    if past.try_next().await?.is_none() {
        let _: AppSummary = session.client()?.get(&format!("/v1/apps/{app}")).await?;
    }
    Ok(())
}

/// Reads entries, each once, over connections that may break.
struct Reader {
    subject: Option<String>,
    /// Entries from here on are new where none was seen.
    began: Timestamp,
    seen: Option<Revision>,
    shown: u64,
}

impl Reader {
    fn path(&self, limit: u64, follow: bool) -> String {
        let mut path = format!("/v1/journal?limit={limit}");
        if let Some(seen) = self.seen {
            path.push_str(&format!("&after={}", seen.0));
        }
        if let Some(subject) = &self.subject {
            path.push_str(&format!("&subject={subject}"));
        }
        if follow {
            path.push_str("&follow=true");
        }
        path
    }

    async fn follow(mut self, session: &Session, lines: u64) -> Result<Exit, Failure> {
        let mut reconnect = Reconnect::new();
        let mut limit = lines;
        loop {
            let mut entries = session.client()?.lines::<JournalEntry>(&self.path(limit, true));
            let end = loop {
                match entries.try_next().await {
                    Ok(Some(entry)) => {
                        reconnect.heard();
                        if limit == lines || self.is_new(&entry) {
                            self.show(session, &entry)?;
                        }
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            reconnect.wait(session, end).await?;
            limit = MISSED;
        }
    }

    fn is_new(&self, entry: &JournalEntry) -> bool {
        self.seen.map_or(entry.time >= self.began, |seen| entry.revision > seen)
    }

    fn show(&mut self, session: &Session, entry: &JournalEntry) -> Result<(), Failure> {
        self.seen = Some(entry.revision);
        self.shown += 1;
        if session.output.json {
            return session.output.value(entry);
        }
        session.output.line(render(entry, session.output.data_style()))
    }
}

fn render(entry: &JournalEntry, style: Style) -> String {
    let cause = &entry.cause;
    let mut line = format!(
        "{} {} {:<18} {:<20} {}",
        style.dim(&local_time(entry.time)),
        style.dim(&format!("{:>6}", entry.revision)),
        visible(&cause.actor),
        visible(&cause.action),
        visible(&cause.subject)
    );
    if !cause.reason.is_empty() {
        line.push_str(&format!("  {}", visible(&cause.reason)));
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

    #[test]
    fn a_reason_forges_no_entry() {
        let entry = JournalEntry {
            revision: Revision(41),
            time: jiff::Timestamp::UNIX_EPOCH,
            cause: Cause {
                actor: "unix:ann".into(),
                action: "deploy.start".into(),
                reason: "one\n2026-01-01 two \u{1b}[2J".into(),
                subject: "shop/production".into(),
            },
            keys: Vec::new(),
        };
        let line = render(&entry, Style::new(false));
        assert!(line.ends_with("one\\n2026-01-01 two \\x1b[2J") && line.lines().count() == 1, "{line}");
    }
}
