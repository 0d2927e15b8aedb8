//! The door to every use case; each lives in a file of its own.

use std::sync::Arc;

use tandem_types::environment::Environment;
use tandem_types::keys;
use tandem_types::problem::Problem;
use tandem_types::rollout::Rollout;

use crate::mirror::Versioned;
use crate::place::{Place, RolloutPlace};
use crate::problem;
use crate::shared::Shared;

/// Use cases of the server. Cheap to clone; answers from what is known at the moment of the call.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The environment, or what to tell people who ask for one that is not there.
    pub(crate) fn environment(&self, place: &Place) -> Result<Arc<Environment>, Problem> {
        self.stored_environment(place).map(|stored| stored.value)
    }

    /// The environment with its revision, to be written back.
    pub(crate) fn stored_environment(&self, place: &Place) -> Result<Versioned<Environment>, Problem> {
        let key = keys::environment(&place.app, &place.environment);
        self.shared.look(|mirror| {
            if let Some(environment) = mirror.get(&key) {
                return Ok(environment);
            }
            let environments: Vec<_> = mirror.environments().collect();
            let of_app: Vec<_> = environments.iter().filter(|other| other.app == place.app).collect();
            if of_app.is_empty() {
                let known = environments.iter().map(|other| other.app.as_str());
                return Err(problem::app_not_found(&place.app, known));
            }
            let known = of_app.iter().map(|other| other.name.as_str());
            Err(problem::environment_not_found(place, known))
        })
    }

    /// One rollout of an environment; without a number the latest.
    pub(crate) fn find_rollout(&self, at: &RolloutPlace) -> Result<Versioned<Rollout>, Problem> {
        let Place { app, environment } = &at.place;
        self.environment(&at.place)?;
        let found = self.shared.look(|mirror| match at.number {
            Some(number) => mirror.get(&keys::rollout(app, environment, number)),
            None => mirror
                .list::<Rollout>(&keys::rollouts(app, environment))
                .next_back()
                .map(|(_, rollout)| rollout),
        });
        found.ok_or_else(|| {
            let (title, verb) = match at.number {
                Some(number) => (format!("{} has no rollout {number}", at.place), "rollout list"),
                None => (format!("{} has no rollout yet", at.place), "deploy"),
            };
            Problem::new(404, "rollout_not_found", title)
                .hint(format!("tandem {verb} {}", at.place.arguments()))
        })
    }
}
