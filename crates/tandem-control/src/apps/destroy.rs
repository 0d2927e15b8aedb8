//! `app destroy`: routes first, then everything else that Tandem made. Volumes stay on the disk.

use std::time::Duration;

use tandem_rules::table;
use tandem_store::{Error, Expect, Transaction};
use tandem_types::assignment::Assignment;
use tandem_types::document::Cause;
use tandem_types::problem::Problem;
use tandem_types::routing::{RoutingDocument, Table};
use tandem_types::{AppName, EnvironmentName, Epoch, defaults, keys};

use super::is_running;
use crate::handle::Handle;
use crate::mirror::Mirror;
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
            match self.shared.commit(transaction).await {
                Ok(_) => return Ok(epoch),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("take the app out of the routes", &error)),
            }
        }
        Err(busy(place))
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
            let (keys, environments) = self.shared.look(|mirror| {
                let environments = mirror.environments().filter(|environment| environment.app == *app);
                let environments: Vec<_> = environments.map(|environment| environment.name.clone()).collect();
                (owned_keys(mirror, app), environments)
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

/// Everything in the store that belongs to the app.
fn owned_keys(mirror: &Mirror, app: &AppName) -> Vec<(String, Expect)> {
    let own = format!("{}/", keys::app(app));
    let assignments = mirror.list::<Assignment>(keys::HOSTS).filter(|(_, found)| found.value.app == *app);
    let assignments = assignments.map(|(key, found)| (key.to_owned(), found.unchanged()));
    let documents = mirror
        .revisions(&own)
        .chain(mirror.revisions(&keys::app(app)).filter(|(key, _)| *key == keys::app(app)));
    let documents = documents.map(|(key, revision)| (key.to_owned(), Expect::Revision(revision)));
    assignments.chain(documents.collect::<Vec<_>>()).collect()
}
