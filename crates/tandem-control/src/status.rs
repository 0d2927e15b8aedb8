//! `status`: how everything stands, and what a person should look at.

use std::collections::BTreeMap;

use tandem_kit::tasks;
use tandem_rules::world::{Received, later};
use tandem_types::api::{AppSummary, BalancerState, HostStatus, ProcessLine, Status};
use tandem_types::environment::Environment;
use tandem_types::instance::{Exit, HostObservation, InstanceState, Isolation};
use tandem_types::problem::Problem;
use tandem_types::rollout::{Rollout, RolloutKind};
use tandem_types::routing::{BalancerStatus, RoutingDocument};
use tandem_types::{BalancerId, Epoch, HostName, InstanceId, Timestamp, defaults, keys};

use crate::handle::Handle;
use crate::housekeeping::room;
use crate::https;
use crate::mirror::Mirror;
use crate::place::Place;
use crate::{apps, disk, problem, ps, settings, world};

impl Handle {
    /// How everything stands, with what a person should look at, most urgent first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn status(&self) -> Result<Status, Problem> {
        let cursor = self.shared.store.cursor().await;
        let cursor = cursor.map_err(|error| problem::store("read the store", &error))?;
        let now = self.shared.now();
        let root = self.shared.root.clone();
        let budget = self.shared.budget.get();
        let look = move || (disk::disks(&root), budget.map(|budget| room::measured(budget, &root)));
        let (disks, budget) = tasks::blocking("look at the disks", look).await;
        let acme = self.shared.acme.as_ref();
        let (hosts, balancers, apps, epoch, (certificates, problems)) = self.shared.look(|mirror| {
            let hosts = self.hosts(mirror, now);
            let balancers = balancers(mirror, now);
            let routing = mirror.value::<RoutingDocument>(keys::ROUTING_TABLE);
            let epoch = routing.map_or(Epoch(0), |routing| routing.serving.epoch);
            let apps = apps::summaries(mirror, now);
            let mut problems = problems(mirror, (&hosts, &balancers, &apps), (epoch, now));
            problems.extend(disk::problems(&disks));
            problems.extend(apps.iter().flat_map(|app| self.waits_of_destruction(mirror, app)));
            problems.extend(self.shared.snapshots.get());
            problems.extend(self.shared.lost_trees.problems(mirror));
            problems.extend(https::problems(mirror, acme, now));
            (hosts, balancers, apps, epoch, (https::lines(mirror, acme), problems))
        });
        let (version, started) = (self.shared.version.clone(), self.shared.started);
        Ok(Status {
            version,
            started,
            cursor,
            epoch,
            hosts,
            balancers,
            apps,
            disks,
            budget,
            certificates,
            problems,
        })
    }

    /// What the destruction of an app waits for.
    fn waits_of_destruction(&self, mirror: &Mirror, app: &AppSummary) -> Vec<String> {
        let waits = apps::destroy::waiting_for(&self.shared, mirror, &app.name);
        waits.into_iter().map(|text| format!("{} is being destroyed: {text}", app.name)).collect()
    }

    /// Hosts that should be there, and any other that reports.
    fn hosts(&self, mirror: &Mirror, now: Timestamp) -> Vec<HostStatus> {
        let reports = world::hosts(mirror);
        let known = self.shared.hosts.iter();
        let mut names: Vec<HostName> = known.chain(reports.keys()).cloned().collect();
        names.sort();
        names.dedup();
        names.into_iter().map(|name| host(reports.get(&name), name, now)).collect()
    }
}

fn host(report: Option<&Received<HostObservation>>, name: HostName, now: Timestamp) -> HostStatus {
    let runs = |state: InstanceState| !matches!(state, InstanceState::Stopped | InstanceState::Waiting);
    let count = report.map_or(0, |report| report.value.instances.iter().filter(|i| runs(i.state)).count());
    HostStatus {
        name,
        live: report.is_some_and(|report| report.is_fresh(defaults::HOST_LIVE, now)),
        isolation: report.map(|report| report.value.isolation),
        instances: u32::try_from(count).unwrap_or(u32::MAX),
    }
}

fn balancers(mirror: &Mirror, now: Timestamp) -> Vec<BalancerState> {
    let state = |(_, report): (BalancerId, Received<BalancerStatus>)| BalancerState {
        live: report.is_fresh(defaults::BALANCER_LIVE, now),
        status: (*report.value).clone(),
    };
    world::balancers(mirror).into_iter().map(state).collect()
}

fn problems(
    mirror: &Mirror,
    (hosts, balancers, apps): (&[HostStatus], &[BalancerState], &[AppSummary]),
    (epoch, now): (Epoch, Timestamp),
) -> Vec<String> {
    let mut problems = Vec::new();
    if balancers.iter().all(|balancer| !balancer.live) {
        problems.push("no balancer reports: traffic cannot be moved".to_owned());
    }
    for BalancerState { live, status } in balancers {
        if !live {
            let name = &status.balancer;
            problems.push(format!(
                "the balancer {name} does not report; if it is gone for good: `tandem balancer remove {name}`"
            ));
        } else if status.serving < epoch {
            let serving = status.serving;
            problems.push(format!("the balancer {} serves {serving} and not {epoch}", status.balancer));
        }
        if let Some(problem) = &status.problem {
            problems.push(format!("the balancer {}: {problem}", status.balancer));
        }
    }
    for host in hosts.iter().filter(|host| !host.live) {
        problems.push(format!("the runner of {} does not report", host.name));
    }
    for app in apps {
        problems.extend(pauses(app));
        problems.extend(app_problems(mirror, app, now));
    }
    for host in hosts.iter().filter(|host| host.isolation == Some(Isolation::Plain)) {
        let name = &host.name;
        problems.push(format!(
            "instances on {name} are plain processes, not kept apart: run as root with bubblewrap"
        ));
    }
    for (name, report) in world::hosts(mirror) {
        problems.extend(report.value.isolation_gaps.iter().map(|gap| format!("instances on {name}: {gap}")));
    }
    problems
}

