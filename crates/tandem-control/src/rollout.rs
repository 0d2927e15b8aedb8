//! Looking at rollouts: their documents, how they ended, and their stories.

use std::sync::Arc;

use futures_util::Stream;
use tandem_types::api::RolloutResult;
use tandem_types::event::RolloutEvent;
use tandem_types::keys;
use tandem_types::problem::Problem;
use tandem_types::rollout::Rollout;

use crate::handle::Handle;
use crate::place::{Place, RolloutPlace};
use crate::problem;

impl Handle {
    /// All rollouts of an environment, the newest first.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`.
    pub fn rollouts(&self, place: &Place) -> Result<Vec<Rollout>, Problem> {
        self.environment(place)?;
        let prefix = keys::rollouts(&place.app, &place.environment);
        let newest_first = |mirror: &crate::mirror::Mirror| {
            mirror.list::<Rollout>(&prefix).rev().map(|(_, rollout)| (*rollout.value).clone()).collect()
        };
        Ok(self.shared.look(newest_first))
    }

    /// One rollout.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`, `rollout_not_found`.
    pub fn rollout(&self, at: &RolloutPlace) -> Result<Rollout, Problem> {
        Ok((*self.find_rollout(at)?.value).clone())
    }

    /// How a rollout stands or ended, as `--json` prints it.
    ///
    /// # Errors
    /// As [`Handle::rollout`].
    pub fn rollout_result(&self, at: &RolloutPlace) -> Result<RolloutResult, Problem> {
        let rollout = self.find_rollout(at)?.value;
        let end = rollout.finished.unwrap_or_else(|| self.shared.now());
        let duration = end.duration_since(rollout.created).as_millis();
        Ok(RolloutResult {
            app: rollout.app.clone(),
            environment: rollout.environment.clone(),
            rollout: rollout.number,
            release: rollout.to,
            build: rollout.build,
            state: rollout.state,
            verdict: rollout.verdict,
            duration_ms: u64::try_from(duration).unwrap_or(0),
            addresses: self.addresses(&at.place),
            problem: rollout.problem.clone(),
            warnings: rollout.warnings.clone(),
        })
    }

    /// The story of a rollout behind event number `after`. With `follow` it goes on until the rollout has ended.
    ///
    /// # Errors
    /// As [`Handle::rollout`]; `internal` where the story cannot be read.
    pub async fn rollout_events(
        &self,
        at: &RolloutPlace,
        after: u64,
        follow: bool,
    ) -> Result<impl Stream<Item = Arc<RolloutEvent>> + Send + use<>, Problem> {
        let rollout = self.find_rollout(at)?.value;
        let key = (rollout.app.clone(), rollout.environment.clone(), rollout.number);
        let refuse = |error| problem::internal("read the story of the rollout", &error);
        let log = self.shared.logs.log(&key, rollout.created).map_err(refuse)?;
        // A crash between the last write and its story leaves the end untold.
        if rollout.state.is_final() {
            log.catch_up(&rollout).map_err(refuse)?;
            self.shared.logs.close(&key);
        }
        Ok(log.stream(after, follow))
    }
}
