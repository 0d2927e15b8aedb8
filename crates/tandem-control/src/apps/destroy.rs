//! `app destroy`: routes first, then everything else that Tandem made. Volumes stay on the disk.

use std::time::Duration;

use tandem_rules::table;
use tandem_store::{Error, Expect, SharedStore, Transaction};
use tandem_types::assignment::Assignment;
use tandem_types::document::{Cause, Document, Kind};
use tandem_types::environment::Environment;
use tandem_types::problem::Problem;
use tandem_types::routing::{RoutingDocument, Table};
use tandem_types::{AppName, EnvironmentName, Epoch, defaults, keys};

use super::is_running;
use crate::handle::Handle;
use crate::place::Place;
use crate::problem;
use crate::shared::{MOST_ATTEMPTS, cause};
use crate::start::busy;
use crate::world;

/// Time that balancers get to let go of the app's routes before its instances are stopped.
const UNROUTE_LIMIT: Duration = Duration::from_secs(10);

impl Handle {
    /// Destroys an app: takes it out of the routes, stops its instances, and forgets its releases and config. Its
    /// volumes stay on the disk. An app that runs is destroyed only when that was confirmed.
    ///
    /// # Errors
    /// `app_not_found`, `rollout_in_progress`, `app_running`.
    pub async fn destroy_app(&self, actor: &str, name: &AppName, confirmed: bool) -> Result<(), Problem> {
        let app = self.app(name)?;
        let place = Place::production(name.clone());
        let under_way = app.environments.iter().find_map(|e| Some((e.name.clone(), e.rollout?)));
        if let Some((environment, rollout)) = under_way {
            let place = Place { app: name.clone(), environment };
            let title = format!("{rollout} of {place} is under way");
            return Err(Problem::new(409, "rollout_in_progress", title)
                .hint(format!("tandem rollout abort {rollout} {}", place.arguments())));
        }
        let runs = self.shared.look(|mirror| {
            mirror
                .environments()
                .any(|environment| environment.app == *name && is_running(mirror, &environment))
        });
        if runs && !confirmed {
            let title = format!("{name} is running");
            return Err(Problem::new(409, "app_running", title)
                .hint(format!("tandem app destroy {name} --confirm {name}")));
        }
        let by = |verb: &str| Cause { subject: name.to_string(), ..cause(actor, verb, "", &place) };
        // Every transaction has its line in the journal, so the two steps have names of their own.
        let epoch = self.unroute(name, &place, &by("app.unroute")).await?;
        self.wait_unrouted(epoch).await;
        self.delete_documents(name, &place, &by("app.destroy")).await
    }

