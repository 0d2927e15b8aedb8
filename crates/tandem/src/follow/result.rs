//! How a rollout ended: gathered from the server, told in one line, turned into an exit code.
//!
//! Nothing is called live, and no exit code is 0, unless the server's own record says that the traffic moved: what the
//! stream of events told, or that it ended, proves nothing.

use std::collections::{BTreeMap, HashSet};

use tandem_types::ProcessType;
use tandem_types::api::{AppSummary, RolloutResult};
use tandem_types::rollout::{Rollout, RolloutKind, RolloutState, Verdict};

use super::stream::patiently;
use super::{Followed, Until, name_of};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::milliseconds;
use crate::session::Session;

/// A rollout as it stands when the command is done with it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What `--json` prints.
    pub(crate) result: RolloutResult,
    kind: RolloutKind,
    /// Process types of a restart; empty: all.
    processes: Vec<ProcessType>,
    /// Numbers that a change of scale asks for.
    scale: BTreeMap<ProcessType, u32>,
    /// Numbers of the environment, with those of `scale`.
    wanted: BTreeMap<ProcessType, u32>,
    shifted: bool,
    /// Lines of output that were shown.
    pub(super) streamed: HashSet<String>,
    /// What must be added to a command so that it means this place.
    target: String,
}

impl Outcome {
    /// Whether the new release serves: confirmed by the balancers, and not gone back on.
    fn has_moved(&self) -> bool {
        let result = &self.result;
        let moved = moved(result.state, self.shifted);
        moved && result.release.is_some() && result.verdict != Verdict::Fail
    }

    /// Whether the server's own words say what becomes of changed config values.
    pub(crate) fn tells_of_values(&self) -> bool {
        let problem = self.result.problem.as_ref();
        problem.is_some_and(|problem| {
            ["stays set", "stay set", "config unset"].iter().any(|words| problem.hint.contains(words))
        })
    }

    /// Whether all lines of a failure's detail were on the screen just before.
    fn has_shown(&self, detail: &str) -> bool {
        detail.lines().map(str::trim).filter(|line| !line.is_empty()).all(|line| self.streamed.contains(line))
    }
}

/// Whether there is nothing to wait for any more.
pub(super) fn is_settled(rollout: &Rollout, until: Until) -> bool {
    let flipped = moved(rollout.state, rollout.shifted.is_some()) || has_failed(rollout.state);
    rollout.state.is_final() || (until == Until::Flip && flipped)
}

fn moved(state: RolloutState, shifted: bool) -> bool {
    match state {
        RolloutState::Draining | RolloutState::Soaking | RolloutState::Completed => true,
        RolloutState::Committing => shifted,
        _ => false,
    }
}

/// The rollout as it stands now.
pub(super) async fn read(session: &Session, followed: &Followed) -> Result<Rollout, Failure> {
    patiently(session, &followed.place.path(&format!("rollouts/{}", followed.rollout))).await
}

/// Adds the addresses and numbers of its environment to a rollout.
pub(super) async fn gather(
    session: &Session,
    followed: &Followed,
    rollout: Rollout,
) -> Result<Outcome, Failure> {
    let app: AppSummary = patiently(session, &format!("/v1/apps/{}", followed.place.app)).await?;
    let environment = app.environments.into_iter().find(|e| e.name == followed.place.environment);
    let (addresses, mut wanted) = environment.map(|e| (e.addresses, e.wanted)).unwrap_or_default();
    // They become the environment's own only when the rollout completes.
    wanted.extend(rollout.scale.clone());
    let total = followed.begun.map(|begun| session.clock.monotonic().elapsed_since(begun));
    let duration_ms = total.map_or_else(
        || own_duration(&rollout, session.clock.now()),
        |total| u64::try_from(total.as_millis()).unwrap_or(u64::MAX),
    );
    Ok(Outcome {
        kind: rollout.kind,
        processes: rollout.processes,
        scale: rollout.scale,
        wanted,
        shifted: rollout.shifted.is_some(),
        streamed: HashSet::new(),
        target: session.target(&followed.place),
        result: RolloutResult {
            app: rollout.app,
            environment: rollout.environment,
            rollout: rollout.number,
            release: rollout.to,
            build: rollout.build,
            state: rollout.state,
            verdict: rollout.verdict,
            duration_ms,
            addresses,
            problem: rollout.problem,
            warnings: rollout.warnings,
        },
    })
}

fn own_duration(rollout: &Rollout, now: jiff::Timestamp) -> u64 {
    let end = rollout.finished.or(rollout.shifted).unwrap_or(now);
    u64::try_from(end.duration_since(rollout.created).as_millis()).unwrap_or_default()
}

