//! `tandem logs`: what instances wrote, the last lines or as they come.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use futures_util::TryStreamExt;
use tandem_rules::read_only;
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
    let (mut any, mut refused) = (false, None);
    while let Some(line) = lines.try_next().await? {
        any = true;
        show(session, &line)?;
        refused = Some(line).filter(|line| read_only::is_sign(&line.text)).or(refused);
    }
    if let Some(line) = refused {
        advise(session, &place, &line).await;
    }
    if !any && args.lines > 0 {
        // Only now: logs may be kept longer than what wrote them.
        ensure_known(session, &place, &args).await?;
        session.output.note(format!("no lines; `tandem ps{}` shows what runs", session.target(&place)));
    }
    Ok(Exit::Done)
}

/// Says below the lines of an app that goes on which volume it misses. Where that cannot be found out, nothing is said.
async fn advise(session: &Session, place: &Place, line: &LogLine) {
    let path = place.path(&format!("releases/{}", line.release));
    let Ok(client) = session.client() else { return };
    let Ok(known) = client.get::<ReleaseDetail>(&path).await else { return };
    if let Some(hint) = read_only::hint(std::iter::once(line.text.as_str()), &known.build.spec) {
        session.output.note(format!("hint: {}", visible(&hint)));
    }
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
    let mut seen = Seen::new(session.clock.now());
    let (mut wanted, mut advised) = (args.lines, false);
    loop {
        let mut lines = session.client()?.lines::<LogLine>(&place.path(&args.query(wanted)));
        let end = loop {
            match lines.try_next().await {
                Ok(Some(line)) => {
                    reconnect.heard();
                    if wanted == args.lines || seen.is_behind(&line) {
                        show(session, &line)?;
                        if !advised && read_only::is_sign(&line.text) {
                            advised = true;
                            advise(session, place, &line).await;
                        }
                        seen.add(line);
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        reconnect.wait(session, end).await?;
        wanted = MISSED;
        seen.begin_again();
    }
}

/// How far the lines of each instance were shown. Not by their times alone: the clock may have been set back since.
struct Seen {
    /// Lines of an instance that was not seen, and is no new one, are told from here on.
    until: Timestamp,
    /// The last line of each.
    last: BTreeMap<Option<InstanceId>, LogLine>,
    /// Those whose last line came by again on this connection: what follows is new.
    met: BTreeSet<Option<InstanceId>>,
}

impl Seen {
    fn new(until: Timestamp) -> Self {
        Self { until, last: BTreeMap::new(), met: BTreeSet::new() }
    }

    /// On a new connection lines come again that were shown.
    fn begin_again(&mut self) {
        self.met.clear();
    }

    fn is_behind(&mut self, line: &LogLine) -> bool {
        let Some(last) = self.last.get(&line.instance) else {
            let greatest = self.last.keys().max();
            return match greatest {
                None => line.time >= self.until,
                Some(greatest) => line.time > self.until || line.instance > *greatest,
            };
        };
        if line == last {
            self.met.insert(line.instance);
            return false;
        }
        line.time > last.time || self.met.contains(&line.instance)
    }

    fn add(&mut self, line: LogLine) {
        self.until = line.time;
        self.met.insert(line.instance);
        self.last.insert(line.instance, line);
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
        let mut seen = Seen::new(jiff::Timestamp::UNIX_EPOCH);
        assert!(seen.is_behind(&line(0, "the first")), "nothing was shown yet");
        for shown in [line(1, "a"), line(2, "b"), line(2, "c")] {
            seen.add(shown);
        }
        seen.begin_again();
        let other = |second, text| LogLine { instance: Some(InstanceId(3)), ..line(second, text) };
        for (line, behind) in [
            (line(1, "a"), false),
            (line(2, "b"), false),
            (other(1, "too old for anybody"), false),
            (line(2, "c"), false),
            (line(2, "d"), true),
            (other(3, "the first of this one"), true),
            (line(3, "a"), true),
        ] {
            assert_eq!(seen.is_behind(&line), behind, "{line:?}");
        }
    }

    #[test]
    fn what_is_written_after_the_clock_was_set_back_is_shown_after_a_broken_connection() {
        let mut seen = Seen::new(jiff::Timestamp::UNIX_EPOCH);
        seen.add(line(7_200, "before"));
        seen.begin_again();
        assert!(!seen.is_behind(&line(7_100, "long before")));
        assert!(!seen.is_behind(&line(7_200, "before")));
        assert!(seen.is_behind(&line(3_600, "after")));
        let next = LogLine { instance: Some(InstanceId(5)), ..line(3_601, "of an instance that is new") };
        assert!(seen.is_behind(&next));
    }
}
