//! `rollout abort`: written into the rollout, which follows at its next step.

use tandem_store::{Error, Transaction};
use tandem_types::api::Reason;
use tandem_types::keys;
use tandem_types::problem::Problem;
use tandem_types::rollout::Rollout;

use crate::handle::Handle;
use crate::place::RolloutPlace;
use crate::problem;
use crate::shared::{MOST_ATTEMPTS, cause};
use crate::start::busy;

impl Handle {
    /// Asks a rollout to end. Before its shift the old release is untouched; after it the traffic goes back. Asking
    /// twice is the same as once.
    ///
    /// # Errors
    /// `rollout_not_found`; `rollout_finished` where it has ended.
    pub async fn abort(&self, actor: &str, at: &RolloutPlace, reason: Reason) -> Result<Rollout, Problem> {
        for _ in 0..MOST_ATTEMPTS {
            let stored = self.find_rollout(at)?;
            let rollout = &stored.value;
            if rollout.state.is_final() {
                let title = format!("{} of {} has ended already", rollout.number, at.place);
                return Err(Problem::new(409, "rollout_finished", title).hint(format!(
                    "tandem rollback {} goes back to the release before",
                    at.place.arguments()
                )));
            }
            if rollout.abort.is_some() {
                return Ok((**rollout).clone());
            }
            let cause = cause(actor, "rollout.abort", reason.reason.clone(), &at.place);
            let aborted = Rollout { abort: Some(cause.clone()), ..(**rollout).clone() };
            let key = keys::rollout(&rollout.app, &rollout.environment, rollout.number);
            let transaction = Transaction::new(cause).put(key, &aborted, stored.unchanged());
            match self.shared.commit(transaction).await {
                Ok(_) => return Ok(aborted),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("abort the rollout", &error)),
            }
        }
        Err(busy(&at.place))
    }
}