/// The result on standard output, then what [`told`] makes of it.
pub(super) fn tell(session: &Session, outcome: &Outcome) -> Result<Exit, Failure> {
    let result = &outcome.result;
    if session.output.json {
        session.output.value(result)?;
    } else if outcome.has_moved() {
        session.output.line(success_line(outcome))?;
        if !result.state.is_final() {
            let (state, rollout, target) = (name_of(result.state), result.rollout, &outcome.target);
            let watch = format!("tandem rollout watch {rollout}{target}");
            session.output.note(format!("{state} goes on; `{watch}` shows the verdict"));
        }
    }
    told(outcome)
}

/// The exit code of a result, the failure with its reason.
pub(super) fn told(outcome: &Outcome) -> Result<Exit, Failure> {
    if outcome.has_moved() {
        return Ok(Exit::Done);
    }
    let result = &outcome.result;
    let (rollout, target) = (result.rollout, &outcome.target);
    let watch = format!("`tandem rollout watch {rollout}{target}` shows its steps");
    Err(match &result.problem {
        Some(problem) if outcome.has_shown(&problem.detail) => {
            Failure::from(problem.clone()).without_detail().or_hint(watch)
        }
        Some(problem) => Failure::from(problem.clone()).or_hint(watch),
        None if has_failed(result.state) => {
            Failure::new(format!("{rollout} was {}", ended_as(result.state))).hint(watch)
        }
        None => Failure::new(format!(
            "whether {rollout} moves the traffic is not known yet: its state is {}",
            name_of(result.state)
        ))
        .hint(watch)
        .code("outcome_unknown"),
    })
}

/// What happened, verdict, total time and URL: what people look for at the end.
fn success_line(outcome: &Outcome) -> String {
    let result = &outcome.result;
    let release = result.release.map_or_else(|| result.rollout.to_string(), |release| release.to_string());
    let facts = facts(result);
    if has_lost_web(outcome) {
        let answers = match result.addresses.as_slice() {
            [] => String::new(),
            [one] => format!("; {one} answers 503"),
            several => format!("; {} answer 503", several.join(", ")),
        };
        return format!("{release} has no web instances now{answers}");
    }
    match outcome.kind {
        RolloutKind::Deploy | RolloutKind::Rollback => format!("{release} is live: {facts}"),
        RolloutKind::Config => format!("{release} runs with the new config: {facts}"),
        RolloutKind::Restart => format!("{} in new instances: {facts}", restarted(outcome, &release)),
        RolloutKind::Scale => format!("{}: {facts}", numbers(&outcome.wanted)),
    }
}

/// Whether there is no web instance; a change of other numbers does not tell it anew.
fn has_lost_web(outcome: &Outcome) -> bool {
    let numbers = if outcome.kind == RolloutKind::Scale { &outcome.scale } else { &outcome.wanted };
    numbers.get(&ProcessType::web()) == Some(&0)
}

fn restarted(outcome: &Outcome, release: &str) -> String {
    match outcome.processes.as_slice() {
        [] => format!("{release} runs"),
        [one] => format!("{one} of {release} runs"),
        several => {
            let names: Vec<&str> = several.iter().map(ProcessType::as_str).collect();
            format!("{} of {release} run", names.join(", "))
        }
    }
}

/// `web 3, worker 1`.
fn numbers(wanted: &BTreeMap<ProcessType, u32>) -> String {
    let parts: Vec<String> = wanted.iter().map(|(process, number)| format!("{process} {number}")).collect();
    parts.join(", ")
}

/// Verdict, time and addresses.
pub(crate) fn facts(result: &RolloutResult) -> String {
    let verdict = match result.verdict {
        Verdict::Pass => "verdict pass",
        Verdict::Fail => "verdict fail",
        Verdict::Undecided => "verdict undecided",
    };
    let mut facts = format!("{verdict}, {}", milliseconds(result.duration_ms));
    for address in &result.addresses {
        facts.push_str(&format!(", {address}"));
    }
    facts
}

fn has_failed(state: RolloutState) -> bool {
    matches!(
        state,
        RolloutState::Failed
            | RolloutState::Reverted
            | RolloutState::Aborted
            | RolloutState::Reverting
            | RolloutState::Cleaning
    )
}

fn ended_as(state: RolloutState) -> &'static str {
    match state {
        RolloutState::Aborted => "aborted: the release before it serves on",
        RolloutState::Reverted | RolloutState::Reverting => "reverted: the release before it serves again",
        _ => "not carried out: the release before it serves on",
    }
}

#[cfg(test)]
mod tests;
