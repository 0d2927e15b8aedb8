//! A change of one line, from the command to the first new answer: Tandem and the scripts in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tandem_testkit::wait::pass;

use crate::Plan;
use crate::disk::Change;
use crate::ground::Ground;
use crate::quiet::{self, Quiet, ScriptCost};
use crate::script_side::ScriptSide;
use crate::tandem_side::{Cost, TandemSide};
use tandem_testkit::bench::aims::{Aim, Part};
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{median, seconds, section, spread, table};

/// Quiet time before and after each operation; what it costs in between counts to the operation.
const QUIET: Duration = Duration::from_secs(3);

/// One side's operations as the visitor and the machine saw them.
#[derive(Debug, Default)]
struct Row {
    first_new: Vec<Duration>,
    stall: Vec<f64>,
    longest: Vec<f64>,
    disk: Vec<f64>,
    log: Vec<f64>,
    folders: Vec<BTreeMap<String, Change>>,
    polls: usize,
    failed: usize,
}

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, ground: &Ground) -> anyhow::Result<Part> {
    let tandem = TandemSide::start(plan, ground)?;
    let by_uv = ScriptSide::start("script, uv", Some(tandem.uv()?), ground)?;
    let by_pip = ScriptSide::start("script, pip", None, ground)?;
    let mut rows = [Row::default(), Row::default(), Row::default()];
    for round in 0..plan.deploys {
        say(&format!("one-line change {} of {}", round + 1, plan.deploys));
        one_by_tandem(&tandem, ground, (round, &mut rows[0]))?;
        one_by_script(&by_uv, ground, (round, &mut rows[1]))?;
        one_by_script(&by_pip, ground, (round, &mut rows[2]))?;
    }
    let quiet = quiet::measure(plan, ground, &tandem, [&by_uv, &by_pip])?;
    drop((by_uv, by_pip));
    tandem.finish();
    let [by_tandem, ..] = &rows;
    let text = tell(plan, &rows, &quiet) + &tell_folders(&by_tandem.folders);
    Ok(Part { text, aims: aims(by_tandem, &quiet), failed: by_tandem.failed })
}

fn one_by_tandem(side: &TandemSide, ground: &Ground, (round, row): (usize, &mut Row)) -> anyhow::Result<()> {
    let heading = format!("Round {round} by tandem");
    side.folder.greet(&heading);
    let folders = side.survey();
    let poller = side.poller();
    pass(QUIET);
    let (disk, log) = (ground.used_bytes(), side.log_bytes());
    watch(&poller, &heading, row, || {
        side.deploy();
        Ok(())
    })?;
    row.disk.extend(grown(disk, ground.used_bytes()));
    row.log.extend(grown(Some(log), Some(side.log_bytes())));
    drop(poller);
    row.folders.push(folders.until(&side.survey()));
    Ok(())
}

fn one_by_script(side: &ScriptSide, ground: &Ground, (round, row): (usize, &mut Row)) -> anyhow::Result<()> {
    let heading = format!("Round {round} by {}", side.name);
    side.folder.greet(&heading);
    let poller = side.poller();
    pass(QUIET);
    let disk = ground.used_bytes();
    watch(&poller, &heading, row, || side.deploy(ground))?;
    row.disk.extend(grown(disk, ground.used_bytes()));
    Ok(())
}

