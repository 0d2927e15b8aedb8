//! `tandem logs`: what instances wrote, the last lines or as they come.

use std::fmt::Write;

use futures_util::TryStreamExt;
use tandem_types::api::{AppSummary, ProcessLine, ReleaseDetail};
use tandem_types::event::{LogLine, Stream};
use tandem_types::{InstanceId, ProcessType, ReleaseNumber, Timestamp};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Style, colored, local_time, visible};
use crate::place::Place;
use crate::session::Session;

use super::reconnect::Reconnect;

/// Lines that are asked for after a broken connection, to find those that were missed.
const MISSED: u64 = 10_000;

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
    fn query(&self, lines: u64) -> String {
        let mut query = format!("logs?lines={lines}");
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
    if args.follow {
        ensure_known(session, &place, &args).await?;
        return follow(session, &place, &args).await;
    }
    let mut lines = session.client()?.lines::<LogLine>(&place.path(&args.query(args.lines)));
    let mut any = false;
    while let Some(line) = lines.try_next().await? {
        any = true;
        show(session, &line)?;
    }
    if !any && args.lines > 0 {
        // Only now: logs may be kept longer than what wrote them.
        ensure_known(session, &place, &args).await?;
        session.output.note(format!("no lines; `tandem ps{}` shows what runs", session.target(&place)));
    }
    Ok(Exit::Done)
}

/// Refuses what there is not: nobody waits for the lines of something that is misspelled.
async fn ensure_known(session: &Session, place: &Place, args: &Args) -> Result<(), Failure> {
    ensure_release(session, place, args).await?;
    ensure_process(session, place, args).await?;
    ensure_instance(session, place, args).await
}

/// Process types of the jobs of a rollout, which no environment lists.
const JOBS: [&str; 2] = ["release", "smoke"];

async fn ensure_process(session: &Session, place: &Place, args: &Args) -> Result<(), Failure> {
    let Some(process) = args.process.as_ref().filter(|process| !JOBS.contains(&process.as_str())) else {
        return Ok(());
    };
    let app: AppSummary = session.client()?.get(&format!("/v1/apps/{}", place.app)).await?;
    let environment = app.environments.into_iter().find(|e| e.name == place.environment);
    let known = environment.map(|environment| environment.wanted).unwrap_or_default();
    if known.is_empty() || known.contains_key(process) {
        return Ok(());
    }
    let names: Vec<&str> = known.keys().map(ProcessType::as_str).chain(JOBS).collect();
    Err(Failure::new(format!("{place} has no process type {process}"))
        .hint(format!("it has {}", names.join(", ")))
        .code("process_not_found"))
}

async fn ensure_instance(session: &Session, place: &Place, args: &Args) -> Result<(), Failure> {
    let Some(instance) = args.instance else { return Ok(()) };
    let lines: Vec<ProcessLine> = session.client()?.get(&place.path("ps")).await?;
    if lines.iter().any(|line| line.id == instance) {
        return Ok(());
    }
    Err(Failure::new(format!("{place} has no instance {instance}"))
        .hint(format!("`tandem ps{}` lists them", session.target(place)))
        .code("instance_not_found"))
}

/// Refuses a release that there is not.
async fn ensure_release(session: &Session, place: &Place, args: &Args) -> Result<(), Failure> {
    let Some(release) = args.release else { return Ok(()) };
    let known: Result<ReleaseDetail, _> =
        session.client()?.get(&place.path(&format!("releases/{release}"))).await;
    let hint = format!("`tandem releases{}` lists them", session.target(place));
    known.map(drop).map_err(|error| Failure::from(error).or_hint(hint))
}

/// Goes on behind the last line that was shown when the server was away.
async fn follow(session: &Session, place: &Place, args: &Args) -> Result<Exit, Failure> {
    let mut reconnect = Reconnect::new();
    let mut seen = Seen { until: session.clock.now(), lines: Vec::new() };
    let mut wanted = args.lines;
    loop {
        let mut lines = session.client()?.lines::<LogLine>(&place.path(&args.query(wanted)));
        let end = loop {
            match lines.try_next().await {
                Ok(Some(line)) => {
                    reconnect.heard();
                    if wanted == args.lines || seen.is_behind(&line) {
                        show(session, &line)?;
                        seen.add(line);
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        reconnect.wait(session, end).await?;
        wanted = MISSED;
    }
}

/// How far the lines were shown.
struct Seen {
    until: Timestamp,
    /// The lines of that very moment.
    lines: Vec<LogLine>,
}

impl Seen {
    fn is_behind(&self, line: &LogLine) -> bool {
        line.time > self.until || (line.time == self.until && !self.lines.contains(line))
    }

    fn add(&mut self, line: LogLine) {
        if line.time != self.until || self.lines.is_empty() {
            self.lines.clear();
            self.until = line.time;
        }
        self.lines.push(line);
    }
}

fn show(session: &Session, line: &LogLine) -> Result<(), Failure> {
    if session.output.json {
        return session.output.value(line);
    }
    session.output.line(render(line, session.output.data_style()))
}

fn render(line: &LogLine, style: Style) -> String {
    let name = format!("{}.{} {}", line.process, line.index, line.release);
    let number = line.instance.map_or(0, |instance| instance.0);
    let text = match line.stream {
        Stream::Stdout | Stream::Stderr if style.has_colors() => colored(&line.text),
        Stream::Stdout | Stream::Stderr => visible(&line.text),
        Stream::Tandem => style.dim(&format!("-- {}", visible(&line.text))).into(),
    };
    format!("{} {} {text}", style.dim(&local_time(line.time)), style.nth(number, &format!("{name:<14}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: i64, text: &str) -> LogLine {
        LogLine {
            time: jiff::Timestamp::from_second(second).expect("a valid time"),
            instance: Some(InstanceId(4)),
            release: ReleaseNumber(12),
            process: ProcessType::web(),
            index: 1,
            stream: Stream::Stdout,
            text: text.into(),
        }
    }

    #[test]
    fn a_log_line_says_when_who_and_what() {
        let text = render(&line(0, "GET / 200"), Style::new(false));
        assert!(text.ends_with(" web.1 r12      GET / 200"), "{text}");
    }

    #[test]
    fn an_app_may_paint_a_terminal_but_not_drive_it() {
        let text = line(0, "\u{1b}[31mred\u{1b}[2J");
        assert!(render(&text, Style::new(true)).ends_with("\u{1b}[31mred\\x1b[2J\u{1b}[0m"));
        assert!(render(&text, Style::new(false)).ends_with("\\x1b[31mred\\x1b[2J"));
    }

    #[test]
    fn after_a_broken_connection_each_line_is_shown_once() {
        let mut seen = Seen { until: jiff::Timestamp::UNIX_EPOCH, lines: Vec::new() };
        assert!(seen.is_behind(&line(0, "the first")), "nothing was shown yet");
        for shown in [line(1, "a"), line(2, "b"), line(2, "c")] {
            seen.add(shown);
        }
        for (line, behind) in
            [(line(1, "a"), false), (line(2, "b"), false), (line(2, "d"), true), (line(3, "a"), true)]
        {
            assert_eq!(seen.is_behind(&line), behind, "{line:?}");
        }
    }
}
