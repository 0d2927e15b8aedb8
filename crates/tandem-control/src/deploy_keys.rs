//! `key create|show|remove`: one key an app, with which its source is fetched over SSH. The private half is sealed like
//! a config value before it reaches the store, and no request brings it out again.

use tandem_build::git::fingerprint_of;
use tandem_store::{Error, Expect, Transaction};
use tandem_types::document::Cause;
use tandem_types::git::{DeployKey, PublicKey};
use tandem_types::problem::Problem;
use tandem_types::{AppName, keys};

use crate::handle::Handle;
use crate::place::Place;
use crate::problem;
use crate::shared::cause;

impl Handle {
    /// Makes the app's key, and the app where there is none yet: a key comes before the first deploy.
    ///
    /// # Errors
    /// `key_exists`, `app_destroying`, `ssh_missing`.
    pub async fn create_deploy_key(&self, actor: &str, app: &AppName) -> Result<PublicKey, Problem> {
        let key = keys::deploy_key(app);
        if self.shared.value::<DeployKey>(&key).is_some() {
            return Err(exists(app));
        }
        let place = Place::production(app.clone());
        self.ensure_environment(&place, &about(actor, "key.create", app, "")).await?;
        let pair = self.shared.builder.create_key(app.clone()).await?;
        let fingerprint = fingerprint_of(&pair.public).unwrap_or_default();
        let private = self.shared.keyring.seal(&pair.private);
        let private = private.map_err(|error| problem::internal("seal the deploy key", &error))?;
        let (app, created) = (app.clone(), self.shared.now());
        let made = DeployKey { app: app.clone(), public: pair.public, fingerprint, private, created };
        let transaction = Transaction::new(about(actor, "key.create", &app, &made.fingerprint));
        let transaction = self.with_living_app(&app, transaction)?.put(key, &made, Expect::Absent);
        match self.shared.commit(transaction).await {
            Ok(_) => Ok(PublicKey::from(&made)),
            Err(Error::Conflict { .. }) => Err(exists(&app)),
            Err(error) => Err(problem::store("keep the deploy key", &error)),
        }
    }

    /// The public half of the app's key.
    ///
    /// # Errors
    /// `app_not_found`, `key_not_found`.
    pub fn deploy_key(&self, app: &AppName) -> Result<PublicKey, Problem> {
        self.app(app)?;
        let key = self.shared.value::<DeployKey>(&keys::deploy_key(app));
        key.map(|key| PublicKey::from(&*key)).ok_or_else(|| {
            Problem::new(404, "key_not_found", format!("{app} has no deploy key"))
                .hint(format!("tandem key create --app {app}"))
        })
    }

    /// Forgets the app's key. What was built with it stays.
    ///
    /// # Errors
    /// `app_not_found`, `key_not_found`.
    pub async fn remove_deploy_key(&self, actor: &str, app: &AppName) -> Result<PublicKey, Problem> {
        let key = self.deploy_key(app)?;
        let transaction = Transaction::new(about(actor, "key.remove", app, &key.fingerprint));
        let removed = self.shared.commit(transaction.delete(keys::deploy_key(app), Expect::Any)).await;
        removed.map(|_| key).map_err(|error| problem::store("forget the deploy key", &error))
    }
}

fn exists(app: &AppName) -> Problem {
    Problem::new(409, "key_exists", format!("{app} has a deploy key already")).hint(format!(
        "`tandem key show --app {app}` prints it; for another one type `tandem key remove --app {app}` first"
    ))
}

fn about(actor: &str, action: &str, app: &AppName, reason: &str) -> Cause {
    let place = Place::production(app.clone());
    Cause { subject: app.to_string(), ..cause(actor, action, reason, &place) }
}
