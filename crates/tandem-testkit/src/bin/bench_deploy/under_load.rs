//! Constant load through deploys and rollbacks, and what an idle installation with two apps takes.

use std::time::Duration;

use anyhow::Context as _;
use tandem_testkit::app_folder::AppFolder;
use tandem_testkit::load::{Kind, Load, Mix, Report, Target};
use tandem_testkit::wait::within;
use tandem_types::rollout::{Rollout, RolloutKind};

use crate::ground::Ground;
use crate::measure::{cpu_seconds, memory};
use crate::tables::{millis_p50_p99_max, seconds, section, spread, table};
use crate::tandem_side::{HOST, TandemSide};
use crate::{Plan, say};

/// Time for the last old instances to end before the quiet is measured.
const SETTLE: Duration = Duration::from_secs(15);

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, ground: &Ground) -> anyhow::Result<String> {
    let tandem = TandemSide::start(plan, ground);
    let target = Target { address: tandem.installation.ready().http, host: HOST.to_owned() };
    let load = Load::start(target, Mix::default());
    for round in 0..plan.loaded_rounds {
        say(&format!("deploy and rollback {} of {} under load", round + 1, plan.loaded_rounds));
        tandem.folder.greet(&format!("Round {round} under load"));
        tandem.deploy();
        let _ = tandem.installation.tandem(["rollback", "--json"]).expect_success();
    }
    let report = load.stop();
    let took = rollouts(&tandem)?;
    let idle = idle(plan, &tandem)?;
    let TandemSide { installation, .. } = tandem;
    installation.finish();
    Ok(tell(plan, &report) + &took + &idle)
}

/// How long the rollouts took until the last request on the old instances was answered.
fn rollouts(tandem: &TandemSide) -> anyhow::Result<String> {
    let listed = tandem.installation.tandem(["rollout", "list", "--json", "-n", "1000"]).expect_success();
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
fn idle(plan: &Plan, tandem: &TandemSide) -> anyhow::Result<String> {
    say("idle with two apps");
    tandem.installation.deploy(AppFolder::fixture("plain").path());
    wait(SETTLE);
    let processes = [
        ("`tandem up`: server and runner", vec![tandem.role("up").context("tandem up runs")?]),
        ("balancer", vec![tandem.role("balancer").context("the balancer runs")?]),
        ("all shims together", tandem.shims()),
    ];
    let before: Vec<f64> = processes.iter().map(|(_, ids)| sum(ids, cpu_seconds)).collect();
    wait(Duration::from_secs(plan.idle_seconds));
    let mut rows = Vec::new();
    for ((name, ids), before) in processes.iter().zip(before) {
        #[expect(clippy::cast_precision_loss, reason = "a minute")]
        let share = (sum(ids, cpu_seconds) - before) / plan.idle_seconds as f64 * 100.0;
        #[expect(clippy::cast_precision_loss, reason = "some megabytes")]
        let megabytes = |part: fn((u64, u64)) -> u64| {
            let bytes: u64 = ids.iter().filter_map(|id| memory(*id)).map(part).sum();
            format!("{:.1}", bytes as f64 / 1e6)
        };
        let count = ids.len().to_string();
        let memory = [megabytes(|(resident, _)| resident), megabytes(|(_, shared)| shared)];
        rows.push([vec![(*name).to_owned(), count], memory.to_vec(), vec![format!("{share:.2}")]].concat());
    }
    let text = format!(
        "Two apps deployed (the guestbook with warm releases, and a small one), no requests but Tandem's own probes, over \
         {} s. PSS counts shared pages by their share.",
        plan.idle_seconds
    );
    Ok(section("Idle", &text) + &table(&["", "processes", "RSS, MB", "PSS, MB", "CPU, %"], &rows))
}

fn sum(ids: &[nix::unistd::Pid], value: fn(nix::unistd::Pid) -> Option<f64>) -> f64 {
    ids.iter().filter_map(|id| value(*id)).sum()
}

fn wait(length: Duration) {
    let _ = within(length, || None::<()>);
}
