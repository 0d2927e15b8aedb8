//! Decides which environment to pass over when: what changed, what asked to be looked at again, what was built.
//!
//! Passes of different environments run side by side; of one environment there is one at a time. All of them work
//! under the lease `rollouts`, so that of two servers one acts. Nothing is kept here that is not in the store or can
//! be made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tandem_kit::drain::Drain;
use tandem_store::Error;
use tandem_store::lease::Held;
use tandem_types::{HostName, Timestamp, defaults, keys};

use super::builds::Builds;
use super::engine::Engine;
use super::followers::Followers;
use super::static_files::StaticFiles;
use crate::config::LONGEST_SLEEP;
use crate::observing::Observing;
use crate::place::Place;
use crate::shared::Shared;

/// Name of the lease.
const LEASE: &str = "rollouts";
/// Wait before the lease is asked for again while another server holds it.
const LEASE_RETRY: Duration = Duration::from_secs(1);
/// Wait before an environment is passed over again after the store failed.
const ERROR_RETRY: Duration = Duration::from_secs(1);

/// How a pass ended.
type Ended = (Place, Result<Option<Timestamp>, Error>);

/// See the module.
pub(crate) struct Reconciler {
    engine: Arc<Engine>,
    due: BTreeSet<Place>,
    running: BTreeSet<Place>,
    passes: FuturesUnordered<BoxFuture<'static, Ended>>,
    timers: BTreeMap<Place, Timestamp>,
}

/// Why the loop woke.
enum Woken {
    Drain,
    News,
    Passed(Box<Ended>),
    Timer,
}

impl Reconciler {
    pub(crate) fn new(shared: Arc<Shared>, observing: Arc<Observing>) -> Self {
        let builds = Builds::new(Arc::clone(&shared));
        let (followers, static_files) = (Followers::default(), StaticFiles::default());
        let engine = Engine { shared, builds, followers, static_files, observing };
        Self {
            engine: Arc::new(engine),
            due: BTreeSet::new(),
            running: BTreeSet::new(),
            passes: FuturesUnordered::new(),
            timers: BTreeMap::new(),
        }
    }

    /// Runs until the drain, through any number of leases.
    pub(crate) async fn run(mut self, drain: Drain) {
        while !drain.is_requested() {
            let Some(mut held) = self.acquire(&drain).await else { return };
            self.due = self.all_places();
            self.hold(&mut held, &drain).await;
            self.finish_passes().await;
            if let Err(error) = held.release(&*self.engine.shared.store).await {
                tracing::debug!("failed to give the lease back: {error}");
            }
        }
    }

    async fn acquire(&mut self, drain: &Drain) -> Option<Held> {
        let shared = &self.engine.shared;
        let holder = holder();
        loop {
            match Held::acquire(&*shared.store, &shared.clock, (LEASE, &holder), defaults::LEASE).await {
                Ok(Some(held)) => return Some(held),
                Ok(None) => {}
                Err(error) => tracing::warn!("failed to take the lease on rollouts: {error}"),
            }
            tokio::select! {
                () = drain.requested() => return None,
                () = tokio::time::sleep(LEASE_RETRY) => {}
            }
        }
    }

    /// Works while the lease is held.
    async fn hold(&mut self, held: &mut Held, drain: &Drain) {
        let mut renewal = tokio::time::interval(defaults::LEASE.as_duration() / 3);
        renewal.reset();
        while held.is_safe() {
            self.start_passes(held);
            let until_timer = self.until_timer();
            let woken = tokio::select! {
                biased;
                () = drain.requested() => Woken::Drain,
                Some(ended) = self.passes.next() => Woken::Passed(Box::new(ended)),
                () = self.engine.shared.changed.notified() => Woken::News,
                _ = renewal.tick() => {
                    if let Err(error) = held.renew(&*self.engine.shared.store).await {
                        tracing::warn!("failed to keep the lease on rollouts: {error}");
                        return;
                    }
                    Woken::Timer
                }
                () = tokio::time::sleep(until_timer) => Woken::Timer,
            };
            match woken {
                Woken::Drain => return,
                Woken::News => self.note_news(),
                Woken::Timer => self.note_timers(),
                Woken::Passed(ended) => {
                    if !self.note_end(*ended) {
                        return;
                    }
                }
            }
        }
    }

    fn start_passes(&mut self, held: &Held) {
        let ready: Vec<_> = self.due.difference(&self.running).cloned().collect();
        for place in ready {
            self.due.remove(&place);
            self.timers.remove(&place);
            self.running.insert(place.clone());
            let (engine, lease) = (Arc::clone(&self.engine), held.lease().clone());
            self.passes.push(Box::pin(async move {
                let ended = engine.pass(&place, &lease).await;
                (place, ended)
            }));
        }
    }

