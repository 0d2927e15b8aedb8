//! Random moments: one victim in one operation on one app, at any time of it, under load. What came of the operation, what
//! visitors lost, and whether every promise held.

use std::collections::BTreeMap;
use std::time::Duration;

use tandem_testkit::bench::aims::{Aim, Part};
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{section, spread, table};
use tandem_testkit::load::{Kind, Report};
use tandem_testkit::wait::{PATIENCE, pass};
use tandem_types::RolloutNumber;

use crate::Plan;
use crate::ground::{GUESTBOOK, PLAIN, Site};
use crate::operation::{Operation, one_of, part_of};
use crate::promises::{Deed, Instances, Promises, other_than};
use crate::rollouts::outcome;
use crate::victim::Victim;

/// For each moment that is wanted, operations are begun at most this often, until one has a victim.
const DRAWS: usize = 3;
/// Load goes on for this long before and after.
const AROUND: Duration = Duration::from_millis(500);

/// What a moment brought.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) victim: Victim,
    /// Whether it was there to be killed.
    pub(crate) struck: bool,
    pub(crate) operation: Operation,
    pub(crate) outcome: String,
    pub(crate) lost: Lost,
    pub(crate) gap: Duration,
    pub(crate) broken: Vec<String>,
}

/// Requests that failed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lost {
    pub(crate) gets: usize,
    pub(crate) posts: usize,
    /// Asked on a fresh connection, since the kept one had been closed without a word.
    pub(crate) again: usize,
    /// All that were sent, each counted once.
    pub(crate) sent: usize,
}

impl Lost {
    /// Of a load, and of a visitor's questions within a window.
    pub(crate) fn of(report: &Report, (asked, failed): (usize, usize)) -> Self {
        let failures = report.failures();
        let posts = failures.iter().filter(|sample| sample.kind == Kind::Write).count();
        let again = usize::try_from(report.stale).unwrap_or(usize::MAX);
        Self { gets: failures.len() - posts + failed, posts, again, sent: report.samples.len() + asked }
    }

    /// What nothing but the balancer's own end may cost: with a shim dies its instance, and what that had in hand of the kind that
    /// must not be asked twice is lost.
    pub(crate) fn avoidable(&self, victim: Victim) -> usize {
        if victim == Victim::Shim { self.gets } else { self.all() }
    }

    pub(crate) fn add(self, other: Self) -> Self {
        let Self { gets, posts, again, sent } = other;
        Self {
            gets: self.gets + gets,
            posts: self.posts + posts,
            again: self.again + again,
            sent: self.sent + sent,
        }
    }

    pub(crate) fn all(self) -> usize {
        self.gets + self.posts
    }
}

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, site: &mut Site, visitor: &Poller) -> anyhow::Result<Part> {
    let lengths = lengths(site)?;
    let mut promises = Promises::of(site)?;
    let mut all = Vec::new();
    let mut struck = 0;
    // An operation may be over before its victim's time has come: then another one is drawn, and both are told.
    for number in 0..plan.moments * DRAWS {
        if struck == plan.moments {
            break;
        }
        // Each victim comes in turn, so that a short run has each of them; the rest is drawn.
        let victim = Victim::ALL[struck % Victim::ALL.len()];
        let brought = one(site, (victim, number), visitor, (&lengths, &mut promises))?;
        say(&format!(
            "moment {} of {}: {}{} in {}: {}{}",
            struck + 1,
            plan.moments,
            if brought.struck { "" } else { "nothing to kill of: " },
            brought.victim.name(),
            brought.operation.name(),
            brought.outcome,
            brought.broken.iter().map(|broken| format!("; BROKEN: {broken}")).collect::<String>(),
        ));
        struck += usize::from(brought.struck);
        all.push(brought);
    }
    Ok(tell(&all))
}

