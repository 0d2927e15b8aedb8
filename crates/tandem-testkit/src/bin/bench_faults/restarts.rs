//! All of Tandem killed and started again: how long until everything is adopted and served, and until a rollout goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tandem_kit::api::{Client, Server};
use tandem_kit::clock::{Clock, Moment};
use tandem_kit::drain::{self, Drain};
use tandem_testkit::bench::aims::{Aim, Part};
use tandem_testkit::bench::poller::Poller;
use tandem_testkit::bench::progress::say;
use tandem_testkit::bench::tables::{part as quantile, section, spread, table};
use tandem_testkit::wait::{PATIENCE, pass, within};
use tandem_types::api::ProcessLine;
use tandem_types::instance::InstanceState;
use tandem_types::{InstanceId, RolloutNumber};

use crate::Plan;
use crate::ground::{GUESTBOOK, PLAIN, Site};
use crate::operation::{Operation, part_of};
use crate::rollouts::first_step_after;

/// A deploy of the guestbook takes about this long; it is killed somewhere in it.
const DEPLOY: Duration = Duration::from_millis(1_800);
/// Time between two looks at the API.
const LOOK: Duration = Duration::from_millis(2);

/// Times of one restart, in seconds.
#[derive(Debug, Default, Clone, Copy)]
struct Times {
    /// From the kill until the server answers and has adopted every instance.
    adopted: f64,
    /// From the start of the new process until the same.
    adopted_from_start: f64,
    /// From the kill until the first page.
    served: f64,
    /// From the kill until the rollout's next step; none at rest.
    resumed: Option<f64>,
}

/// Runs the part and tells.
pub(crate) fn measure(plan: &Plan, site: &mut Site, visitor: &Poller) -> anyhow::Result<Part> {
    let (mut rest, mut midway) = (Vec::new(), Vec::new());
    for number in 0..plan.restarts {
        say(&format!("restart {} of {}, at rest and in a deploy", number + 1, plan.restarts));
        rest.push(restart(site, visitor)?.0);
        midway.push(in_a_deploy(site, visitor, number)?);
    }
    Ok(tell(plan, &rest, &midway))
}

/// Kills and starts; the time of the kill by the wall clock as well.
fn restart(site: &mut Site, visitor: &Poller) -> anyhow::Result<(Times, jiff::Timestamp)> {
    let before = instances(site)?;
    let wall = site.clock.now();
    let asked = visitor.now();
    let killed = site.kill_tandem();
    let started = site.now();
    let watcher = Watcher::start(site, before);
    site.installation_mut().start_again();
    let adopted = watcher.adopted().context("every instance is adopted")?;
    let served = within(PATIENCE, || {
        // The last answer of the balancer that was killed may have been asked for just before.
        visitor.first_good(asked + killed_after(site, killed, visitor, asked))
    });
    let served = served.context("the small app is served again")?;
    let times = Times {
        adopted: adopted.elapsed_since(killed).as_secs_f64(),
        adopted_from_start: adopted.elapsed_since(started).as_secs_f64(),
        served: (served - asked).as_secs_f64(),
        resumed: None,
    };
    Ok((times, wall))
}

/// How long after `asked` the kill came: the two clocks were read one after the other.
fn killed_after(site: &Site, killed: Moment, visitor: &Poller, asked: Duration) -> Duration {
    (visitor.now() - asked).saturating_sub(site.since(killed))
}

fn in_a_deploy(site: &mut Site, visitor: &Poller, number: usize) -> anyhow::Result<Times> {
    let before = site.latest_rollout(GUESTBOOK)?.map_or(RolloutNumber(0), |rollout| rollout.number);
    let client = Operation::Deploy.begin(site, (GUESTBOOK, number));
    let begun = within(PATIENCE, || {
        site.latest_rollout(GUESTBOOK)
            .ok()?
            .filter(|rollout| rollout.number > before && !rollout.state.is_final())
    });
    begun.context("the deploy begins")?;
    pass(part_of(DEPLOY));
    let (times, killed) = restart(site, visitor)?;
    drop(client);
    let rollout = site.ended_after(GUESTBOOK, before, true)?.context("the rollout is there")?;
    let resumed = first_step_after(&rollout, killed).map(|step| step.duration_since(killed).as_secs_f64());
    Ok(Times { resumed, ..times })
}

