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
        rest.push(restart(site, visitor, None)?.0);
        midway.push(in_a_deploy(site, visitor, number)?);
    }
    Ok(tell(plan, &rest, &midway))
}

/// Kills and starts; the time of the kill by the wall clock as well. Only a rollout may end instances: those of `rolled`.
fn restart(
    site: &mut Site,
    visitor: &Poller,
    rolled: Option<&'static str>,
) -> anyhow::Result<(Times, jiff::Timestamp)> {
    let before = instances(site, rolled)?;
    let wall = site.clock.now();
    let asked = visitor.now();
    let killed = site.kill_tandem();
    let started = site.now();
    let watcher = Watcher::start(site, before);
    site.installation_mut().start_again();
    let adopted = watcher.adopted()?;
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
    let (times, killed) = restart(site, visitor, Some(GUESTBOOK))?;
    drop(client);
    let rollout = site.ended_after(GUESTBOOK, before, true)?.context("the rollout is there")?;
    let resumed = first_step_after(&rollout, killed).map(|step| step.duration_since(killed).as_secs_f64());
    Ok(Times { resumed, ..times })
}

/// Every instance that passed its gate.
type Passed = BTreeMap<InstanceId, Before>;

/// What is known of an instance from before the kill.
#[derive(Debug, Clone, Copy)]
struct Before {
    restarts: u32,
    /// A rollout of its app is under way, and may have ended it by the time of the first look.
    may_end: bool,
}

impl Before {
    /// Whether the line that the new server tells of it, if any, is that of an adopted instance.
    fn is_adopted(self, now: Option<&ProcessLine>) -> bool {
        match now {
            Some(line) => line.state == InstanceState::Ready && line.restarts == self.restarts,
            None => self.may_end,
        }
    }
}

fn instances(site: &Site, rolled: Option<&str>) -> anyhow::Result<Passed> {
    let mut all = Passed::new();
    for app in [GUESTBOOK, PLAIN] {
        let lines: Vec<ProcessLine> = serde_json::from_value(site.told(&["ps", "--json", "--app", app]))
            .context("read the processes")?;
        // What is on its way out may be gone afterwards, as it should.
        let stays = |line: &ProcessLine| line.state == InstanceState::Ready && line.role != "draining";
        let may_end = rolled == Some(app);
        let before = |line: ProcessLine| (line.id, Before { restarts: line.restarts, may_end });
        all.extend(lines.into_iter().filter(stays).map(before));
    }
    Ok(all)
}

/// Asks the API from the kill on, on a thread of its own.
struct Watcher {
    found: Arc<Mutex<Found>>,
    _stop: drain::Trigger,
}

/// What the watcher has seen so far.
#[derive(Debug, Default)]
struct Found {
    /// When every instance was adopted.
    at: Option<Moment>,
    /// Those that were not at the last look.
    missing: Passed,
}

impl Watcher {
    fn start(site: &Site, wanted: Passed) -> Self {
        let client = Client::new(Server::Unix(site.installation().data().api_socket()));
        let found = Arc::new(Mutex::new(Found { at: None, missing: wanted.clone() }));
        let (stop, drain) = drain::channel();
        let watching = watch(client, wanted, (site.clock.clone(), Arc::clone(&found), drain));
        let _thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("descriptors are free").block_on(watching);
        });
        Self { found, _stop: stop }
    }

    /// When everything was adopted.
    fn adopted(&self) -> anyhow::Result<Moment> {
        let found = || self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let at = within(PATIENCE, || found().at);
        at.with_context(|| format!("not adopted within {PATIENCE:?}: {:?}", found().missing))
    }
}

async fn watch(client: Client, mut wanted: Passed, (clock, found, drain): (Clock, Arc<Mutex<Found>>, Drain)) {
    while !drain.is_requested() {
        let mut lines = Vec::new();
        for app in [GUESTBOOK, PLAIN] {
            let path = format!("/v1/apps/{app}/envs/production/ps");
            lines.push(client.get::<Vec<ProcessLine>>(&path).await);
        }
        if let Ok(lines) = lines.into_iter().collect::<Result<Vec<_>, _>>() {
            let all: BTreeMap<_, _> = lines.iter().flatten().map(|line| (line.id, line)).collect();
            // Once adopted is adopted: a rollout that goes on may end the first before the last is adopted.
            wanted.retain(|id, before| !before.is_adopted(all.get(id).copied()));
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.missing.clone_from(&wanted);
            if wanted.is_empty() {
                found.at = Some(clock.monotonic());
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(plan: &Plan, rest: &[Times], midway: &[Times]) -> Part {
    let text = format!(
        "{} times at rest and as often at a random time of a deploy of the guestbook: server, runner, commands of a build and \
         balancer killed at once, apps and shims left alone, `tandem up` started again at once. *Adopted*: the API answers and \
         tells every instance of before as ready, without a new start; in a deploy those of the guestbook may be gone \
         instead, since the rollout goes on and ends them, those of the small app may not. *Served*: end of the first page \
         of the small app that was asked for after the kill. *Resumed*: the next step of the rollout; where the kill came before its last step.",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: InstanceState, restarts: u32) -> ProcessLine {
        ProcessLine {
            name: "web.1".to_owned(),
            id: InstanceId(1),
            release: tandem_types::ReleaseNumber(1),
            host: "a".parse().expect("a host's name"),
            state,
            role: "serving".to_owned(),
            started: None,
            restarts,
            detail: None,
        }
    }

    #[test]
    fn an_instance_that_nobody_rolls_is_adopted_only_where_it_is_listed_ready_and_was_not_started_anew() {
        let before = Before { restarts: 1, may_end: false };
        assert!(before.is_adopted(Some(&line(InstanceState::Ready, 1))));
        assert!(!before.is_adopted(Some(&line(InstanceState::Waiting, 1))));
        assert!(!before.is_adopted(Some(&line(InstanceState::Ready, 2))));
        assert!(!before.is_adopted(None));
    }

    #[test]
    fn an_instance_that_a_rollout_may_end_may_be_gone_but_not_started_anew() {
        let before = Before { restarts: 1, may_end: true };
        assert!(before.is_adopted(None));
        assert!(!before.is_adopted(Some(&line(InstanceState::Ready, 2))));
    }
}
