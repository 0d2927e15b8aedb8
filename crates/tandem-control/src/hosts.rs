//! What runners and balancers report, and `down`.

use std::collections::BTreeSet;

use tandem_rules::balancers;
use tandem_rules::destroy::without_balancer;
use tandem_store::{Error, Expect, Transaction};
use tandem_types::api::{Installation, Reason};
use tandem_types::app::App;
use tandem_types::document::{Cause, Kind};
use tandem_types::instance::HostObservation;
use tandem_types::problem::Problem;
use tandem_types::routing::{BalancerStatus, RoutingDocument};
use tandem_types::{BalancerId, HostName, keys};
use tokio::sync::watch;

use crate::handle::Handle;
use crate::problem;
use crate::shared::MOST_ATTEMPTS;

/// Documents that name a balancer, as they are without it.
struct Remembered {
    /// Apps that are being destroyed. Also those that do not wait for it: a pass that is under way may have heard of it
    /// and would let its app wait for ever, did its transaction not meet a newer document.
    apps: Vec<(App, Expect)>,
    /// Whether one of these waits for it.
    awaited: bool,
    /// The routing document.
    routing: Option<(RoutingDocument, Expect)>,
}

impl Remembered {
    fn is_nothing(&self) -> bool {
        !self.awaited && self.routing.is_none()
    }
}

impl Handle {
    /// Takes in what a runner saw. Volatile: it replaces what the runner said before and leaves no journal.
    ///
    /// # Errors
    /// `wrong_host` where the report is about another host.
    pub async fn record_host_observation(
        &self,
        host: &HostName,
        observation: HostObservation,
    ) -> Result<(), Problem> {
        if observation.host != *host {
            return Err(Problem::new(
                422,
                "wrong_host",
                format!("the report is of {}, not of {host}", observation.host),
            ));
        }
        self.record(&keys::host_observed(host), &observation).await
    }

    /// Takes in what a balancer says. Volatile, but that the balancer exists is written down first: it may be cut off
    /// when the server starts the next time.
    ///
    /// # Errors
    /// `wrong_balancer` where the report is of another balancer; `busy`, or the store fails.
    pub async fn record_balancer_status(
        &self,
        balancer: &BalancerId,
        status: BalancerStatus,
    ) -> Result<(), Problem> {
        if status.balancer != *balancer {
            let title = format!("the report is of {}, not of {balancer}", status.balancer);
            return Err(Problem::new(422, "wrong_balancer", title));
        }
        self.remember(&status).await?;
        self.record(&keys::balancer(balancer), &status).await
    }

