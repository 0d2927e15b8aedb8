//! What people read when a rollout does not do what they wanted: what failed, why, and what to type next.

use tandem_types::app::ProcessSpec;
use tandem_types::assignment::{AssignedInstance, JobKind};
use tandem_types::build::Build;
use tandem_types::document::Cause;
use tandem_types::instance::{InstanceObservation, JobState};
use tandem_types::problem::Problem;
use tandem_types::rollout::Rollout;
use tandem_types::{
    BalancerId, BuildNumber, EnvironmentName, HostName, ReleaseNumber, RolloutNumber, defaults,
};

use crate::world::Owner;

/// Code of the problem of a rollout that somebody aborted.
pub(super) const ABORTED: &str = "aborted";

pub(super) fn aborted(number: RolloutNumber, cause: &Cause) -> Problem {
    let reason = match cause.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    Problem::new(409, ABORTED, format!("{number} was aborted by {}{reason}", cause.actor))
}

pub(super) fn domain_taken(domain: &str, owner: &Owner) -> Problem {
    let Owner { app, environment } = owner;
    Problem::new(409, "domain_taken", format!("the domain {domain} belongs to {app} ({environment})"))
        .hint(format!("change `domains` in tandem.toml, or type: tandem app destroy {app}"))
}

pub(super) fn build_gone(release: ReleaseNumber) -> Problem {
    Problem::new(410, "build_gone", format!("the build of {release} is no longer kept"))
        .hint("tandem releases shows which releases still roll back")
}

pub(super) fn nothing_runs(rollout: &Rollout) -> Problem {
    let Rollout { app, environment, .. } = rollout;
    Problem::new(409, "nothing_runs", format!("{app} ({environment}) has no release that runs"))
        .hint(format!("tandem deploy {}", target(rollout)))
}

pub(super) fn no_process(build: &Build) -> Problem {
    Problem::new(422, "no_process", format!("{} of {} has no process to run", build.number, build.app))
        .hint("add a Procfile with a line such as `web: gunicorn app.wsgi --bind 127.0.0.1:$PORT`")
}

pub(super) fn staging_failed(build: BuildNumber, host: &HostName, reason: &str) -> Problem {
    Problem::new(500, "staging_failed", format!("{host} could not check {build} out: {reason}"))
        .hint("tandem status")
}

pub(super) fn staging_timed_out(build: BuildNumber, hosts: &[HostName]) -> Problem {
    let hosts: Vec<_> = hosts.iter().map(HostName::as_str).collect();
    let limit = defaults::STAGE_TIMEOUT;
    let title = format!("{} did not check {build} out within {limit}", hosts.join(", "));
    Problem::new(504, "staging_timed_out", title).hint("tandem status")
}

pub(super) fn job_silent(kind: JobKind, release: ReleaseNumber) -> Problem {
    let name = job_name(kind);
    Problem::new(504, &code(kind, "unknown"), format!("nobody reported how the {name} of {release} ended"))
        .hint("tandem status")
}

pub(super) fn job_failed(
    kind: JobKind,
    release: ReleaseNumber,
    state: &JobState,
    log_tail: &[String],
) -> Problem {
    let name = job_name(kind);
    let problem = match state {
        JobState::TimedOut => Problem::new(
            422,
            &code(kind, "timed_out"),
            format!("the {name} of {release} ran out of its time and was stopped"),
        ),
        JobState::Unknown { reason } => Problem::new(
            500,
            &code(kind, "unknown"),
            format!("nobody knows how the {name} of {release} ended: {reason}"),
        ),
        JobState::NotStarted { reason } => Problem::new(
            500,
            &code(kind, "not_started"),
            format!("the {name} of {release} could not be started: {reason}"),
        ),
        JobState::Ended { exit } => {
            Problem::new(422, &code(kind, "failed"), format!("the {name} of {release} failed: {exit}"))
        }
        JobState::Waiting | JobState::Running => {
            Problem::new(504, &code(kind, "unknown"), format!("the {name} of {release} has not ended"))
        }
    };
    problem.detail(log_tail.join("\n")).hint(job_hint(kind, state))
}