/// Environments that somebody paused and perhaps forgot.
fn pauses(app: &AppSummary) -> impl Iterator<Item = String> {
    app.environments.iter().filter_map(|environment| {
        let since = environment.paused.as_ref()?.since.strftime("%Y-%m-%d %H:%M UTC");
        let place = Place { app: app.name.clone(), environment: environment.name.clone() };
        let arguments = place.arguments();
        Some(format!("{place} is paused since {since}; to open it again: `tandem resume {arguments}`"))
    })
}

/// Instances that should be ready and are not or not for long, rollouts that wait for something, and config that does
/// not run.
fn app_problems(mirror: &Mirror, app: &AppSummary, now: Timestamp) -> Vec<String> {
    let mut problems = Vec::new();
    let (exits, left_out) = (last_exits(mirror), left_out(mirror, now));
    for environment in mirror.environments().filter(|environment| environment.app == app.name) {
        let place = Place { app: app.name.clone(), environment: environment.name.clone() };
        for line in ps::lines(mirror, &environment) {
            if let Some(balancer) = left_out.get(&line.id) {
                problems.push(format!(
                    "{} of {place} ({}) gets no requests from the balancer {balancer} for now: it failed many in a row",
                    line.name, line.release
                ));
            }
            let failing = matches!(line.state, InstanceState::Crashed | InstanceState::Unhealthy);
            if failing && (line.role == "serving" || environment.current == Some(line.release)) {
                let why = line.detail.map(|why| format!(": {why}")).unwrap_or_default();
                let state = if line.state == InstanceState::Crashed { "crashed" } else { "is unhealthy" };
                problems.push(format!("{} of {place} ({}) {state}{why}", line.name, line.release));
            } else if environment.current == Some(line.release) && does_its_work(&line) {
                problems.extend(started_again(&place, &line, exits.get(&line.id), now));
            }
        }
        let prefix = keys::rollouts(&place.app, &place.environment);
        let rollouts: Vec<_> = mirror.unfinished(&prefix).map(|stored| stored.value).collect();
        problems.extend(rollouts.iter().flat_map(|rollout| warnings(&place, rollout)));
        let brings_config = |kind| matches!(kind, RolloutKind::Deploy | RolloutKind::Config);
        if !rollouts.iter().any(|rollout| brings_config(rollout.kind)) {
            problems.extend(pending_config(mirror, &place, &environment));
        }
    }
    problems
}

/// Whether requests or jobs depend on the instance. One of type `web` that only starts is a rollout's affair, which
/// tells of it by itself, or has left the pool.
fn does_its_work(line: &ProcessLine) -> bool {
    match line.role.as_str() {
        "serving" | "running" => true,
        "starting" => !line.name.starts_with("web."),
        _ => false,
    }
}

/// An instance that ends again and again is well between two ends; whoever looks just then has to hear of it too.
fn started_again(
    place: &Place,
    line: &ProcessLine,
    last_exit: Option<&Exit>,
    now: Timestamp,
) -> Option<String> {
    let last = line.started.max(last_exit.map(|exit| exit.at))?;
    let lately = later(last, defaults::RESTART_FORGIVEN) > now;
    if line.restarts == 0 || !lately {
        return None;
    }
    let times = match line.restarts {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    let why = last_exit.map_or(String::new(), |exit| format!(" after {}", reason(exit)));
    let (name, release, last) = (&line.name, line.release, last.strftime("%H:%M:%S UTC"));
    Some(format!("{name} of {place} ({release}) ended and was started again {times}, last at {last}{why}"))
}

/// Fits behind "after".
fn reason(exit: &Exit) -> String {
    match exit {
        Exit { out_of_memory: true, .. } => "running out of memory".to_owned(),
        Exit { signal: Some(signal), code: None, .. } => format!("signal {signal}"),
        exit => exit.to_string(),
    }
}

/// Instances that a live balancer leaves out, with one that does.
fn left_out(mirror: &Mirror, now: Timestamp) -> BTreeMap<InstanceId, BalancerId> {
    let reports = world::balancers(mirror).into_iter();
    let live = reports.filter(|(_, report)| report.is_fresh(defaults::BALANCER_LIVE, now));
    let named = |(balancer, report): (BalancerId, Received<BalancerStatus>)| {
        report.value.left_out.iter().map(|id| (*id, balancer.clone())).collect::<Vec<_>>()
    };
    live.flat_map(named).collect()
}

fn last_exits(mirror: &Mirror) -> BTreeMap<InstanceId, Exit> {
    let reports = world::hosts(mirror);
    let instances = reports.values().flat_map(|report| &report.value.instances);
    instances.filter_map(|seen| Some((seen.id, seen.last_exit.clone()?))).collect()
}

fn pending_config(mirror: &Mirror, place: &Place, environment: &Environment) -> Option<String> {
    let (names, current) = (settings::pending(mirror, environment), environment.current?);
    let (list, arguments) = (names.join(", "), place.arguments());
    let text = format!(
        "config of {place} differs from what {current} runs with: {list}; the next release brings it \
         (`tandem deploy {arguments}`, or see `tandem config list {arguments}`)"
    );
    Some(text).filter(|_| !names.is_empty())
}

fn warnings(place: &Place, rollout: &Rollout) -> Vec<String> {
    let unconfirmed = rollout.warnings.iter().filter(|text| text.starts_with("unconfirmed"));
    unconfirmed.map(|text| format!("{} of {place}: {text}", rollout.number)).collect()
}
