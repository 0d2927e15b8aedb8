//! Requests that each kind of fault loses, under load and without anything else going on but what the victim needs.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tandem_testkit::bench::aims::{Aim, Part};
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{part as quantile, section, spread, table};
use tandem_testkit::wait::{PATIENCE, pass, within};
use tandem_types::RolloutNumber;

use crate::Plan;
use crate::ground::{GUESTBOOK, PLAIN, Site};
use crate::moments::{LOST, Lost, load_in_words};
use crate::operation::Operation;
use crate::victim::Victim;

/// Quiet between two kills, after which everything stands as before.
const QUIET: Duration = Duration::from_secs(2);
/// An instance that dies again and again waits for its next start for up to a minute, and then starts.
const WHOLE: Duration = Duration::from_secs(90);
/// For each kill that is wanted, it is tried at most this often until the victim is there.
const TRIES: usize = 3;

/// What no balancer can save, for the report.
const IN_HAND: &str = "With a shim dies its instance. A POST that it has in hand is not asked again, since nobody knows \
    whether it was carried out and a proxy must not guess (RFC 9110, section 9.2.2); it is counted as lost, and is in the aim of no row.";

/// What a victim's faults brought together.
struct Brought {
    victim: Victim,
    kills: usize,
    lost: Lost,
    /// Milliseconds, one of each kill that the small app's visitor can notice.
    gaps: Vec<f64>,
}

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, site: &mut Site, visitor: &Poller) -> anyhow::Result<Part> {
    let mut all = vec![quiet(plan, site, visitor)];
    for victim in Victim::ALL {
        say(&format!("{} kills of: {}", plan.kills, victim.name()));
        all.push((victim.name(), faults(plan, site, (victim, visitor))?));
    }
    Ok(tell(&all))
}

/// The same load and the same length without a fault, to compare with.
fn quiet(plan: &Plan, site: &Site, visitor: &Poller) -> (&'static str, Brought) {
    say("the same without a fault");
    let (load, begin) = (site.load(), visitor.now());
    let mut gaps = Vec::new();
    for _ in 0..plan.kills {
        let from = visitor.now();
        pass(QUIET);
        gaps.push(millis(visitor.gap((from, visitor.now()))));
    }
    let lost = Lost::of(&load.stop(), visitor.failures((begin, visitor.now())));
    ("nothing", Brought { victim: Victim::Client, kills: 0, lost, gaps })
}

fn faults(plan: &Plan, site: &mut Site, (victim, visitor): (Victim, &Poller)) -> anyhow::Result<Brought> {
    let needs_deploy = matches!(victim, Victim::Builder | Victim::Client);
    let (load, begin) = (site.load(), visitor.now());
    let mut brought = Brought { victim, kills: 0, lost: Lost::default(), gaps: Vec::new() };
    for number in 0..plan.kills * TRIES {
        if brought.kills == plan.kills {
            break;
        }
        pass(QUIET / 2);
        let app = if needs_deploy || brought.kills % 2 == 1 { GUESTBOOK } else { PLAIN };
        let before = site.latest_rollout(app)?.map_or(RolloutNumber(0), |rollout| rollout.number);
        if victim == Victim::Builder {
            site.make_build_long(unlike_others(victim) + number);
        }
        let mut client =
            needs_deploy.then(|| Operation::Deploy.begin(site, (app, unlike_others(victim) + number)));
        if victim == Victim::Client {
            pass(QUIET / 4);
        }
        let struck = victim.strike(site, (app, brought.kills / 2), &mut client);
        let struck = struck.map(|at| visitor.now().saturating_sub(site.since(at)));
        if let Some(mut client) = client {
            client.wait(PATIENCE);
        }
        if needs_deploy {
            site.ended_after(app, before, true)?;
        }
        pass(QUIET);
        // A dead instance is replaced before the next one dies. By now its end has been heard of.
        within(WHOLE, || is_whole(site).then_some(())).context("every instance is ready again")?;
        let Some(struck) = struck else { continue };
        brought.kills += 1;
        let back = within(PATIENCE, || visitor.first_good(struck));
        back.context("the small app is served again")?;
        if victim != Victim::Shim || app == PLAIN {
            brought.gaps.push(millis(visitor.gap((struck.saturating_sub(QUIET / 2), visitor.now()))));
        }
    }
    brought.lost = Lost::of(&load.stop(), visitor.failures((begin, visitor.now())));
    Ok(brought)
}

/// Numbers of deploys that no other victim and no other part has: what was built already is not built again.
fn unlike_others(victim: Victim) -> usize {
    if victim == Victim::Builder { 20_000 } else { 30_000 }
}

/// Whether every instance that should run is ready, in both apps.
fn is_whole(site: &Site) -> bool {
    [GUESTBOOK, PLAIN].iter().all(|app| {
        let lines = site.told(&["ps", "--json", "--app", app]);
        let leaves = |line: &&Value| line["role"] == "draining" || line["role"] == "warm";
        let is_ready = |line: &Value| line["state"] == "ready" && line["role"] != "starting";
        lines.as_array().is_some_and(|lines| lines.iter().filter(|line| !leaves(line)).all(is_ready))
    })
}

fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn tell(all: &[(&'static str, Brought)]) -> Part {
    let text = format!(
        "Each victim is killed as often as its row says, the next time when every instance has been ready again, under load on \
         the guestbook: {}. A visitor asks the small app each 10 ms; his questions count as GET, too. Shims die in turn in both \
         apps and of both serving instances of each. Where the victim needs one, a deploy of the guestbook is under way. {LOST} \
         *Gap*: the longest time from one good answer of the small app to the next, around each kill (of shims: of those of the \
         small app); the first row shows what it is without a fault. {IN_HAND}",
        load_in_words(),
    );
    let row = |(name, brought): &(&'static str, Brought)| {
        let Brought { kills, lost, gaps, .. } = brought;
        let each = if *kills == 0 { 0.0 } else { lost.all() as f64 / *kills as f64 };
        let mut cells = vec![(*name).to_owned()];
        cells.extend([*kills, lost.gets, lost.posts, lost.again, lost.sent].map(|count| count.to_string()));
        cells.extend([format!("{each:.1}"), spread(gaps, 0)]);
        cells
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let head = ["killed", "kills", "lost GET", "lost POST", "asked again", "of", "lost per kill", "gap, ms"];
    let text = section("Requests lost per fault", &text) + &table(&head, &rows);
    let killed = || all.iter().filter(|(_, brought)| brought.kills > 0);
    let of = |victim: Victim| killed().find(|(_, brought)| brought.victim == victim);
    let mut aims: Vec<_> = killed()
        .filter(|(_, brought)| !brought.victim.breaks_traffic())
        .map(|(name, brought)| {
            let lost = brought.lost.avoidable(brought.victim) as f64;
            let what = if brought.victim == Victim::Shim { ", GET" } else { "" };
            Aim::at_most(&format!("lost requests: {name}{what}"), Some(lost), (0.0, ""))
        })
        .collect();
    let gap = |part| of(Victim::Balancer).and_then(|(_, brought)| quantile(&brought.gaps, part));
    aims.push(Aim::at_most("balancer killed: gap, median", gap(0.5), (300.0, "ms")));
    aims.push(Aim::at_most("balancer killed: gap, worst", gap(1.0), (300.0, "ms")));
    Part { text, aims, failed: 0 }
}