type Lengths = BTreeMap<(Operation, &'static str), Duration>;

/// How long each operation takes when nothing is killed.
fn lengths(site: &Site) -> anyhow::Result<Lengths> {
    say("each operation once without a fault, for its length");
    let mut lengths = Lengths::new();
    let two = [GUESTBOOK, PLAIN];
    for (number, operation) in Operation::ALL.into_iter().enumerate() {
        for app in two {
            let begin = site.now();
            let before = number_of(site, app)?;
            let mut client = operation.begin(site, (app, 1_000 + number));
            client.wait(PATIENCE);
            site.ended_after(app, before, true)?;
            lengths.insert((operation, app), site.since(begin));
        }
    }
    Ok(lengths)
}

fn number_of(site: &Site, app: &str) -> anyhow::Result<RolloutNumber> {
    Ok(site.latest_rollout(app)?.map_or(RolloutNumber(0), |rollout| rollout.number))
}

fn one(
    site: &mut Site,
    (victim, number): (Victim, usize),
    visitor: &Poller,
    (lengths, promises): (&Lengths, &mut Promises),
) -> anyhow::Result<Brought> {
    let is_build = victim == Victim::Builder;
    let app = if is_build { GUESTBOOK } else { one_of(&[GUESTBOOK, PLAIN]) };
    let operation = if is_build { Operation::Deploy } else { one_of(&Operation::ALL) };
    if is_build {
        site.make_build_long(number);
    }
    let before = number_of(site, app)?;
    let bystander = Instances::of(site, other_than(app));
    let (load, from) = (site.load(), visitor.now());
    pass(AROUND);
    let mut client = Some(operation.begin(site, (app, number)));
    // The commands of a build come when they come; all else is struck anywhere in the operation.
    if !is_build {
        pass(part_of(lengths[&(operation, app)]));
    }
    let struck = victim.strike(site, (app, one_of(&[0, 1, 2])), &mut client);
    if let Some(mut client) = client {
        client.wait(PATIENCE * 3);
    }
    let rollout = site.ended_after(app, before, true)?;
    let deed = Deed { app, operation, number, rollout: rollout.as_ref() };
    let broken = promises.broken(site, deed, &bystander)?;
    pass(AROUND);
    let window = (from, visitor.now());
    let lost = Lost::of(&load.stop(), visitor.failures(window));
    let (struck, outcome) = (struck.is_some(), outcome(rollout.as_ref()));
    Ok(Brought { victim, struck, operation, outcome, lost, gap: visitor.gap(window), broken })
}

fn tell(all: &[Brought]) -> Part {
    let broken: Vec<_> = all.iter().flat_map(|one| &one.broken).collect();
    let struck = all.iter().filter(|one| one.struck).count();
    let text = format!(
        "{struck} moments: a random operation on a random app, the victim killed at a random time of it (commands of a build: of a \
         deploy of the guestbook, the first that is seen from a random time of its commands on; a shim: of a web instance \
         that serves), under load: {}. Where the \
         victim was not there when its time came, since the operation was over, another moment was \
         drawn: {} times, the table's last row. A visitor asks the small app each 10 ms. {LOST} All are counted that were sent \
         during the operation. *Gap*: the longest time from one good answer of the small app to the next. After each moment \
         it was asked: did the rollout end, does every shim have an instance that the server knows and every ready instance a \
         shim, is every instance of the other app the same, does the page say what the current release said before, did the \
         release phase run once for a deploy that finished and at most once for one that did not.",
        load_in_words(),
        all.len() - struck,
    );
    let head = [
        "killed",
        "moments",
        "finished",
        "went back",
        "failed",
        "unknown",
        "other",
        "lost GET",
        "lost POST",
        "asked again",
        "of",
        "gap, ms",
        "broken",
    ];
    let of = |victim: Victim| all.iter().filter(|one| one.struck && one.victim == victim).collect::<Vec<_>>();
    let mut rows: Vec<_> = Victim::ALL.iter().map(|victim| row(victim.name(), &of(*victim))).collect();
    rows.push(row("nobody", &all.iter().filter(|one| !one.struck).collect::<Vec<_>>()));
    let mut text = section("Random moments", &text) + &table(&head, &rows);
    let outcomes = counted(all.iter().map(|one| format!("{}: {}", one.operation.name(), one.outcome)));
    text.push_str(&format!("\nOutcomes by operation: {}.\n", outcomes.join(", ")));
    for broken in &broken {
        text.push_str(&format!("\n- broken: {broken}\n"));
    }
    let lost: usize = all
        .iter()
        .filter(|one| !one.struck || !one.victim.breaks_traffic())
        .map(|one| if one.struck { one.lost.avoidable(one.victim) } else { one.lost.all() })
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "some dozens")]
    let aims = vec![
        Aim::at_most("random moments: broken promises", Some(broken.len() as f64), (0.0, "")),
        Aim::at_most(
            "random moments: lost requests, balancer alive (shim: GET)",
            Some(lost as f64),
            (0.0, ""),
        ),
    ];
    Part { text, aims, failed: broken.len() }
}

/// What counts as lost, for the report.
pub(crate) const LOST: &str = "*Lost*: requests that ended with a status from 400 on, with a broken connection, or without an \
    answer within 10 s, of the kept connections, too. *Asked again*: requests whose kept connection turned out to be closed \
    without a word before they were written; they go out on a fresh one and are lost only where that fails.";

/// What the load is, for the report.
pub(crate) fn load_in_words() -> String {
    let mix = crate::ground::mix();
    format!(
        "{} pages and {} writes (a signed entry) a second on fresh connections, and {} clients that keep theirs and ask {} times a second",
        mix.pages, mix.writes, mix.kept_clients, mix.kept_pages
    )
}

fn row(name: &str, of: &[&Brought]) -> Vec<String> {
    let count = |wanted: fn(&str) -> bool| of.iter().filter(|one| wanted(&one.outcome)).count();
    let finished = count(|outcome| outcome == "finished");
    let back = count(|outcome| outcome == "went back");
    let failed = count(|outcome| outcome.starts_with("failed"));
    let unknown = count(|outcome| outcome == "unknown");
    let other = of.len() - finished - back - failed - unknown;
    let lost = of.iter().fold(Lost::default(), |lost, one| lost.add(one.lost));
    let gaps: Vec<f64> = of.iter().map(|one| one.gap.as_secs_f64() * 1e3).collect();
    let broken: usize = of.iter().map(|one| one.broken.len()).sum();
    let counts =
        [of.len(), finished, back, failed, unknown, other, lost.gets, lost.posts, lost.again, lost.sent];
    let mut cells = vec![name.to_owned()];
    cells.extend(counts.map(|count| count.to_string()));
    cells.extend([spread(&gaps, 0), broken.to_string()]);
    cells
}

/// `finished 3`: each value with how often it came.
fn counted(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut counts = BTreeMap::<String, usize>::new();
    values.for_each(|value| *counts.entry(value).or_default() += 1);
    counts.into_iter().map(|(value, count)| format!("{value} ×{count}")).collect()
}
