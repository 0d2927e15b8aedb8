//! Apps and environments come to be: by name, or with their first deploy.

use tandem_store::{Error, Expect, Transaction};
use tandem_types::api::Installation;
use tandem_types::app::App;
use tandem_types::document::Cause;
use tandem_types::environment::Environment;
use tandem_types::problem::Problem;
use tandem_types::{BuildNumber, defaults, keys};

use super::busy;
use crate::handle::Handle;
use crate::place::Place;
use crate::problem;
use crate::shared::MOST_ATTEMPTS;

impl Handle {
    /// Creates what is missing of an environment and its app. Says whether anything was.
    pub(crate) async fn ensure_environment(&self, place: &Place, cause: &Cause) -> Result<bool, Problem> {
        for _ in 0..MOST_ATTEMPTS {
            if self.environment(place).is_ok() {
                return Ok(false);
            }
            match self.shared.commit(self.creation(place, cause)?).await {
                Ok(_) => return Ok(true),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("create the app", &error)),
            }
        }
        Err(busy(place))
    }

    /// User ids are given once and never again: files of a destroyed app must not become another's.
    fn creation(&self, place: &Place, cause: &Cause) -> Result<Transaction, Problem> {
        let now = self.shared.now();
        let stored = self.shared.get::<Installation>(keys::INSTALLATION);
        let stored = stored.ok_or_else(|| busy(place))?;
        let installation = &stored.value;
        if installation.next_uid > defaults::LAST_UID {
            return Err(Problem::new(507, "out_of_user_ids", "all user ids for apps have been given out"));
        }
        let environment =
            Environment::new(place.app.clone(), place.environment.clone(), installation.next_uid, now);
        let next = Installation { next_uid: installation.next_uid + 1, ..(**installation).clone() };
        let cause = Cause { action: "app.create".to_owned(), ..cause.clone() };
        let transaction = Transaction::new(cause).put(keys::INSTALLATION, &next, stored.unchanged()).put(
            keys::environment(&place.app, &place.environment),
            &environment,
            Expect::Absent,
        );
        let key = keys::app(&place.app);
        if self.shared.value::<App>(&key).is_some() {
            return self.with_living_app(&place.app, transaction);
        }
        let app = App { name: place.app.clone(), created: now, next_build: BuildNumber(1), destroying: None };
        Ok(transaction.put(key, &app, Expect::Absent))
    }
}