/// Lets `operation` happen, and a quiet time after it, and writes down what a visitor saw. Before it, the visitor must
/// have had a quiet time too.
fn watch(
    poller: &Poller,
    heading: &str,
    row: &mut Row,
    operation: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let begin = poller.now();
    operation()?;
    let seen = poller.wait_for(heading, begin)?;
    pass(QUIET);
    let end = poller.now();
    row.first_new.push(seen - begin);
    // As much time around the flip as there was quiet before: a busy machine shows in both.
    let flip = (seen.saturating_sub(QUIET / 2), seen + QUIET / 2);
    let (busy, quiet) = (poller.worst(flip), poller.worst((begin.saturating_sub(QUIET), begin)));
    row.stall.push(busy.saturating_sub(quiet).as_secs_f64());
    row.longest.push(poller.worst((begin, end)).as_secs_f64());
    let (polls, failed) = poller.failures((Duration::ZERO, end));
    row.polls += polls;
    row.failed += failed;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a disk of some gigabytes")]
fn grown(before: Option<u64>, after: Option<u64>) -> Option<f64> {
    Some((after? as f64 - before? as f64) / 1e3)
}

fn tell(plan: &Plan, rows: &[Row; 3], quiet: &Quiet) -> String {
    let text = format!(
        "{} times in turn, `GREETING` in `entries/views.py` changed. A visitor asks for the page each 10 ms on fresh \
         connections. *First new*: from the start of the command to the end of the first answer with the new \
         text. *Stall*: the longest wait of the visitor in the {} s around that answer less the longest in as much \
         quiet time before the command; *longest wait*: in the whole operation. *Disk*: growth of a file system that nobody \
         else writes to, what came less what went, both by folder in the table below; *of which log*: the store's \
         write-ahead log, which grows to some 400 kB and is then written over. The scripts send HUP, which stops the \
         old workers before the new ones have loaded the app; gunicorn (2 workers × 4 threads) answers directly, \
         without a balancer.\n\n\
         The rows from *CPU* on come from {} more deploys in turn without a visitor, since his pages cost more than a \
         deploy. *Tandem*: server, runner, balancer, shims and the typed command. *Build or script*: uv, byte \
         compiler, `collectstatic` (in ticks of 10 ms); for the scripts the whole script, `migrate` included. *Boots and \
         the rest*: the new instances, and for Tandem the smoke check and the release phase. *Wire*: whole \
         conversation of client and server, both ways. *Left on the disk*: growth by {} deploys in a row, per deploy, \
         from 150 s after the deploy before to 150 s after the last.",
        plan.deploys,
        QUIET.as_secs(),
        plan.quiet_deploys,
        plan.quiet_deploys,
    );
    let each = |value: fn(&Row) -> String| [value(&rows[0]), value(&rows[1]), value(&rows[2])];
    let alone = |value: String| [value, "–".to_owned(), "–".to_owned()];
    let tandem = |part: fn(&Cost) -> f64| spread(&quiet.tandem.iter().map(part).collect::<Vec<_>>(), 2);
    let scripts = |first: String, part: fn(&ScriptCost) -> f64| {
        let [by_uv, by_pip] =
            quiet.scripts.each_ref().map(|costs| spread(&costs.iter().map(part).collect::<Vec<_>>(), 2));
        [first, by_uv, by_pip]
    };
    let rest = quiet.tandem.iter().filter_map(|cost| cost.rest).collect::<Vec<_>>();
    let rows = [
        ("first new, s", each(|row| spread(&seconds(&row.first_new), 2))),
        ("stall, s", each(|row| spread(&row.stall, 2))),
        ("longest wait, s", each(|row| spread(&row.longest, 2))),
        ("disk, kB", each(|row| spread(&row.disk, 0))),
        ("of which log, kB", alone(spread(&rows[0].log, 0))),
        ("polls, failed", each(|row| format!("{}, {}", row.polls, row.failed))),
        ("CPU s: Tandem", alone(tandem(|cost| cost.own))),
        ("CPU s: build or script", scripts(tandem(|cost| cost.build), |cost| cost.script)),
        ("CPU s: Tandem and build", alone(tandem(|cost| cost.own + cost.build))),
        ("CPU s: boots and the rest", scripts(spread(&rest, 2), |cost| cost.boots)),
        ("wire, kB", alone(spread(&quiet.wire, 1))),
        (
            "left on the disk, kB",
            alone(quiet.left.map_or_else(|| "–".to_owned(), |left| format!("{left:.0}"))),
        ),
    ];
    let rows = rows.map(|(name, cells)| [vec![name.to_owned()], cells.to_vec()].concat());
    section("A change of one line", &text) + &table(&["", "Tandem", "script, uv", "script, pip"], &rows)
}

fn aims(row: &Row, quiet: &Quiet) -> Vec<Aim> {
    let own_and_build: Vec<f64> = quiet.tandem.iter().map(|cost| cost.own + cost.build).collect();
    vec![
        Aim::at_most("first new answer, median", median(&seconds(&row.first_new)), (3.0, "s")),
        Aim::at_most("CPU of Tandem and build, median", median(&own_and_build), (0.5, "s")),
        Aim::at_most("wire, median", median(&quiet.wire), (100.0, "kB")),
        Aim::at_most("disk by `df` before clean-up, median", median(&row.disk), (100.0, "kB")),
        Aim::at_most("disk by `df` after clean-up", quiet.left, (100.0, "kB")),
    ]
}

/// What Tandem's folders gained and lost at each deploy.
#[expect(clippy::cast_precision_loss, reason = "some megabytes")]
fn tell_folders(deploys: &[BTreeMap<String, Change>]) -> String {
    let folders: BTreeSet<&String> = deploys.iter().flat_map(BTreeMap::keys).collect();
    let kilobytes = |folder: &str, part: fn(Change) -> u64| -> Vec<f64> {
        let of = |deploy: &BTreeMap<String, Change>| deploy.get(folder).copied().map_or(0, part);
        deploys.iter().map(|deploy| of(deploy) as f64 / 1e3).collect()
    };
    let row = |name: &str, new: &[f64], gone: &[f64]| {
        (new.iter().chain(gone).any(|kilobytes| *kilobytes > 0.0))
            .then(|| vec![name.to_owned(), spread(new, 0), spread(gone, 0)])
    };
    let mut rows: Vec<_> = folders
        .into_iter()
        .filter_map(|folder| row(folder, &kilobytes(folder, |c| c.new), &kilobytes(folder, |c| c.gone)))
        .collect();
    let all = |part: fn(&Change) -> u64| -> Vec<f64> {
        deploys.iter().map(|deploy| deploy.values().map(part).sum::<u64>() as f64 / 1e3).collect()
    };
    rows.extend(row("**all**", &all(|change| change.new), &all(|change| change.gone)));
    let text = "\nTandem's disk by folder, from before the quiet time until after it: blocks of new or grown files and \
                folders, and of those that shrank or went. What is new is the price of a deploy before anything is cleaned \
                up. A file with several links counts once; the journal of the file system is in no folder.\n\n";
    text.to_owned() + &table(&["kB", "new", "gone"], &rows)
}
