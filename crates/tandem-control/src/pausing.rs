//! `pause` and `resume`: written into the routing document, from where balancers have it also when the server is gone.

use std::time::Duration;

use tandem_rules::pause;
use tandem_store::{Error, Transaction};
use tandem_types::api::{AskPause, Paused};
use tandem_types::app::App;
use tandem_types::document::Cause;
use tandem_types::pause::Pause;
use tandem_types::problem::Problem;
use tandem_types::rollout::Rollout;
use tandem_types::routing::RoutingDocument;
use tandem_types::{BalancerId, Epoch, defaults, keys};

use crate::handle::Handle;
use crate::mirror::{Mirror, Versioned};
use crate::place::Place;
use crate::problem;
use crate::shared::{MOST_ATTEMPTS, cause};
use crate::start::busy;
use crate::world;

/// Longest time between two looks at what balancers say: that one fell silent is no news.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Handle {
    /// Has balancers answer the requests of an environment with a page that says that it is paused. Returns once all that
    /// are live do so, or after ten seconds. Done twice it is the same as once, but for who is let through.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`; `not_routed` where it takes no requests.
    pub async fn pause(&self, actor: &str, place: &Place, asked: AskPause) -> Result<Paused, Problem> {
        let cause = cause(actor, "environment.pause", asked.reason, place);
        let pause = Pause { since: self.shared.now(), allow: asked.allow };
        self.set_pause(place, cause, Some(pause)).await
    }

    /// Has them pass requests on again.
    ///
    /// # Errors
    /// As [`Handle::pause`].
    pub async fn resume(&self, actor: &str, place: &Place, reason: String) -> Result<Paused, Problem> {
        self.set_pause(place, cause(actor, "environment.resume", reason, place), None).await
    }

    async fn set_pause(&self, place: &Place, cause: Cause, pause: Option<Pause>) -> Result<Paused, Problem> {
        self.environment(place)?;
        for _ in 0..MOST_ATTEMPTS {
            let planned = self.shared.look(|mirror| transaction(mirror, place, &cause, pause.clone()));
            let Some((transaction, told)) = planned else { return Err(not_routed(place)) };
            let Some(transaction) = transaction else { return Ok(self.confirmed(told).await) };
            match self.shared.commit(transaction).await {
                Ok(_) => return Ok(self.confirmed(told).await),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("change the routes", &error)),
            }
        }
        Err(busy(place))
    }

    /// Waits for live balancers to serve the epoch, for a limited time; who does not is named.
    async fn confirmed(&self, mut paused: Paused) -> Paused {
        let mut generation = self.shared.generation.subscribe();
        let waited = tokio::time::timeout(defaults::CONFIRM_WITHIN.as_duration(), async {
            loop {
                generation.mark_unchanged();
                if self.unconfirmed(paused.epoch).is_empty() {
                    return;
                }
                let _ = tokio::time::timeout(LOOK_EVERY, generation.changed()).await;
            }
        });
        if waited.await.is_err() {
            paused.unconfirmed = self.unconfirmed(paused.epoch);
        }
        paused
    }

    fn unconfirmed(&self, epoch: Epoch) -> Vec<BalancerId> {
        let now = self.shared.now();
        let reports = self.shared.look(world::balancers);
        let live = reports.into_iter().filter(|(_, report)| report.is_fresh(defaults::BALANCER_LIVE, now));
        live.filter(|(_, report)| report.value.serving < epoch).map(|(id, _)| id).collect()
    }
}

/// What is to be written, if anything, and what is told then. None: the environment takes no requests.
fn transaction(
    mirror: &Mirror,
    place: &Place,
    cause: &Cause,
    mut pause: Option<Pause>,
) -> Option<(Option<Transaction>, Paused)> {
    let stored = mirror.get::<RoutingDocument>(keys::ROUTING_TABLE)?;
    let of = (&place.app, &place.environment);
    let now = pause::paused(&stored.value.serving, of);
    if let (Some(pause), Some(now)) = (&mut pause, now) {
        pause.since = now.since;
    }
    let change = pause::plan(&stored.value, of, pause.as_ref())?;
    let is_news = now != pause.as_ref();
    let epoch = if is_news { change.routing.serving.epoch } else { stored.value.serving.epoch };
    let (app, environment) = (place.app.clone(), place.environment.clone());
    let told = Paused { app, environment, pause, epoch, unconfirmed: Vec::new() };
    if !is_news {
        return Some((None, told));
    }
    let transaction = Transaction::new(cause.clone());
    let transaction = transaction.put(keys::ROUTING_TABLE, &change.routing, stored.unchanged());
    let moved = change.moved;
    Some((Some(moved.into_iter().fold(transaction, |all, moved| follow(mirror, all, moved))), told))
}

/// Whoever waits for balancers to be ready for an epoch waits for the one that it has become.
fn follow(mirror: &Mirror, transaction: Transaction, (before, now): (Epoch, Epoch)) -> Transaction {
    let rollouts = mirror.unfinished(keys::APPS).filter(|stored| stored.value.epoch == Some(before));
    let transaction = rollouts.fold(transaction, |all, stored| {
        let rollout = Rollout { epoch: Some(now), ..(*stored.value).clone() };
        let key = keys::rollout(&rollout.app, &rollout.environment, rollout.number);
        all.put(key, &rollout, stored.unchanged())
    });
    leaving(mirror, before).into_iter().fold(transaction, |all, stored| {
        let mut app = (*stored.value).clone();
        let all_leaving = app.destroying.iter_mut().flat_map(|going| going.environments.values_mut());
        all_leaving.filter(|leaving| leaving.epoch == Some(before)).for_each(|it| it.epoch = Some(now));
        all.put(keys::app(&app.name), &app, stored.unchanged())
    })
}

/// Apps that are being destroyed and wait for an epoch.
fn leaving(mirror: &Mirror, epoch: Epoch) -> Vec<Versioned<App>> {
    let names: std::collections::BTreeSet<_> =
        mirror.environments().map(|environment| environment.app.clone()).collect();
    let apps = names.iter().filter_map(|name| mirror.get::<App>(&keys::app(name)));
    let waits = |app: &Versioned<App>| {
        let going = app.value.destroying.iter().flat_map(|going| going.environments.values());
        going.into_iter().any(|leaving| leaving.epoch == Some(epoch))
    };
    apps.filter(waits).collect()
}

fn not_routed(place: &Place) -> Problem {
    let title = format!("{place} takes no requests that could be paused");
    Problem::new(409, "not_routed", title).hint(format!("tandem ps {}", place.arguments()))
}
