//! One row: all proxies are started and checked, then take turns in rounds. One that cannot do it, or loses a request, is
//! out; the others go on.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tandem_kit::clock::Clock;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{median, spread};
use tandem_testkit::wait::within;

use crate::check::{self, Manner};
use crate::ground::Ground;
use crate::handshakes::Handshakes;
use crate::load::{Done, load};
use crate::proxies::{Kind, Order, Proxy};
use crate::rows::{Against, Row, Setting, Work};
use crate::{Plan, idle, process};

/// Load before the first round, whose figures nobody sees.
const WARM_UP: Duration = Duration::from_secs(1);
/// Time in which the last lines of an access log must come.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// An answer of the load may have more or fewer bytes than curl's, by a header or what was cut at the end.
const BYTES: std::ops::RangeInclusive<f64> = 0.9..=1.25;

/// What a proxy did in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// In the unit of the row's work.
    pub(crate) figure: f64,
    /// Requests or handshakes a second; none where none were counted.
    pub(crate) per_second: f64,
    /// Median and 99th percentile of latencies in milliseconds.
    pub(crate) latency: (f64, f64),
    /// Resident bytes at the end.
    pub(crate) memory: u64,
    /// Share of the time in which the proxy used its core.
    pub(crate) busy: f64,
}

/// One proxy in a row.
#[derive(Debug)]
pub(crate) struct Entry {
    /// How it is called in the table.
    pub(crate) label: &'static str,
    /// Which one it is.
    pub(crate) kind: Kind,
    setting: Setting,
    proxy: Option<Proxy>,
    /// What it does besides, as far as it could be checked.
    pub(crate) manner: Option<Manner>,
    /// Its rounds.
    pub(crate) samples: Vec<Sample>,
    /// Why it is out.
    pub(crate) miss: Option<Miss>,
}

/// Why there is no figure.
#[derive(Debug, Clone)]
pub(crate) enum Miss {
    /// It cannot do that.
    NotMeasured(String),
    /// It was measured, and something went wrong.
    Failed(String),
}

impl Entry {
    /// Its figures, round by round; none where it is out.
    pub(crate) fn figures(&self) -> Vec<f64> {
        let counts = self.miss.is_none();
        self.samples.iter().filter(|_| counts).map(|sample| sample.figure).collect()
    }
}

/// Measures a row.
pub(crate) fn contest(row: &Row, plan: &Plan, ground: &Ground) -> Vec<Entry> {
    let mut entries = entries(row);
    for entry in &mut entries {
        if let Err(error) = start(entry, row, plan, ground) {
            entry.miss(row, Miss::NotMeasured(tell(&error, ground)));
        } else if let Err(error) = warm_up(entry, row, ground) {
            entry.miss(row, Miss::Failed(tell(&error, ground)));
        }
    }
    for round in 0..plan.rounds(row) {
        for turn in 0..entries.len() {
            // Nobody is always the first, or always after the same one.
            let index = (turn + round) % entries.len();
            let entry = &mut entries[index];
            if entry.miss.is_some() {
                continue;
            }
            match sample(entry, row, plan, ground) {
                Ok(sample) => entry.samples.push(sample),
                Err(error) => entry.miss(row, Miss::Failed(tell(&error, ground))),
            }
        }
    }
    for entry in &mut entries {
        entry.proxy = None;
        if entry.miss.is_none() {
            let (figures, unit) = (spread(&entry.figures(), 2), row.work.figure());
            say(&format!("{}: {} {figures} {unit}", row.name, entry.label));
        }
    }
    entries
}

fn entries(row: &Row) -> Vec<Entry> {
    let entry = |label, kind, setting| Entry {
        label,
        kind,
        setting,
        proxy: None,
        manner: None,
        samples: Vec::new(),
        miss: None,
    };
    let all = [Kind::Tandem, Kind::Nginx, Kind::Haproxy, Kind::Caddy];
    let able = all.into_iter().filter(|kind| kind.can(&row.setting));
    let mut entries: Vec<_> = able.map(|kind| entry(kind.name(), kind, row.setting)).collect();
    if row.against == Against::OneDomain {
        entries.push(entry("tandem, 1 domain", Kind::Tandem, Setting { domains: 1, ..row.setting }));
    }
    entries
}

