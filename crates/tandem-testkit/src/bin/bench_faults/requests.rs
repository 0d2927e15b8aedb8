//! Requests that each kind of fault loses, under load and without anything else going on but what the victim needs.

use std::time::Duration;

use tandem_testkit::bench::aims::{Aim, Part};
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{part as quantile, section, spread, table};
use tandem_testkit::wait::{PATIENCE, pass};
use tandem_types::RolloutNumber;

use crate::Plan;
use crate::ground::{GUESTBOOK, PLAIN, Site};
use crate::moments::{Lost, load_in_words};
use crate::operation::Operation;
use crate::promises::{Instances, other_than};
use crate::victim::Victim;

/// Quiet between two kills, after which everything stands as before.
const QUIET: Duration = Duration::from_secs(2);

/// What a victim's faults brought together.
struct Brought {
    victim: Victim,
    kills: usize,
    lost: Lost,
    /// Milliseconds, one of each kill.
    gaps: Vec<f64>,
}

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, site: &mut Site, visitor: &Poller) -> anyhow::Result<Part> {
    let mut all = vec![quiet(plan, site, visitor)];
    for victim in Victim::ALL {
        say(&format!("{} kills of: {}", plan.kills, victim.name()));
        all.push((victim.name(), faults(plan, site, (victim, visitor))?));
    }
    Ok(tell(plan, &all))
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
    for number in 0..plan.kills {
        pass(QUIET / 2);
        let (app, from) = (if number % 2 == 0 { PLAIN } else { GUESTBOOK }, visitor.now());
        let app = if needs_deploy { GUESTBOOK } else { app };
        let before = site.latest_rollout(app)?.map_or(RolloutNumber(0), |rollout| rollout.number);
        let mut client = needs_deploy.then(|| Operation::Deploy.begin(site, (app, number)));
        if victim == Victim::Client {
            pass(QUIET / 4);
        }
        brought.kills += usize::from(victim.strike(site, app, &mut client).is_some());
        if let Some(mut client) = client {
            client.wait(PATIENCE);
        }
        if needs_deploy {
            site.ended_after(app, before, true)?;
        }
        // A dead instance is replaced before the next one dies.
        let _ = Instances::of(site, other_than(app));
        pass(QUIET);
        brought.gaps.push(millis(visitor.gap((from, visitor.now()))));
    }
    brought.lost = Lost::of(&load.stop(), visitor.failures((begin, visitor.now())));
    Ok(brought)
}

fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn tell(plan: &Plan, all: &[(&'static str, Brought)]) -> Part {
    let text = format!(
        "Each victim is killed {} times, some seconds apart, under load on the guestbook: {}. A visitor asks the small app each \
         10 ms; his questions count as GET, too. Shims die in turn in both apps, each of which has two serving instances. \
         Where the victim needs one, a deploy of the guestbook is under way. *Gap*: the longest time from one good answer of the small app to the \
         next, around each kill; the first row shows what it is without a fault.",
        plan.kills,
        load_in_words(),
    );
    let row = |(name, brought): &(&'static str, Brought)| {
        let Brought { kills, lost, gaps, .. } = brought;
        let each = if *kills == 0 { 0.0 } else { lost.all() as f64 / *kills as f64 };
        let mut cells = vec![(*name).to_owned()];
        cells.extend([*kills, lost.gets, lost.posts, lost.sent].map(|count| count.to_string()));
        cells.extend([format!("{each:.1}"), spread(gaps, 0)]);
        cells
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let head = ["killed", "kills", "lost GET", "lost POST", "of", "lost per kill", "gap, ms"];
    let text = section("Requests lost per fault", &text) + &table(&head, &rows);
    let killed = || all.iter().filter(|(_, brought)| brought.kills > 0);
    let of = |victim: Victim| killed().find(|(_, brought)| brought.victim == victim);
    let mut aims: Vec<_> = killed()
        .filter(|(_, brought)| !brought.victim.breaks_traffic())
        .map(|(name, brought)| {
            Aim::at_most(&format!("lost requests: {name}"), Some(brought.lost.all() as f64), (0.0, ""))
        })
        .collect();
    let gap = |part| of(Victim::Balancer).and_then(|(_, brought)| quantile(&brought.gaps, part));
    aims.push(Aim::at_most("balancer killed: gap, median", gap(0.5), (300.0, "ms")));
    aims.push(Aim::at_most("balancer killed: gap, worst", gap(1.0), (300.0, "ms")));
    Part { text, aims, failed: 0 }
}
