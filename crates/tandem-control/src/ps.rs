//! `ps`: every instance of an environment, as it should be and as it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use tandem_rules::world::Received;
use tandem_types::api::ProcessLine;
use tandem_types::assignment::{AssignedInstance, Assignment};
use tandem_types::environment::Environment;
use tandem_types::instance::{Address, HostObservation, InstanceObservation, InstanceState};
use tandem_types::problem::Problem;
use tandem_types::rollout::{Rollout, RolloutState};
use tandem_types::routing::RoutingDocument;
use tandem_types::{HostName, InstanceId, defaults, keys};

use crate::handle::Handle;
use crate::mirror::Mirror;
use crate::place::Place;
use crate::world;

mod role;

use role::{Facts, part};

/// Where the output of instances on one host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    /// The host.
    pub host: HostName,
    /// Where its runner answers.
    pub api: Address,
    /// Whether its runner reported lately.
    pub live: bool,
    /// Whether it is on this machine: a unix socket of the same path may be another runner's here.
    pub here: bool,
}

impl Handle {
    /// Instances of an environment: serving ones first, then by process type and number.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`.
    pub fn ps(&self, place: &Place) -> Result<Vec<ProcessLine>, Problem> {
        let environment = self.environment(place)?;
        Ok(self.shared.look(|mirror| {
            let mut lines = lines(mirror, &environment);
            lines.sort_by(|a, b| (rank(&a.role), &a.name, a.id).cmp(&(rank(&b.role), &b.name, b.id)));
            lines
        }))
    }

    /// The runners that have output of an environment's instances.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`.
    pub fn log_sources(&self, place: &Place) -> Result<Vec<LogSource>, Problem> {
        self.environment(place)?;
        Ok(self.runners())
    }

    /// All runners that have ever reported to this server, and where they answer.
    pub(crate) fn runners(&self) -> Vec<LogSource> {
        let (now, boot) = (self.shared.now(), tandem_kit::boot::id());
        let source = |(host, report): (HostName, Received<HostObservation>)| LogSource {
            host,
            api: report.value.api.clone(),
            live: report.is_fresh(defaults::HOST_LIVE, now),
            here: report.value.boot_id == boot,
        };
        self.shared.look(world::hosts).into_iter().map(source).collect()
    }
}

/// Every assigned instance of an environment, unordered.
pub(crate) fn lines(mirror: &Mirror, environment: &Environment) -> Vec<ProcessLine> {
    let hosts = world::hosts(mirror);
    let around = Around::new(mirror, environment);
    let mut lines = Vec::new();
    for (key, found) in mirror.list::<Assignment>(keys::HOSTS) {
        let assignment = found.value;
        if (&assignment.app, &assignment.environment) != (&environment.app, &environment.name) {
            continue;
        }
        let host =
            key.strip_prefix(keys::HOSTS).and_then(|rest| rest.split('/').next()?.parse::<HostName>().ok());
        let Some(host) = host else { continue };
        let report = hosts.get(&host).map(|report| &report.value.instances);
        for instance in &assignment.instances {
            let seen = report.and_then(|all| all.iter().find(|other| other.id == instance.id));
            let state = seen.map_or(InstanceState::Waiting, |seen| seen.state);
            lines.push(line(&host, instance, seen, role::role(&around.facts(instance, state))));
        }
    }
    lines
}

/// What tells the role of an instance besides its assignment and its report.
struct Around<'e> {
    environment: &'e Environment,
    rollouts: Vec<Arc<Rollout>>,
    pool: BTreeSet<InstanceId>,
    /// Instances that some balancer has open requests on, although they are in no pool.
    draining: BTreeSet<InstanceId>,
}

impl<'e> Around<'e> {
    fn new(mirror: &Mirror, environment: &'e Environment) -> Self {
        let prefix = keys::rollouts(&environment.app, &environment.name);
        let balancers = world::balancers(mirror);
        Self {
            environment,
            rollouts: mirror.unfinished(&prefix).map(|stored| stored.value).collect(),
            pool: pool(mirror, environment),
            draining: balancers.values().flat_map(|report| report.value.draining.keys().copied()).collect(),
        }
    }

    fn facts(&self, instance: &AssignedInstance, state: InstanceState) -> Facts {
        let soaks = |rollout: &&Arc<Rollout>| {
            rollout.state == RolloutState::Soaking && rollout.outgoing.contains(&instance.id)
        };
        let kept = self.environment.warm.iter().any(|warm| warm.release == instance.release);
        Facts {
            desired: instance.desired,
            is_web: instance.process.is_web(),
            is_ready: state == InstanceState::Ready,
            is_current: self.environment.current == Some(instance.release),
            serves: self.pool.contains(&instance.id),
            drains: self.draining.contains(&instance.id),
            is_kept: kept || self.rollouts.iter().any(|rollout| soaks(&rollout)),
            part: self.rollouts.iter().find_map(|rollout| part(rollout, instance.id)),
        }
    }
}

/// Instances that the serving table routes to.
pub(crate) fn pool(mirror: &Mirror, environment: &Environment) -> BTreeSet<InstanceId> {
    let Some(routing) = mirror.value::<RoutingDocument>(keys::ROUTING_TABLE) else { return BTreeSet::new() };
    let pools = routing.serving.routes.iter().map(|route| &route.pool);
    let own = pools.filter(|pool| (&pool.app, &pool.environment) == (&environment.app, &environment.name));
    own.flat_map(|pool| pool.all_members().map(|member| member.instance)).collect()
}

fn line(
    host: &HostName,
    instance: &AssignedInstance,
    seen: Option<&InstanceObservation>,
    role: &str,
) -> ProcessLine {
    let state = seen.map_or(InstanceState::Waiting, |seen| seen.state);
    ProcessLine {
        name: format!("{}.{}", instance.process, instance.index),
        id: instance.id,
        release: instance.release,
        host: host.clone(),
        state,
        role: role.to_owned(),
        started: seen.and_then(|seen| seen.started),
        restarts: seen.map_or(0, |seen| seen.restarts),
        detail: seen.and_then(|seen| seen.detail.clone()),
    }
}

fn rank(role: &str) -> usize {
    ["serving", "running", "starting", "warm", "draining"]
        .iter()
        .position(|other| *other == role)
        .unwrap_or(9)
}
