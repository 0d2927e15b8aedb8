//! What people read when a rollout does not do what they wanted: what failed, why, and what to type next.

use tandem_types::app::ProcessSpec;
use tandem_types::assignment::{AssignedInstance, JobKind};
use tandem_types::build::Build;
use tandem_types::document::Cause;
use tandem_types::environment::Config;
use tandem_types::instance::{DISK_IS_LOW, Exit, InstanceObservation, InstanceState, JobState, TRIES_AGAIN};
use tandem_types::problem::Problem;
use tandem_types::rollout::Rollout;
use tandem_types::{
    BalancerId, BuildNumber, EnvironmentName, HostName, ReleaseNumber, RolloutNumber, defaults,
};

mod gate;

pub(super) use gate::{exposed, not_ready_yet};

use crate::world::Owner;

/// What a shell ends with when it does not find a program (POSIX, 2.8.2).
const NOT_FOUND: i32 = 127;
/// Code of the problem of a rollout that somebody aborted.
pub(super) const ABORTED: &str = "aborted";

pub(super) fn aborted(number: RolloutNumber, cause: &Cause) -> Problem {
    let reason = match cause.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    Problem::new(409, ABORTED, format!("{number} was aborted by {}{reason}", cause.actor))
}

/// The domain is one that the app file names, or, where it was not `declared`, one that follows from the app's name.
pub(super) fn domain_taken(domain: &str, declared: bool, owner: &Owner) -> Problem {
    let Owner { app, environment } = owner;
    let hint = if declared {
        "change `domains` in tandem.toml and deploy again".to_owned()
    } else {
        format!("change `domains` in the tandem.toml of {app} and deploy {app} first")
    };
    Problem::new(409, "domain_taken", format!("the domain {domain} belongs to {app}/{environment}"))
        .hint(hint)
}

/// Adds to a failed change of config what becomes of the values in question.
pub(super) fn config_stays(
    rollout: &Rollout,
    names: &[String],
    config: &Config,
    problem: Problem,
) -> Problem {
    let (set, unset): (Vec<_>, Vec<_>) =
        names.iter().map(String::as_str).partition(|name| config.values.contains_key(*name));
    let target = target(rollout);
    let mut hints = Vec::new();
    if !set.is_empty() {
        let verb = if set.len() == 1 { "stays set and comes" } else { "stay set and come" };
        hints.push(format!(
            "{} {verb} with the next release: `tandem config unset {} {target}`, or set anew",
            set.join(", "),
            set.join(" ")
        ));
    }
    if !unset.is_empty() {
        let verb = if unset.len() == 1 { "stays unset" } else { "stay unset" };
        hints.push(format!(
            "{} {verb} in the next release: `tandem config set {}=… {target}` brings it back",
            unset.join(", "),
            unset[0]
        ));
    }
    hints.extend(Some(problem.hint.clone()).filter(|hint| !hint.is_empty()));
    problem.hint(hints.join("; "))
}

pub(super) fn build_gone(release: ReleaseNumber) -> Problem {
    Problem::new(410, "build_gone", format!("the build of {release} is no longer kept"))
        .hint("`tandem releases` shows which releases still roll back")
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

pub(super) fn host_silent(build: BuildNumber, hosts: &[HostName]) -> Problem {
    let hosts: Vec<_> = hosts.iter().map(HostName::as_str).collect();
    let title = format!("the runner of {} does not report, so {build} is not there", hosts.join(", "));
    Problem::new(504, "host_silent", title).hint(
        "on that host, see whether `tandem runner` (or `tandem up`) runs or hangs, and deploy again once \
         `tandem status` shows it live",
    )
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
        // The reason says what is wrong on the host, and mostly what to type there.
        (_, JobState::NotStarted { .. }) => "mend what is said above and deploy again",
        (JobKind::Release, JobState::Unknown { .. }) => {
            "look at the database before you deploy again: the command is never repeated by itself"
        }
        (JobKind::Release, JobState::TimedOut) => {
            "raise `timeout` in [release] of tandem.toml and deploy again"
        }
        (JobKind::Release, _) => {
            "mend the command in [release] of tandem.toml or what it runs, and deploy again"
        }
        (JobKind::Smoke, JobState::TimedOut) => {
            "find what the app waits for when it is imported, and deploy again"
        }
        (JobKind::Smoke, JobState::Unknown { .. }) => {
            "deploy again; `tandem status` shows whether the host is well"
        }
        (JobKind::Smoke, _) => "mend what the app says when it is imported, and deploy again",
        // No rollout has one.
        (JobKind::Run, _) => "`tandem sessions` tells how it ended",
    }
}

fn job_name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Smoke => "smoke check",
        JobKind::Release => "release phase",
        JobKind::Run => "one-off command",
    }
}

fn code(kind: JobKind, what: &str) -> String {
    match kind {
        JobKind::Smoke => format!("smoke_{what}"),
        JobKind::Release => format!("release_{what}"),
        JobKind::Run => format!("run_{what}"),
    }
}

