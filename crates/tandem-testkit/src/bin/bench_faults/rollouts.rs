//! Rollouts as the server tells of them.

use std::time::Duration;

use anyhow::Context as _;
use tandem_testkit::wait::within;
use tandem_types::rollout::{Rollout, RolloutState};
use tandem_types::{RolloutNumber, Timestamp};

use crate::ground::Site;

/// Time a rollout has to end after a fault: the longest step of its own is a minute.
const END: Duration = Duration::from_secs(150);
/// Time a command that outlived a fault has to be heard.
const BEGIN: Duration = Duration::from_secs(5);

impl Site {
    /// The latest rollout of an app; none before its first.
    pub(crate) fn latest_rollout(&self, app: &str) -> anyhow::Result<Option<Rollout>> {
        let listed = self.told(&["rollout", "list", "--json", "-n", "1", "--app", app]);
        let rollouts: Vec<Rollout> = serde_json::from_value(listed).context("read the list of rollouts")?;
        Ok(rollouts.into_iter().next())
    }

    /// Waits for the end of the rollout after `before`, where there is one. None: nothing was begun.
    pub(crate) fn ended_after(
        &self,
        app: &str,
        before: RolloutNumber,
        may_come: bool,
    ) -> anyhow::Result<Option<Rollout>> {
        let mut found = Ok(None);
        let mut look = || {
            found = self.latest_rollout(app).map(|found| found.filter(|found| found.number > before));
            found.as_ref().is_ok_and(Option::is_some).then_some(())
        };
        let begun = if may_come { within(BEGIN, look) } else { look() };
        if begun.is_none() {
            return found;
        }
        let ended = within(END, || {
            let latest = self.latest_rollout(app).ok()??;
            latest.state.is_final().then_some(latest)
        });
        ended.map(Some).with_context(|| format!("a rollout of {app} has not ended within {END:?}"))
    }
}

/// How a rollout ended, in words that can be counted.
pub(crate) fn outcome(rollout: Option<&Rollout>) -> String {
    let Some(rollout) = rollout else { return "not begun".to_owned() };
    let code = rollout.problem.as_ref().map_or("without a reason", |problem| problem.code.as_str());
    match rollout.state {
        RolloutState::Completed => "finished".to_owned(),
        RolloutState::Reverted => "went back".to_owned(),
        _ if code.contains("unknown") => "unknown".to_owned(),
        RolloutState::Aborted => "aborted".to_owned(),
        _ => format!("failed: {code}"),
    }
}

/// When the rollout took its first step after a time.
pub(crate) fn first_step_after(rollout: &Rollout, time: Timestamp) -> Option<Timestamp> {
    let times = rollout.steps.iter().flat_map(|step| [Some(step.started), step.finished]);
    times.flatten().filter(|step| *step > time).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout() -> Rollout {
        let golden = include_str!("../../../../tandem-types/src/golden/stored/rollout-2.jsonl");
        serde_json::from_str(golden.lines().next().expect("a line")).expect("a rollout")
    }

    #[test]
    fn outcomes_are_told_apart_by_state_and_reason() {
        let failed = Rollout { state: RolloutState::Failed, ..rollout() };
        assert_eq!(outcome(Some(&failed)), "failed: release_failed");
        assert_eq!(outcome(Some(&Rollout { state: RolloutState::Completed, ..rollout() })), "finished");
        let mut unknown = failed;
        unknown.problem.as_mut().expect("a problem").code = "release_unknown".to_owned();
        assert_eq!(outcome(Some(&unknown)), "unknown");
        assert_eq!(outcome(None), "not begun");
    }

    #[test]
    fn the_first_step_is_the_first_change_of_any_step() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let first = first_step_after(&rollout(), time("2026-11-21T12:00:00.5Z"));
        assert_eq!(first, Some(time("2026-11-21T12:00:01Z")));
        assert_eq!(first_step_after(&rollout(), time("2026-11-21T12:00:01Z")), None);
    }
}