fn start(entry: &mut Entry, row: &Row, plan: &Plan, ground: &Ground) -> anyhow::Result<()> {
    entry.proxy = None;
    let name = format!("{}-{}-{}", row.name, entry.kind.name(), entry.setting.domains);
    let order = Order { name, setting: entry.setting, binary: &plan.binary };
    let proxy = entry.kind.start(&order, ground)?;
    entry.manner = Some(check::check(row, proxy.address, ground)?);
    entry.proxy = Some(proxy);
    Ok(())
}

fn warm_up(entry: &Entry, row: &Row, ground: &Ground) -> anyhow::Result<()> {
    let proxy = entry.running()?;
    match row.work {
        Work::Wrk(_) | Work::H2load { .. } => load(row, proxy.address, WARM_UP, ground).map(drop),
        Work::Handshakes { resumed } => Handshakes::prepare(proxy.address, resumed)?.run(WARM_UP).map(drop),
        Work::Idle => Ok(()),
    }
}

fn sample(entry: &mut Entry, row: &Row, plan: &Plan, ground: &Ground) -> anyhow::Result<Sample> {
    if row.work.is_fresh_each_round() && !entry.samples.is_empty() {
        start(entry, row, plan, ground)?;
    }
    let proxy = entry.running()?;
    if let Some(log) = &proxy.log {
        File::options()
            .write(true)
            .open(log)
            .and_then(|file| file.set_len(0))
            .context("empty the access log")?;
    }
    let handshakes = match row.work {
        Work::Handshakes { resumed } => Some(Handshakes::prepare(proxy.address, resumed)?),
        _ => None,
    };
    let (clock, group) = (Clock::system(), proxy.group());
    let (begin, before) = (clock.monotonic(), process::cpu_seconds(group));
    let mut growth = 0.0;
    let done = match &handshakes {
        Some(handshakes) => handshakes.run(plan.length)?,
        None if row.work == Work::Idle => {
            growth = idle::measure(proxy)?;
            Done::default()
        }
        None => load(row, proxy.address, plan.length, ground)?,
    };
    let used = process::cpu_seconds(group) - before;
    let passed = clock.monotonic().elapsed_since(begin).as_secs_f64();
    ensure!(used > 0.0, "the proxy has ended");
    is_equal_work(&done, entry, proxy.log.as_deref())?;
    let figure = match row.work {
        Work::Idle => growth,
        Work::Handshakes { .. } => done.count as f64 / used,
        Work::Wrk(_) | Work::H2load { .. } => used * 1e6 / done.count as f64,
    };
    let per_second = if done.count == 0 { 0.0 } else { done.count as f64 / done.seconds };
    let memory = process::memory(group);
    // The load tells how long it was; what is around it (its start, its figures) would make a proxy look idle.
    let length = if done.seconds > 0.0 { done.seconds } else { passed };
    Ok(Sample { figure, per_second, latency: done.latency, memory, busy: used / length })
}

/// Whether the answers were as long as the one that was checked, and the access log has a line for each.
fn is_equal_work(done: &Done, entry: &Entry, log: Option<&Path>) -> anyhow::Result<()> {
    let whole = entry.manner.as_ref().map_or(0, |manner| manner.whole);
    if let Some(bytes) = done.bytes {
        let share = bytes / whole.max(1) as f64;
        ensure!(BYTES.contains(&share), "an answer had {bytes:.0} bytes, and {whole} when it was checked");
    }
    let Some(log) = log else { return Ok(()) };
    let mut lines = 0;
    let all = within(LOG_PATIENCE, || {
        lines = fs::read(log).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        (lines as u64 >= done.count).then_some(())
    });
    ensure!(all.is_some(), "the access log has {lines} lines for {} requests", done.count);
    Ok(())
}

impl Entry {
    fn running(&self) -> anyhow::Result<&Proxy> {
        self.proxy.as_ref().context("it does not run")
    }

    fn miss(&mut self, row: &Row, miss: Miss) {
        let (Miss::NotMeasured(text) | Miss::Failed(text)) = &miss;
        say(&format!("{}: {} is out: {text}", row.name, self.label));
        self.proxy = None;
        self.miss = Some(miss);
    }
}