fn job_hint(kind: JobKind, state: &JobState) -> &'static str {
    match (kind, state) {
        (JobKind::Release, JobState::Unknown { .. }) => {
            "look at the database before you deploy again: the command is never repeated by itself"
        }
        (JobKind::Release, JobState::TimedOut) => {
            "raise `timeout` in [release] of tandem.toml and deploy again"
        }
        (JobKind::Release, _) => {
            "mend the command in [release] of tandem.toml or what it runs, and deploy again"
        }
        (JobKind::Smoke, _) => "mend what the app says when it is imported, and deploy again",
    }
}

fn job_name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Smoke => "smoke check",
        JobKind::Release => "release phase",
    }
}

fn code(kind: JobKind, what: &str) -> String {
    match kind {
        JobKind::Smoke => format!("smoke_{what}"),
        JobKind::Release => format!("release_{what}"),
    }
}

pub(super) fn never_healthy(
    rollout: &Rollout,
    instance: &AssignedInstance,
    observed: Option<&InstanceObservation>,
) -> Problem {
    let AssignedInstance { process, index, release, spec, .. } = instance;
    let budget = defaults::READINESS_BUDGET;
    let why = match why(observed) {
        Some(why) => format!(": {why}"),
        None => ": its runner has not reported".to_owned(),
    };
    let title = match observed.filter(|i| i.restarts > 0) {
        Some(seen) => {
            format!("{process}.{index} of {release} ended {} times at its start{why}", seen.restarts + 1)
        }
        None => format!("{process}.{index} of {release} did not become healthy within {budget}{why}"),
    };
    Problem::new(422, "never_healthy", title).detail(log_tail(observed)).hint(format!(
        "tandem logs {} --release {release}{}",
        target(rollout),
        health_hint(instance, spec)
    ))
}

fn health_hint(instance: &AssignedInstance, spec: &ProcessSpec) -> String {
    if instance.process.is_web() {
        format!(" (probed: {}; it must listen on 127.0.0.1:$PORT)", spec.health)
    } else {
        String::new()
    }
}

pub(super) fn died(
    rollout: &Rollout,
    instance: &AssignedInstance,
    observed: Option<&InstanceObservation>,
) -> Problem {
    let AssignedInstance { process, index, release, .. } = instance;
    let why = why(observed).map_or(String::new(), |why| format!(": {why}"));
    let title =
        format!("every instance of {release} failed after the traffic had moved; {process}.{index}{why}");
    Problem::new(422, "instances_died", title)
        .detail(log_tail(observed))
        .hint(format!("tandem logs {} --release {release}", target(rollout)))
}

fn why(observed: Option<&InstanceObservation>) -> Option<String> {
    let observed = observed?;
    let exit = observed.last_exit.as_ref().map(ToString::to_string);
    Some(observed.detail.clone().or(exit).unwrap_or_else(|| "not ready".to_owned()))
}

fn log_tail(observed: Option<&InstanceObservation>) -> String {
    observed.map_or(String::new(), |instance| instance.log_tail.join("\n"))
}

pub(super) fn balancer_refused(balancer: &BalancerId, why: &str) -> Problem {
    Problem::new(
        502,
        "balancer_refused",
        format!("the balancer {balancer} cannot serve the new routes: {why}"),
    )
    .hint("tandem status")
}

pub(super) fn unconfirmed(balancers: &[BalancerId]) -> String {
    if balancers.is_empty() {
        return "unconfirmed: no balancer reports; traffic moves when one does".to_owned();
    }
    let names: Vec<_> = balancers.iter().map(BalancerId::as_str).collect();
    format!(
        "unconfirmed: {} may still serve older routes; nothing it may route to is stopped until it reports",
        names.join(", ")
    )
}

/// `1 host`, `2 hosts`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// How to name the environment on the command line.
fn target(rollout: &Rollout) -> String {
    let Rollout { app, environment, .. } = rollout;
    if *environment == EnvironmentName::production() {
        format!("--app {app}")
    } else {
        format!("--app {app} --env {environment}")
    }
}
