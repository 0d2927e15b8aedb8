//! How a rollout ended: gathered from the server, told in one line, turned into an exit code.

use tandem_types::api::{AppSummary, RolloutResult};
use tandem_types::rollout::{Rollout, RolloutState, Verdict};

use super::{Followed, name_of};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::milliseconds;
use crate::session::Session;

/// Asks for the rollout as it stands now and for the addresses of its environment.
pub(super) async fn gather(session: &Session, followed: &Followed) -> Result<RolloutResult, Failure> {
    let client = session.client()?;
    let rollout: Rollout =
        client.get(&followed.place.path(&format!("rollouts/{}", followed.rollout))).await?;
    let app: AppSummary = client.get(&format!("/v1/apps/{}", followed.place.app)).await?;
    let environment = app.environments.into_iter().find(|e| e.name == followed.place.environment);
    let total = followed.begun.map(|begun| session.clock.monotonic().elapsed_since(begun));
    let duration_ms = total.map_or_else(
        || own_duration(&rollout, session.clock.now()),
        |total| u64::try_from(total.as_millis()).unwrap_or(u64::MAX),
    );
    Ok(RolloutResult {
        app: rollout.app,
        environment: rollout.environment,
        rollout: rollout.number,
        release: rollout.to,
        build: rollout.build,
        state: rollout.state,
        verdict: rollout.verdict,
        duration_ms,
        addresses: environment.map(|e| e.addresses).unwrap_or_default(),
        problem: rollout.problem,
        warnings: rollout.warnings,
    })
}

fn own_duration(rollout: &Rollout, now: jiff::Timestamp) -> u64 {
    let end = rollout.finished.or(rollout.shifted).unwrap_or(now);
    u64::try_from(end.duration_since(rollout.created).as_millis()).unwrap_or_default()
}

/// The result on standard output, then what [`told`] makes of it.
pub(super) fn tell(session: &Session, result: &RolloutResult) -> Result<Exit, Failure> {
    if session.output.json {
        session.output.value(result)?;
    } else if !has_failed(result.state) {
        session.output.line(success_line(result))?;
        if !result.state.is_final() {
            let (state, rollout) = (name_of(result.state), result.rollout);
            session
                .output
                .note(format!("{state} goes on; `tandem rollout watch {rollout}` shows the verdict"));
        }
    }
    told(result)
}

/// The exit code of a result, the failure with its reason.
pub(super) fn told(result: &RolloutResult) -> Result<Exit, Failure> {
    if !has_failed(result.state) {
        return Ok(Exit::Done);
    }
    Err(match &result.problem {
        Some(problem) => Failure::from(problem.clone()),
        None => Failure::new(format!("{} was {}", result.rollout, ended_as(result.state)))
            .hint(format!("`tandem rollout watch {}` shows its steps", result.rollout)),
    })
}

/// Release, verdict, total time and URL: what people look for at the end.
fn success_line(result: &RolloutResult) -> String {
    let release = result.release.map_or_else(|| result.rollout.to_string(), |release| release.to_string());
    format!("{release} is live: {}", facts(result))
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
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_release_verdict_time_and_address() {
        let result = RolloutResult {
            app: "shop".parse().expect("a name"),
            environment: "production".parse().expect("a name"),
            rollout: tandem_types::RolloutNumber(3),
            release: Some(tandem_types::ReleaseNumber(12)),
            build: None,
            state: RolloutState::Completed,
            verdict: Verdict::Pass,
            duration_ms: 4_321,
            addresses: vec!["http://shop.localhost:8080".into()],
            problem: None,
            warnings: Vec::new(),
        };
        assert_eq!(success_line(&result), "r12 is live: verdict pass, 4.3 s, http://shop.localhost:8080");
    }
}