    /// Takes the app out of the serving table, once no other epoch is prepared.
    async fn unroute(&self, app: &AppName, place: &Place, cause: &Cause) -> Result<Epoch, Problem> {
        for _ in 0..MOST_ATTEMPTS {
            let key = keys::ROUTING_TABLE;
            let Some(stored) = self.shared.get::<RoutingDocument>(key) else { return Ok(Epoch(0)) };
            let routing = &stored.value;
            if !routing.serving.routes.iter().any(|route| route.pool.app == *app) {
                return Ok(routing.serving.epoch);
            }
            if routing.prepared.is_some() {
                self.wait_for_news().await;
                continue;
            }
            let epoch = table::next_epoch(routing);
            let others = routing.serving.routes.iter().filter(|route| route.pool.app != *app);
            let serving = Table { epoch, routes: others.cloned().collect() };
            let without = RoutingDocument { serving, prepared: None, last: epoch };
            let transaction = Transaction::new(cause.clone()).put(key, &without, stored.unchanged());
            let transaction = self.retired(app, transaction);
            match self.shared.commit(transaction).await {
                Ok(_) => return Ok(epoch),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("take the app out of the routes", &error)),
            }
        }
        Err(busy(place))
    }

    /// Adds that no release of the app serves: upkeep would bring back what an emptied pool is missing.
    fn retired(&self, app: &AppName, transaction: Transaction) -> Transaction {
        let stored = self.shared.look(|mirror| {
            let own = mirror.environments().filter(|environment| environment.app == *app);
            let keys = own.map(|environment| keys::environment(app, &environment.name));
            keys.filter_map(|key| Some((mirror.get::<Environment>(&key)?, key))).collect::<Vec<_>>()
        });
        stored.into_iter().fold(transaction, |all, (stored, key)| {
            let idle = Environment { current: None, warm: Vec::new(), ..(*stored.value).clone() };
            all.put(key, &idle, stored.unchanged())
        })
    }

    async fn wait_unrouted(&self, epoch: Epoch) {
        let confirmed = async {
            while !self.is_confirmed(epoch) {
                self.wait_for_news().await;
            }
        };
        if tokio::time::timeout(UNROUTE_LIMIT, confirmed).await.is_err() {
            tracing::warn!("some balancer has not confirmed {epoch}; the app is destroyed all the same");
        }
    }

    fn is_confirmed(&self, epoch: Epoch) -> bool {
        let now = self.shared.now();
        let reports = self.shared.look(world::balancers);
        let mut live = reports.values().filter(|report| report.is_fresh(defaults::BALANCER_LIVE, now));
        live.all(|report| report.value.serving >= epoch)
    }

    async fn wait_for_news(&self) {
        let mut generation = self.shared.generation.subscribe();
        let _ = tokio::time::timeout(Duration::from_millis(500), generation.changed()).await;
    }

    async fn delete_documents(&self, app: &AppName, place: &Place, cause: &Cause) -> Result<(), Problem> {
        for _ in 0..MOST_ATTEMPTS {
            let keys = owned_keys(&self.shared.store, app).await;
            let keys = keys.map_err(|error| problem::store("read what belongs to the app", &error))?;
            let environments: Vec<_> = self.shared.look(|mirror| {
                let own = mirror.environments().filter(|environment| environment.app == *app);
                own.map(|environment| environment.name.clone()).collect()
            });
            let transaction = keys
                .into_iter()
                .fold(Transaction::new(cause.clone()), |all, (key, expect)| all.delete(key, expect));
            match self.shared.commit(transaction).await {
                Ok(_) => {
                    self.forget_stories(app, &environments);
                    self.shared.builder.forget(app.clone()).await;
                    return Ok(());
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("destroy the app", &error)),
            }
        }
        Err(busy(place))
    }

    /// Removes the event logs of the app. Not those of a namesake that somebody deploys at this very moment.
    fn forget_stories(&self, app: &AppName, environments: &[EnvironmentName]) {
        let gone = self.shared.now();
        for environment in environments {
            if let Err(error) = self.shared.logs.remove_older(app, environment, gone) {
                tracing::warn!("failed to {error}; the next rollout of that number removes it");
            }
        }
    }
}

/// Everything in the store that belongs to the app. Read from the store itself: a look at the mirror may fall between
/// two documents of one transaction, and would leave the second behind.
async fn owned_keys(store: &SharedStore, app: &AppName) -> Result<Vec<(String, Expect)>, Error> {
    let (own, below) = (keys::app(app), format!("{}/", keys::app(app)));
    let documents = store.list(&own).await?.documents;
    let documents = documents.into_iter().filter(|found| found.key == own || found.key.starts_with(&below));
    let assigned = |found: &Document| {
        let assignment = serde_json::from_value::<Assignment>(found.body.clone());
        found.kind == Assignment::KIND && assignment.is_ok_and(|assignment| assignment.app == *app)
    };
    let assignments = store.list(keys::HOSTS).await?.documents.into_iter().filter(assigned);
    let owned = assignments.chain(documents);
    Ok(owned.map(|found| (found.key, Expect::Revision(found.revision))).collect())
}