pub(super) fn never_healthy(
    rollout: &Rollout,
    instance: &AssignedInstance,
    observed: Option<&InstanceObservation>,
) -> Problem {
    let AssignedInstance { process, index, release, .. } = instance;
    let what = match observed {
        Some(seen) if seen.state == InstanceState::Crashed => ended_at_start(seen),
        Some(seen) if seen.found.lasting => {
            format!("is not let in: {}", seen.detail.as_deref().unwrap_or("its answers are not good"))
        }
        _ => {
            let why = why(observed).unwrap_or_else(|| "its runner has not reported".to_owned());
            format!("did not become healthy within {}: {why}", defaults::READINESS_BUDGET)
        }
    };
    Problem::new(422, "never_healthy", format!("{process}.{index} of {release} {what}"))
        .detail(log_tail(observed))
        .hint(start_hint(rollout, instance, observed))
}

/// The runner's own words say when it starts the instance again, which a rollout that ends here makes untrue.
fn ended_at_start(seen: &InstanceObservation) -> String {
    if let Some(why) = not_started(seen) {
        return format!("could not be started: {why}");
    }
    let times = match seen.restarts {
        0 => "once".to_owned(),
        restarts => format!("{} times", restarts + 1),
    };
    let how = match &seen.last_exit {
        Some(exit @ Exit { out_of_memory: false, code: Some(_), .. }) => format!(", last with {exit}"),
        Some(exit) => format!(", last {exit}"),
        None => String::new(),
    };
    format!("ended {times} at its start{how}")
}

/// Why its host could not even begin it, such as a full disk.
fn not_started(seen: &InstanceObservation) -> Option<&str> {
    let why = seen.detail.as_deref().filter(|_| seen.last_exit.is_none())?;
    Some(why.rsplit_once(TRIES_AGAIN).map_or(why, |(why, _)| why))
}

/// Where to look, and what to change where the end tells it.
fn start_hint(
    rollout: &Rollout,
    instance: &AssignedInstance,
    observed: Option<&InstanceObservation>,
) -> String {
    let AssignedInstance { process, release, spec, .. } = instance;
    let logs = format!("tandem logs {} --release {release}", target(rollout));
    let ended = observed.filter(|seen| seen.state == InstanceState::Crashed);
    if let Some(why) = ended.and_then(not_started) {
        return host_hint(why).to_owned();
    }
    if let Some(advice) = observed.filter(|_| ended.is_none()).and_then(|seen| seen.found.advice.as_ref()) {
        return format!("{advice}; {logs}");
    }
    match ended.and_then(|seen| seen.last_exit.as_ref()) {
        Some(exit) if exit.out_of_memory => {
            let limit = memory(spec);
            format!("raise `memory` in [processes.{process}] of tandem.toml, which is {limit} now; {logs}")
        }
        Some(Exit { code: Some(NOT_FOUND), .. }) => {
            let command = &spec.command;
            format!("a program of the command of {process} was not found: {command}; {logs}")
        }
        _ if process.is_web()
            && observed.and_then(|seen| seen.detail.as_deref()).is_some_and(has_answered) =>
        {
            format!("{logs} has what it said meanwhile (probed: {})", spec.health)
        }
        _ if process.is_web() => {
            format!("{logs} (probed: {}; it must listen on 127.0.0.1:$PORT)", spec.health)
        }
        _ => logs,
    }
}

/// Whether it listens where it should, and only what it says there is not good: `GET / answered 500: …`.
fn has_answered(detail: &str) -> bool {
    detail.contains(" answered ") && !detail.contains("was not answered")
}

/// `tandem status` tells of disks; anything else that a host lacks is said nowhere but in the reason.
fn host_hint(why: &str) -> &'static str {
    if why.ends_with(DISK_IS_LOW) {
        return "`tandem status` tells what its host lacks, such as room; mend that and try again";
    }
    "mend what is said above and try again"
}

/// The memory limit as the app file writes it.
fn memory(spec: &ProcessSpec) -> String {
    const MIB: u64 = 1024 * 1024;
    match spec.memory_bytes {
        bytes if bytes % MIB == 0 => format!("{}MiB", bytes / MIB),
        bytes => format!("{bytes} bytes"),
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
    let detail = observed.detail.clone();
    let said = if observed.state == InstanceState::Crashed { exit.or(detail) } else { detail.or(exit) };
    Some(said.unwrap_or_else(|| "not ready".to_owned()))
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
        "unconfirmed: {} may still serve older routes; nothing it may route to is stopped until it reports, or until \
         `tandem balancer remove {}` where it is gone for good",
        names.join(", "),
        names[0]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_could_not_be_started_is_not_said_to_have_ended() {
        let why = "start the process: create spec.json: No space left on device";
        let detail = format!("{why}{DISK_IS_LOW}{TRIES_AGAIN} in 2s");
        let seen = serde_json::json!({
            "id": "i1", "app": "shop", "environment": "production", "release": "r1", "process": "web", "index": 1,
            "state": "crashed", "restarts": 2, "detail": detail,
        });
        let seen: InstanceObservation = serde_json::from_value(seen).unwrap();
        assert_eq!(ended_at_start(&seen), format!("could not be started: {why}{DISK_IS_LOW}"));
        let ended = InstanceObservation { detail: None, ..seen };
        assert_eq!(ended_at_start(&ended), "ended 3 times at its start");
    }

    #[test]
    fn only_where_a_disk_is_low_is_a_person_sent_to_see_what_the_host_lacks() {
        assert!(host_hint(&format!("create spec.json{DISK_IS_LOW}")).contains("tandem status"));
        let other = host_hint("start the process: /srv/uploads is no folder");
        assert_eq!(other, "mend what is said above and try again");
    }
}