/// Every instance that passed its gate, with its restarts.
type Passed = BTreeMap<InstanceId, u32>;

fn instances(site: &Site) -> anyhow::Result<Passed> {
    let mut all = Passed::new();
    for app in [GUESTBOOK, PLAIN] {
        let lines: Vec<ProcessLine> = serde_json::from_value(site.told(&["ps", "--json", "--app", app]))
            .context("read the processes")?;
        all.extend(passed(lines));
    }
    Ok(all)
}

fn passed(lines: Vec<ProcessLine>) -> impl Iterator<Item = (InstanceId, u32)> {
    // What is on its way out may be gone afterwards, as it should.
    let stays = |line: &ProcessLine| line.state == InstanceState::Ready && line.role != "draining";
    lines.into_iter().filter(stays).map(|line| (line.id, line.restarts))
}

/// Asks the API from the kill on, on a thread of its own.
struct Watcher {
    found: Arc<Mutex<Option<Moment>>>,
    _stop: drain::Trigger,
}

impl Watcher {
    fn start(site: &Site, wanted: Passed) -> Self {
        let client = Client::new(Server::Unix(site.installation().data().api_socket()));
        let (found, (stop, drain)) = (Arc::default(), drain::channel());
        let watching = watch(client, wanted, (site.clock.clone(), Arc::clone(&found), drain));
        let _thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("descriptors are free").block_on(watching);
        });
        Self { found, _stop: stop }
    }

    /// When everything was adopted.
    fn adopted(&self) -> Option<Moment> {
        within(PATIENCE, || *self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn watch(
    client: Client,
    mut wanted: Passed,
    (clock, found, drain): (Clock, Arc<Mutex<Option<Moment>>>, Drain),
) {
    while !drain.is_requested() {
        let mut lines = Vec::new();
        for app in [GUESTBOOK, PLAIN] {
            let path = format!("/v1/apps/{app}/envs/production/ps");
            lines.push(client.get::<Vec<ProcessLine>>(&path).await);
        }
        if let Ok(lines) = lines.into_iter().collect::<Result<Vec<_>, _>>() {
            let is_ready = |line: &ProcessLine| line.state == InstanceState::Ready;
            let all: BTreeMap<_, _> = lines.iter().flatten().map(|line| (line.id, line)).collect();
            // A rollout that goes on brings newer ones, drains those of before, and tells no more of what it has stopped.
            wanted.retain(|id, restarts| {
                all.get(id).is_some_and(|line| !is_ready(line) || line.restarts != *restarts)
            });
        }
        if wanted.is_empty() {
            *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock.monotonic());
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(plan: &Plan, rest: &[Times], midway: &[Times]) -> Part {
    let text = format!(
        "{} times at rest and as often at a random time of a deploy of the guestbook: server, runner, commands of a build and \
         balancer killed at once, apps and shims left alone, `tandem up` started again at once. *Adopted*: the API answers and \
         tells every instance of before as ready, without a new start. *Served*: end of the first page of the small app that was asked for \
         after the kill. *Resumed*: the next step of the rollout; where the kill came before its last step.",
        plan.restarts
    );
    let row = |name: &str, values: &dyn Fn(&Times) -> Option<f64>| {
        let cell = |times: &[Times]| spread(&times.iter().filter_map(values).collect::<Vec<_>>(), 2);
        vec![name.to_owned(), cell(rest), cell(midway)]
    };
    let rows = [
        row("adopted, from the kill", &|times| Some(times.adopted)),
        row("adopted, from the new start", &|times| Some(times.adopted_from_start)),
        row("served, from the kill", &|times| Some(times.served)),
        row("resumed, from the kill", &|times| times.resumed),
    ];
    let text = section("All of Tandem killed", &text) + &table(&["s", "at rest", "in a deploy"], &rows);
    let all: Vec<f64> = rest.iter().chain(midway).map(|times| times.adopted.max(times.served)).collect();
    let aims = vec![
        Aim::at_most("all killed: adopted and served, median", quantile(&all, 0.5), (1.0, "s")),
        Aim::at_most("all killed: adopted and served, worst", quantile(&all, 1.0), (1.0, "s")),
    ];
    Part { text, aims, failed: 0 }
}