    /// Writes a balancer down that is not, or not as it is.
    async fn remember(&self, status: &BalancerStatus) -> Result<(), Problem> {
        for _ in 0..MOST_ATTEMPTS {
            // Without a routing document nobody routes anything. Whoever writes the first one remembers who is there.
            let Some(stored) = self.shared.get::<RoutingDocument>(keys::ROUTING_TABLE) else { return Ok(()) };
            let Some(next) = balancers::with(&stored.value, status) else { return Ok(()) };
            let cause = about("system:balancers", "balancer.remember", status.balancer.as_str());
            let transaction = Transaction::new(cause).put(keys::ROUTING_TABLE, &next, stored.unchanged());
            match self.shared.commit(transaction).await {
                Ok(_) => return Ok(()),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("write the balancer down", &error)),
            }
        }
        Err(busy())
    }

    /// Forgets a balancer that is gone for good: what only it may still have routed to can be stopped.
    ///
    /// # Errors
    /// `balancer_not_found`.
    pub async fn forget_balancer(&self, actor: &str, balancer: &BalancerId) -> Result<(), Problem> {
        let key = keys::balancer(balancer);
        let reported = self.shared.value::<BalancerStatus>(&key).is_some();
        if !reported && self.remembered(balancer).is_nothing() {
            let title = format!("there is no balancer {balancer}");
            return Err(Problem::new(404, "balancer_not_found", title).hint("tandem status"));
        }
        let refuse = |error: &Error| problem::store("forget the balancer", error);
        // First: as long as its last report is here, it is waited for.
        self.shared.store.delete_volatile(&key).await.map_err(|error| refuse(&error))?;
        self.shared.refresh(&key).await.map_err(|error| refuse(&error))?;
        for _ in 0..MOST_ATTEMPTS {
            let note = Transaction::new(about(actor, "balancer.forget", balancer.as_str())).noted();
            let strike =
                |all: Transaction, (app, expect): (App, Expect)| all.put(keys::app(&app.name), &app, expect);
            let Remembered { apps, routing, .. } = self.remembered(balancer);
            let mut transaction = apps.into_iter().fold(note, strike);
            if let Some((routing, expect)) = routing {
                transaction = transaction.put(keys::ROUTING_TABLE, &routing, expect);
            }
            match self.shared.commit(transaction).await {
                Ok(_) => return Ok(()),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(refuse(&error)),
            }
        }
        Err(busy())
    }

    /// Where the balancer is written down, and what that is without it. Of one moment: an app's destruction that begins
    /// to wait for it changes the routing document too, and would go unnoticed between two looks.
    fn remembered(&self, balancer: &BalancerId) -> Remembered {
        self.shared.look(|mirror| {
            let routing = mirror.get::<RoutingDocument>(keys::ROUTING_TABLE);
            let names: BTreeSet<_> =
                mirror.environments().map(|environment| environment.app.clone()).collect();
            let apps = names.iter().filter_map(|name| mirror.get::<App>(&keys::app(name)));
            let (mut all, mut awaited) = (Vec::new(), false);
            for app in apps.filter(|app| app.value.destroying.is_some()) {
                let struck = without_balancer(&app.value, balancer);
                awaited |= struck.is_some();
                all.push((struck.unwrap_or_else(|| (*app.value).clone()), app.unchanged()));
            }
            Remembered {
                apps: all,
                awaited,
                routing: routing.and_then(|stored| {
                    Some((balancers::without(&stored.value, balancer)?, stored.unchanged()))
                }),
            }
        })
    }

    async fn record<T: Kind>(&self, key: &str, report: &T) -> Result<(), Problem> {
        let body = serde_json::to_value(report).expect("reports have a JSON form");
        let recorded = self.shared.store.put_volatile(key, T::KIND, body).await;
        recorded.map_err(|error| problem::store("take in a report", &error))
    }

    /// Says that everything should stop; whoever watches [`Handle::down_requested`] does it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn down(&self, actor: &str, reason: Reason) -> Result<(), Problem> {
        self.set_down(about(actor, "installation.down", &reason.reason), true).await
    }

    /// Takes the wish to stop back, at the next start.
    ///
    /// # Errors
    /// The store fails.
    pub async fn clear_down(&self, actor: &str) -> Result<(), Problem> {
        self.set_down(about(actor, "installation.up", ""), false).await
    }

    /// Whether everything should stop, and when that changes.
    #[must_use]
    pub fn down_requested(&self) -> watch::Receiver<bool> {
        self.shared.down.subscribe()
    }

    async fn set_down(&self, cause: Cause, down: bool) -> Result<(), Problem> {
        for _ in 0..MOST_ATTEMPTS {
            let Some(stored) = self.shared.get::<Installation>(keys::INSTALLATION) else { continue };
            if stored.value.down != down {
                let next = Installation { down, ..(*stored.value).clone() };
                let transaction = Transaction::new(cause.clone());
                let transaction = transaction.put(keys::INSTALLATION, &next, stored.unchanged());
                match self.shared.commit(transaction).await {
                    Ok(_) => {}
                    Err(Error::Conflict { .. }) => continue,
                    Err(error) => {
                        return Err(problem::store("write down that everything should stop", &error));
                    }
                }
            }
            self.shared.down.send_replace(down);
            return Ok(());
        }
        Err(busy())
    }
}

fn busy() -> Problem {
    Problem::new(503, "busy", "the installation is being changed by others all the time").hint("try again")
}

fn about(actor: &str, action: &str, reason: &str) -> Cause {
    Cause {
        actor: actor.to_owned(),
        action: action.to_owned(),
        reason: reason.to_owned(),
        subject: String::new(),
    }
}