/// A whole chain on one line of a table, without the folder of this run.
fn tell(error: &anyhow::Error, ground: &Ground) -> String {
    let text = format!("{error:#}").replace(&format!("{}/", ground.folder.display()), "");
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ").replace('|', "\\|")
}

/// The one that a row is measured against, and the ratio of each round of ours to its.
pub(crate) fn compare<'a>(row: &Row, entries: &'a [Entry]) -> Option<(&'a Entry, Vec<f64>)> {
    let rivals: &[&str] = match row.against {
        Against::Best => &["nginx", "haproxy"],
        Against::Nginx => &["nginx"],
        Against::Haproxy => &["haproxy"],
        Against::OneDomain => &["tandem, 1 domain"],
    };
    let found = entries.iter().filter(|entry| rivals.contains(&entry.label));
    let found = found.filter_map(|entry| Some((entry, median(&entry.figures())?)));
    let better = |left: &(&Entry, f64), right: &(&Entry, f64)| {
        let order = left.1.total_cmp(&right.1);
        if row.work.more_is_better() { order.reverse() } else { order }
    };
    let (rival, _) = found.min_by(better)?;
    let ours = entries.iter().find(|entry| entry.label == Kind::Tandem.name())?.figures();
    let ratios: Vec<_> = ours.iter().zip(rival.figures()).map(|(ours, theirs)| ours / theirs).collect();
    (!ratios.is_empty()).then_some((rival, ratios))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;
    use crate::told::verdict;

    fn measured(row: &Row, figures: &[(&str, &[f64])]) -> Vec<Entry> {
        let mut entries = entries(row);
        for entry in &mut entries {
            let found = figures.iter().find(|(label, _)| *label == entry.label);
            let sample = |figure: &f64| Sample {
                figure: *figure,
                per_second: 1.0,
                latency: (1.0, 1.0),
                memory: 1,
                busy: 1.0,
            };
            entry.samples = found.map_or(&[][..], |(_, figures)| figures).iter().map(sample).collect();
        }
        entries
    }

    fn row(name: &str) -> &'static Row {
        ROWS.iter().find(|row| row.name == name).unwrap()
    }

    #[test]
    fn rounds_are_compared_with_the_better_rival() {
        let (slow, quick): (&[f64], &[f64]) = (&[30.0, 31.0, 32.0], &[20.0, 40.0, 20.0]);
        let ours: &[f64] = &[19.0, 39.0, 24.0];
        let entries = measured(row("small"), &[("tandem", ours), ("nginx", slow), ("haproxy", quick)]);
        let (rival, ratios) = compare(row("small"), &entries).unwrap();
        assert_eq!((rival.label, ratios), ("haproxy", vec![0.95, 0.975, 1.2]));
        assert_eq!(verdict(row("small"), &entries), "hit", "the median is");
        assert_eq!(verdict(row("operated"), &entries), "**missed**");
    }

    #[test]
    fn of_handshakes_more_is_better() {
        let all: [(&str, &[f64]); 3] = [("tandem", &[90.0]), ("nginx", &[100.0]), ("haproxy", &[80.0])];
        let entries = measured(row("handshake-rsa"), &all);
        let (rival, ratios) = compare(row("handshake-rsa"), &entries).unwrap();
        assert_eq!((rival.label, ratios), ("nginx", vec![0.9]));
        assert_eq!(verdict(row("handshake-rsa"), &entries), "**missed**");
    }

    #[test]
    fn a_row_that_lost_requests_has_no_figure() {
        let all: [(&str, &[f64]); 3] = [("tandem", &[1.0]), ("nginx", &[2.0]), ("haproxy", &[2.0])];
        let mut entries = measured(row("small"), &all);
        entries[0].miss(row("small"), Miss::Failed("3 requests failed".to_owned()));
        assert_eq!(verdict(row("small"), &entries), "**failed**");
        entries[0].miss(row("small"), Miss::NotMeasured("no such option".to_owned()));
        assert_eq!(verdict(row("small"), &entries), "not measured");
        assert!(compare(row("small"), &entries).is_none());
    }
}
