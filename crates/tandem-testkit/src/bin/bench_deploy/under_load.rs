//! Constant load through deploys and rollbacks, and what an idle installation with two apps takes.

use std::time::Duration;

use anyhow::Context as _;
use nix::unistd::Pid;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::load::{Kind, Load, Mix, Report, Target};
use tandem_testkit::wait::pass;
use tandem_types::rollout::{Rollout, RolloutKind};

use crate::Plan;
use crate::ground::Ground;
use crate::measure::{cpu_seconds, memory};
use crate::tandem_side::{HOST, TandemSide};
use tandem_testkit::bench::aims::{Aim, Part};
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{millis_p50_p99_max, seconds, section, spread, table};

/// Time for the last old instances to end before the quiet is measured.
const SETTLE: Duration = Duration::from_secs(15);

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, ground: &Ground) -> anyhow::Result<Part> {
    let tandem = TandemSide::start(plan, ground)?;
    let target = Target { address: tandem.installation().ready().http, host: HOST.to_owned() };
    let load = Load::start(target, Mix::default());
    for round in 0..plan.loaded_rounds {
        say(&format!("deploy and rollback {} of {} under load", round + 1, plan.loaded_rounds));
        tandem.folder.greet(&format!("Round {round} under load"));
        tandem.deploy();
        let _ = tandem.installation().tandem(["rollback", "--json"]).expect_success();
    }
    let report = load.stop();
    let took = rollouts(&tandem)?;
    let (idle, mut aims) = idle(plan, &tandem)?;
    tandem.finish();
    let failed = report.failures().len();
    #[expect(clippy::cast_precision_loss, reason = "some thousand requests")]
    aims.insert(0, Aim::at_most("under load: failed requests", Some(failed as f64), (0.0, "")));
    // A kind of load that never came has proved nothing.
    let missing = 4 - report.counts().len();
    Ok(Part { text: tell(plan, &report) + &took + &idle, aims, failed: failed + missing })
}

/// How long the rollouts took until the last request on the old instances was answered.
fn rollouts(tandem: &TandemSide) -> anyhow::Result<String> {
    let listed = tandem.installation().tandem(["rollout", "list", "--json", "-n", "1000"]).expect_success();
    let rollouts: Vec<Rollout> =
        serde_json::from_value(listed.json()).context("read the list of rollouts")?;
    let spread_of = |kind: RolloutKind| {
        let of_kind = rollouts.iter().filter(|rollout| rollout.kind == kind);
        let took = of_kind.filter_map(|rollout| Some(rollout.finished?.duration_since(rollout.created)));
        spread(&took.map(|took| took.as_secs_f64()).collect::<Vec<_>>(), 1)
    };
    let (deploys, rollbacks) = (spread_of(RolloutKind::Deploy), spread_of(RolloutKind::Rollback));
    Ok(format!(
        "\nWhole rollouts, until the last request on old instances was answered: deploys {deploys} s, rollbacks \
         {rollbacks} s.\n"
    ))
}

fn tell(plan: &Plan, report: &Report) -> String {
    let mix = Mix::default();
    let text = format!(
        "{} deploys and {} rollbacks, one after the other without pause. Requests go out at their time whether or not \
         earlier ones were answered, and waits count from that time: {} pages, {} writes (a signed entry) and {} \
         pages of {} s a second on fresh connections, and {} clients that keep their connection and ask {} times a second \
         each. Any status from 400 on, any broken connection and any answer later than 10 s (beside what a slow page \
         takes) has failed. *Stale*: requests sent again because a kept connection had been closed before it took \
         them.",
        plan.loaded_rounds,
        plan.loaded_rounds,
        mix.pages,
        mix.writes,
        mix.slow,
        mix.slow_takes.as_secs(),
        mix.kept_clients,
        mix.kept_pages,
    );
    let kinds = [
        (Kind::Page, "pages"),
        (Kind::Write, "writes"),
        (Kind::Slow, "slow pages"),
        (Kind::Kept, "kept connections"),
    ];
    let row = |(kind, name): (Kind, &str)| {
        let failed = report.failures().iter().filter(|sample| sample.kind == kind).count();
        let latencies = report.latencies(kind);
        let mut cells = vec![name.to_owned(), latencies.len().to_string(), failed.to_string()];
        cells.extend(millis_p50_p99_max(&seconds(&latencies)));
        cells
    };
    let rows: Vec<_> = kinds.into_iter().map(row).collect();
    let head = ["", "requests", "failed", "p50, ms", "p99", "max"];
    let mut text = section("Under load", &text) + &table(&head, &rows);
    text.push_str(&format!("\nStale: {}.\n", report.stale));
    for sample in report.failures().iter().take(5) {
        text.push_str(&format!("\n- {sample:?}\n"));
    }
    text
}