    /// Lets passes that are under way come to their end: each is a few transactions long.
    async fn finish_passes(&mut self) {
        while let Some(ended) = self.passes.next().await {
            self.note_end(ended);
        }
    }

    /// Says whether the lease can still be held.
    fn note_end(&mut self, (place, ended): Ended) -> bool {
        self.running.remove(&place);
        let now = self.engine.shared.now();
        match ended {
            Ok(Some(time)) => drop(self.timers.insert(place, time)),
            Ok(None) => {}
            Err(Error::Fenced { .. }) => {
                tracing::warn!("lost the lease on rollouts");
                return false;
            }
            Err(error) => {
                tracing::error!("failed to move {place} on, trying again: {error}");
                let retry = now.checked_add(ERROR_RETRY).unwrap_or(now);
                self.timers.insert(place, retry);
            }
        }
        true
    }

    fn note_news(&mut self) {
        self.due.extend(self.engine.builds.take_news());
        let changed = self.engine.shared.take_changed();
        if changed.iter().any(|key| concerns_all(key)) {
            self.due.extend(self.all_places());
            return;
        }
        self.due.extend(concerned(&changed, || self.all_places()));
    }

    fn note_timers(&mut self) {
        let now = self.engine.shared.now();
        let over: Vec<_> =
            self.timers.iter().filter(|(_, time)| **time <= now).map(|(p, _)| p.clone()).collect();
        for place in over {
            self.timers.remove(&place);
            self.due.insert(place);
        }
    }

    fn until_timer(&self) -> Duration {
        let Some(first) = self.timers.values().min() else { return LONGEST_SLEEP };
        let wait = first.duration_since(self.engine.shared.now());
        Duration::try_from(wait).unwrap_or(Duration::ZERO).min(LONGEST_SLEEP)
    }

    fn all_places(&self) -> BTreeSet<Place> {
        let place = |environment: Arc<tandem_types::environment::Environment>| Place {
            app: environment.app.clone(),
            environment: environment.name.clone(),
        };
        self.engine.shared.look(|mirror| mirror.environments().map(place).collect())
    }
}

/// Whether a document may matter to every environment: reports and the routing table.
fn concerns_all(key: &str) -> bool {
    let of_host = |rest: &str| rest.split_once('/').is_some_and(|(_, what)| what == "observed");
    key.starts_with(keys::BALANCERS)
        || key.starts_with(keys::ROUTING)
        || key.strip_prefix(keys::HOSTS).is_some_and(of_host)
}

/// The environments that changed documents belong to. An app's own belongs to all that it has now.
fn concerned(changed: &BTreeSet<String>, all: impl FnOnce() -> BTreeSet<Place>) -> BTreeSet<Place> {
    let mut places: BTreeSet<_> = changed.iter().filter_map(|key| place_of(key)).collect();
    if changed.iter().any(|key| is_app(key)) {
        places.extend(all().into_iter().filter(|place| changed.contains(&keys::app(&place.app))));
    }
    places
}

fn is_app(key: &str) -> bool {
    key.strip_prefix(keys::APPS).is_some_and(|name| !name.contains('/'))
}

/// The environment that a document belongs to.
fn place_of(key: &str) -> Option<Place> {
    let mut parts = key.split('/');
    match (parts.next()?, parts.next()?, parts.next(), parts.next()) {
        ("apps", app, Some("envs"), Some(environment)) => {
            Some(Place { app: app.parse().ok()?, environment: environment.parse().ok()? })
        }
        ("hosts", host, Some("assignments"), Some(name)) => {
            let _known: HostName = host.parse().ok()?;
            let (app, environment) = name.split_once('.')?;
            Some(Place { app: app.parse().ok()?, environment: environment.parse().ok()? })
        }
        _ => None,
    }
}

/// A name of this life of this process.
fn holder() -> String {
    format!("control {}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(app: &str, environment: &str) -> Place {
        Place { app: app.parse().unwrap(), environment: environment.parse().unwrap() }
    }

    #[test]
    fn the_document_of_an_app_concerns_its_environments_and_no_others() {
        let all = || {
            [("guest", "production"), ("guestbook", "production"), ("guestbook", "staging")]
                .map(|(app, environment)| place(app, environment))
                .into()
        };
        let of = |key: &str| concerned(&[key.to_owned()].into(), all).into_iter().collect::<Vec<_>>();
        assert_eq!(of("apps/guestbook"), [place("guestbook", "production"), place("guestbook", "staging")]);
        assert_eq!(of("apps/guestbook/envs/staging"), [place("guestbook", "staging")]);
        assert_eq!(of("apps/guestbook/envs/gone/rollouts/0000000001"), [place("guestbook", "gone")]);
        assert_eq!(of("hosts/alpha/assignments/guest.production"), [place("guest", "production")]);
        assert_eq!(of("apps/guestbook/builds/0000000001"), []);
        assert_eq!(of("installation"), []);
    }
}
