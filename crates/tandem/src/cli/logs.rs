//! `tandem logs`: what instances wrote, the last lines or as they come.

use std::fmt::Write;

use futures_util::TryStreamExt;
use tandem_types::event::{LogLine, Stream};
use tandem_types::{InstanceId, ProcessType, ReleaseNumber};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Style, local_time};
use crate::session::Session;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tandem logs -f                       follow all processes
  tandem logs --process worker -n 500  the last 500 lines of the workers
  tandem logs --release r12            also of a release that is gone, while its logs are kept
  tandem logs --json | jq -r .text")]
pub(crate) struct Args {
    /// Go on with new lines as they come; Ctrl-C ends it
    #[arg(short, long)]
    follow: bool,
    /// How many past lines
    #[arg(short = 'n', long, default_value_t = 100, value_name = "NUMBER")]
    lines: u64,
    /// Only this process type; `release` and `smoke` are the jobs of rollouts
    #[arg(long, value_name = "TYPE")]
    process: Option<ProcessType>,
    /// Only this instance, such as i42
    #[arg(long, value_name = "ID")]
    instance: Option<InstanceId>,
    /// Only this release, such as r12
    #[arg(long, value_name = "RELEASE")]
    release: Option<ReleaseNumber>,
}

impl Args {
    /// Ids and names need no escaping in a URL.
    fn query(&self) -> String {
        let mut query = format!("logs?lines={}", self.lines);
        if let Some(process) = &self.process {
            let _ = write!(query, "&process={process}");
        }
        if let Some(instance) = self.instance {
            let _ = write!(query, "&instance={instance}");
        }
        if let Some(release) = self.release {
            let _ = write!(query, "&release={release}");
        }
        if self.follow {
            query.push_str("&follow=true");
        }
        query
    }
}

pub(super) async fn run(args: Args, session: &Session) -> Result<Exit, Failure> {
    let place = session.place().await?;
    let mut lines = session.client()?.lines::<LogLine>(&place.path(&args.query()));
    let style = session.output.data_style();
    let mut any = false;
    while let Some(line) = lines.try_next().await? {
        any = true;
        if session.output.json {
            session.output.value(&line)?;
        } else {
            session.output.line(render(&line, style))?;
        }
    }
    if !any && !args.follow {
        session.output.note("no lines; `tandem ps` shows what runs");
    }
    Ok(Exit::Done)
}

fn render(line: &LogLine, style: Style) -> String {
    let name = format!("{}.{} {}", line.process, line.index, line.release);
    let number = line.instance.map_or(0, |instance| instance.0);
    let text = match line.stream {
        Stream::Stdout | Stream::Stderr => line.text.clone(),
        Stream::Tandem => style.dim(&format!("-- {}", line.text)),
    };
    format!("{} {} {text}", style.dim(&local_time(line.time)), style.nth(number, &format!("{name:<14}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_says_when_who_and_what() {
        let line = LogLine {
            time: jiff::Timestamp::UNIX_EPOCH,
            instance: Some(InstanceId(4)),
            release: ReleaseNumber(12),
            process: ProcessType::web(),
            index: 1,
            stream: Stream::Stdout,
            text: "GET / 200".into(),
        };
        let text = render(&line, Style::new(false));
        assert!(text.ends_with(" web.1 r12      GET / 200"), "{text}");
    }
}
