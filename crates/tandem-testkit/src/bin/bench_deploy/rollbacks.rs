//! Rollbacks between two warm releases, many of them, and the script's beside them.

use std::time::Duration;

use tandem_testkit::wait::pass;

use crate::Plan;
use crate::ground::Ground;
use crate::script_side::ScriptSide;
use crate::tandem_side::TandemSide;
use tandem_testkit::bench::aims::{Aim, Part};
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{median, millis_p50_p99_max, part, section, table};

/// Length of the window from the start of the command, and of the quiet one before it.
const WINDOW: Duration = Duration::from_millis(500);
/// The same for the script, whose site stands still for seconds: both windows must be equally long.
const SCRIPT_WINDOW: Duration = Duration::from_secs(4);
/// How many of the script's rollbacks there are for one of Tandem's: each costs seconds.
pub(crate) const SCRIPT_SHARE: usize = 15;

/// What visitors saw of all rollbacks of one side, in seconds.
#[derive(Debug, Default)]
struct Seen {
    last_bad: Vec<f64>,
    first_good: Vec<f64>,
    stall: Vec<f64>,
    quiet: Vec<f64>,
    polls: usize,
    failed: usize,
}

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, ground: &Ground) -> anyhow::Result<Part> {
    let tandem = TandemSide::start(plan, ground)?;
    tandem.folder.greet("Tandem, old");
    tandem.deploy();
    tandem.folder.greet("Tandem, new");
    tandem.deploy();
    let script = ScriptSide::start("script, uv", Some(tandem.uv()?), ground)?;
    script.folder.greet("Script, old");
    script.deploy(ground)?;
    let old = script.current()?;
    script.folder.greet("Script, new");
    script.deploy(ground)?;
    let new = script.current()?;

    let (mut by_tandem, mut by_script) = (Seen::default(), Seen::default());
    for round in 0..plan.rollbacks {
        if round % 50 == 0 {
            say(&format!("rollback {} of {}", round + 1, plan.rollbacks));
        }
        let (release, bad, good) = match round % 2 {
            0 => ("r2", "Tandem, new", "Tandem, old"),
            _ => ("r3", "Tandem, old", "Tandem, new"),
        };
        watch((&tandem.poller(), WINDOW), (bad, good), &mut by_tandem, || {
            tandem.roll_back_to(release);
            Ok(())
        })?;
        if round % SCRIPT_SHARE == 0 {
            let (target, bad, good) = match (round / SCRIPT_SHARE) % 2 {
                0 => (&old, "Script, new", "Script, old"),
                _ => (&new, "Script, old", "Script, new"),
            };
            let poller = script.poller();
            watch((&poller, SCRIPT_WINDOW), (bad, good), &mut by_script, || script.roll_back_to(target))?;
        }
    }
    drop(script);
    tandem.finish();
    let text = tell(&by_tandem, &by_script);
    Ok(Part { text, aims: aims(&by_tandem), failed: by_tandem.failed })
}

/// Lets `operation` happen and writes down what a visitor saw, until the good text has stood for a window.
fn watch(
    (poller, window): (&Poller, Duration),
    (bad, good): (&str, &str),
    seen: &mut Seen,
    operation: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    poller.wait_for(bad, Duration::ZERO)?;
    let quiet_begin = poller.now();
    pass(window);
    let begin = poller.now();
    operation()?;
    let first_good = poller.wait_for(good, begin)?;
    let end = (begin + window).max(first_good + Duration::from_millis(100));
    pass(end.saturating_sub(poller.now()));
    let last_bad = poller.last(bad, (begin, poller.now())).unwrap_or(begin);
    let (busy, quiet) = (poller.worst((begin, end)), poller.worst((quiet_begin, begin)));
    seen.last_bad.push(last_bad.saturating_sub(begin).as_secs_f64());
    seen.first_good.push((first_good - begin).as_secs_f64());
    seen.stall.push(busy.saturating_sub(quiet).as_secs_f64());
    seen.quiet.push(quiet.as_secs_f64());
    let (polls, failed) = poller.failures((quiet_begin, poller.now()));
    seen.polls += polls;
    seen.failed += failed;
    Ok(())
}

fn aims(seen: &Seen) -> Vec<Aim> {
    let millis = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3);
    vec![
        Aim::at_most("rollback: last bad answer, p99", part(&seen.last_bad, 0.99), (0.3, "s")),
        Aim::at_most("rollback: first good answer, p99", part(&seen.first_good, 0.99), (0.3, "s")),
        Aim::at_most("rollback: stall, median", millis(median(&seen.stall)), (20.0, "ms")),
        Aim::at_most("rollback: stall, worst", millis(part(&seen.stall, 1.0)), (100.0, "ms")),
    ]
}

fn tell(by_tandem: &Seen, by_script: &Seen) -> String {
    let text = format!(
        "{} times between two warm releases, the script {} times between two of its folders. *Last bad* and *first \
         good*: from the start of the command to the end of the last answer with the text that is left and of the \
         first with the text that comes back. *Stall*: the longest wait of the visitor within {} ms from the start of \
         the command ({} for the script; longer where the good text came later) less the longest in as much quiet time \
         just before; *quiet* is that longest wait by itself.",
        by_tandem.last_bad.len(),
        by_script.last_bad.len(),
        WINDOW.as_millis(),
        SCRIPT_WINDOW.as_millis()
    );
    let row = |name: &str, values: fn(&Seen) -> &[f64]| {
        let mut cells = vec![name.to_owned()];
        cells.extend(millis_p50_p99_max(values(by_tandem)));
        cells.extend(millis_p50_p99_max(values(by_script)));
        cells
    };
    let polls = |seen: &Seen| [format!("{} / {}", seen.polls, seen.failed), String::new(), String::new()];
    let mut last = vec!["polls / failed".to_owned()];
    last.extend(polls(by_tandem));
    last.extend(polls(by_script));
    let rows = [
        row("last bad", |seen| &seen.last_bad),
        row("first good", |seen| &seen.first_good),
        row("stall", |seen| &seen.stall),
        row("quiet", |seen| &seen.quiet),
        last,
    ];
    let head = ["ms", "Tandem p50", "p99", "max", "script p50", "p99", "max"];
    section("Rollback", &text) + &table(&head, &rows)
}