/// Memory and CPU of Tandem's own processes while nobody asks for anything.
fn idle(plan: &Plan, tandem: &TandemSide) -> anyhow::Result<(String, Vec<Aim>)> {
    say("idle with two apps");
    let _ = tandem.installation().deploy(AppFolder::fixture("plain").path());
    pass(SETTLE);
    let up = vec![tandem.role("up").context("tandem up runs")?];
    let balancer = vec![tandem.role("balancer").context("the balancer runs")?];
    let shims = tandem.shims();
    let all = [&up[..], &balancer, &shims].concat();
    let processes = [
        ("`tandem up`: server and runner", up),
        ("balancer", balancer),
        ("all shims together", shims),
        ("**all**", all),
    ];
    let before: Vec<f64> = processes.iter().map(|(_, ids)| sum(ids, cpu_seconds)).collect();
    pass(Duration::from_secs(plan.idle_seconds));
    let taken = processes.iter().zip(before).map(|((_, ids), before)| Taken::since(before, ids, plan));
    let taken: Vec<_> = taken.collect();
    let rows = processes.iter().zip(&taken).map(|((name, ids), taken)| {
        let Taken { resident, shared, share } = taken;
        let figures = [format!("{resident:.1}"), format!("{shared:.1}"), format!("{share:.2}")];
        [vec![(*name).to_owned(), ids.len().to_string()], figures.to_vec()].concat()
    });
    let rows: Vec<_> = rows.collect();
    let aims = vec![
        Aim::at_most("idle: memory (RSS) of `tandem up`", Some(taken[0].resident), (60.0, "MB")),
        Aim::at_most("idle: CPU of all of Tandem", Some(taken[3].share), (1.0, "%")),
    ];
    let text = format!(
        "Two apps deployed (the guestbook with warm releases, and a small one), no requests but Tandem's own probes, over \
         {} s. PSS counts shared pages by their share.",
        plan.idle_seconds
    );
    let table = table(&["", "processes", "RSS, MB", "PSS, MB", "CPU, % of a core"], &rows);
    Ok((section("Idle", &text) + &table, aims))
}

/// What some processes take.
struct Taken {
    /// Megabytes, shared pages counted whole.
    resident: f64,
    /// Megabytes, shared pages counted by their share.
    shared: f64,
    /// Percent of one core.
    share: f64,
}

impl Taken {
    #[expect(clippy::cast_precision_loss, reason = "some megabytes within a minute")]
    fn since(before: f64, ids: &[Pid], plan: &Plan) -> Self {
        let share = (sum(ids, cpu_seconds) - before) / plan.idle_seconds as f64 * 100.0;
        let of: Vec<_> = ids.iter().filter_map(|id| memory(*id)).collect();
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let resident = megabytes(of.iter().map(|(resident, _)| resident).sum());
        Self { resident, shared: megabytes(of.iter().map(|(_, shared)| shared).sum()), share }
    }
}

fn sum(ids: &[Pid], value: fn(Pid) -> Option<f64>) -> f64 {
    ids.iter().filter_map(|id| value(*id)).sum()
}
