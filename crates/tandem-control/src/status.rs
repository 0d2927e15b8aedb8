//! `status`: how everything stands, and what a person should look at.

use tandem_rules::world::Received;
use tandem_types::api::{AppSummary, BalancerState, HostStatus, Status};
use tandem_types::instance::{HostObservation, InstanceState, Isolation};
use tandem_types::problem::Problem;
use tandem_types::rollout::Rollout;
use tandem_types::routing::{BalancerStatus, RoutingDocument};
use tandem_types::{BalancerId, Epoch, HostName, Timestamp, defaults, keys};

use crate::handle::Handle;
use crate::mirror::Mirror;
use crate::place::Place;
use crate::{apps, problem, ps, world};

impl Handle {
    /// How everything stands, with what a person should look at, most urgent first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn status(&self) -> Result<Status, Problem> {
        let cursor = self.shared.store.cursor().await;
        let cursor = cursor.map_err(|error| problem::store("read the store", &error))?;
        let now = self.shared.now();
        let (hosts, balancers, apps, epoch, problems) = self.shared.look(|mirror| {
            let hosts = self.hosts(mirror, now);
            let balancers = balancers(mirror, now);
            let routing = mirror.value::<RoutingDocument>(keys::ROUTING_TABLE);
            let epoch = routing.map_or(Epoch(0), |routing| routing.serving.epoch);
            let apps = apps::summaries(mirror, now);
            let problems = problems(mirror, (&hosts, &balancers, &apps), epoch);
            (hosts, balancers, apps, epoch, problems)
        });
        let (version, started) = (self.shared.version.clone(), self.shared.started);
        Ok(Status { version, started, cursor, epoch, hosts, balancers, apps, problems })
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
    epoch: Epoch,
) -> Vec<String> {
    let mut problems = Vec::new();
    if balancers.iter().all(|balancer| !balancer.live) {
        problems.push("no balancer reports: traffic cannot be moved".to_owned());
    }
    for BalancerState { live, status } in balancers {
        if !live {
            problems.push(format!("the balancer {} does not report", status.balancer));
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
        problems.extend(app_problems(mirror, app));
    }
    for host in hosts.iter().filter(|host| host.isolation == Some(Isolation::Plain)) {
        let name = &host.name;
        problems.push(format!(
            "instances on {name} are plain processes, not kept apart: run as root with bubblewrap"
        ));
    }
    problems
}

/// Instances that should be ready and are not, and rollouts that wait for something.
fn app_problems(mirror: &Mirror, app: &AppSummary) -> Vec<String> {
    let mut problems = Vec::new();
    for environment in mirror.environments().filter(|environment| environment.app == app.name) {
        let place = Place { app: app.name.clone(), environment: environment.name.clone() };
        for line in ps::lines(mirror, &environment) {
            let failing = matches!(line.state, InstanceState::Crashed | InstanceState::Unhealthy);
            if failing && (line.role == "serving" || environment.current == Some(line.release)) {
                let why = line.detail.map(|why| format!(": {why}")).unwrap_or_default();
                let state = if line.state == InstanceState::Crashed { "crashed" } else { "is unhealthy" };
                problems.push(format!("{} of {place} ({}) {state}{why}", line.name, line.release));
            }
        }
        let prefix = keys::rollouts(&place.app, &place.environment);
        let waiting = mirror.unfinished(&prefix).map(|stored| stored.value);
        problems.extend(waiting.flat_map(|rollout| warnings(&place, &rollout)));
    }
    problems
}

fn warnings(place: &Place, rollout: &Rollout) -> Vec<String> {
    let unconfirmed = rollout.warnings.iter().filter(|text| text.starts_with("unconfirmed"));
    unconfirmed.map(|text| format!("{} of {place}: {text}", rollout.number)).collect()
}
