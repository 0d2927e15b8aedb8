//! The last step of `app destroy`: everything of an app whose environments have all stopped is deleted.
//!
//! What is not in the store goes first, and may go twice: a crash in between leaves the documents, and with them the
//! wish. Volumes are nobody's here and stay.

use tandem_store::{Error, Expect, SharedStore, Stored, Transaction};
use tandem_types::app::App;
use tandem_types::assignment::Assignment;
use tandem_types::destroy::LeavingState;
use tandem_types::document::{Cause, Document, Kind, Lease};
use tandem_types::environment::Environment;
use tandem_types::{AppName, EnvironmentName, keys};

use crate::shared::Shared;

/// Deletes the app if nothing of it runs any more. Says whether anything was written.
///
/// # Errors
/// The store fails, or the lease is lost. [`Error::Conflict`]: something of the app was changed meanwhile.
pub(super) async fn delete_app(shared: &Shared, app: &AppName, lease: &Lease) -> Result<bool, Error> {
    let documents = owned(&shared.store, app).await?;
    let environments: Vec<_> = documents.iter().filter_map(environment).collect();
    let Some(cause) = documents.iter().find_map(|found| farewell(found, &environments)) else {
        return Ok(false);
    };
    forget_stories(shared, app, &environments);
    shared.builder.forget(app.clone()).await;
    let all = Transaction::new(cause).fenced(lease);
    let delete = |all: Transaction, found: Document| all.delete(found.key, Expect::Revision(found.revision));
    shared.commit(documents.into_iter().fold(all, delete)).await?;
    Ok(true)
}

/// Everything in the store that belongs to the app. Read from the store itself: a look at the mirror may fall between
/// two documents of one transaction, and would leave the second behind.
async fn owned(store: &SharedStore, app: &AppName) -> Result<Vec<Document>, Error> {
    let (own, below) = (keys::app(app), format!("{}/", keys::app(app)));
    let documents = store.list(&own).await?.documents;
    let documents = documents.into_iter().filter(|found| found.key == own || found.key.starts_with(&below));
    let assigned = |found: &Document| {
        let assignment = serde_json::from_value::<Assignment>(found.body.clone());
        Assignment::reads(&found.kind) && assignment.is_ok_and(|assignment| assignment.app == *app)
    };
    let assignments = store.list(keys::HOSTS).await?.documents.into_iter().filter(assigned);
    Ok(assignments.chain(documents).collect())
}

fn environment(found: &Document) -> Option<EnvironmentName> {
    Some(Stored::<Environment>::try_from(found.clone()).ok()?.value.name)
}

/// What the journal says, where the document is the app and all its environments have stopped.
fn farewell(found: &Document, environments: &[EnvironmentName]) -> Option<Cause> {
    let destroying = Stored::<App>::try_from(found.clone()).ok()?.value.destroying?;
    let stopped = |name: &EnvironmentName| {
        destroying.environments.get(name).is_some_and(|leaving| leaving.state == LeavingState::Stopped)
    };
    environments
        .iter()
        .all(stopped)
        .then(|| Cause { action: "app.destroy".to_owned(), ..destroying.cause.clone() })
}

/// Removes the event logs of the app, before its name is free for another. One that a reader brings back at this very
/// moment is thrown away where the next of its number begins.
fn forget_stories(shared: &Shared, app: &AppName, environments: &[EnvironmentName]) {
    let gone = shared.now();
    for environment in environments {
        if let Err(error) = shared.logs.remove_older(app, environment, gone) {
            tracing::warn!("failed to {error}; the next rollout of that number removes it");
        }
    }
}
