//! Active probes: each member of the served table is asked for its health path once a second; one that has none is tried
//! only once it refused a connection.
//!
//! The app is asked as its users ask it, with the route's domain as host name: a probe that an app refuses for its
//! `Host` would say nothing. Counting is in `tandem_rules::probe`; what follows from it is in the choice of an instance.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use futures_util::future::{AbortHandle, Abortable, Aborted, BoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tandem_kit::error::chain;
use tandem_kit::probe::{self, Failure, Purpose, Question};
use tandem_rules::probe::{Outcome, Probe, Thresholds};
use tandem_types::{Health, InstanceId, defaults};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::table::Instance;
use crate::upstream::Stream;

/// Whom to probe and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Host name to ask with.
    pub domain: String,
    /// How.
    pub check: Check,
}

/// How it is found out whether an instance is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// It is asked each second; which answers are good.
    Ask(Health),
    /// Whoever has a request for it finds out. One that refused a connection is tried each second, and is well again when it
    /// takes one.
    Connect,
}

/// Why a probe was not good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// The runner has not said where it is.
    #[error("its address is not known yet")]
    NoAddress,
    /// It refused the connection of a request.
    #[error("it refused a connection")]
    Refused,
    /// It takes no connection.
    #[error("it takes no connection")]
    Connect(#[source] io::Error),
    /// It did not answer well.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Probes an instance once. Where it takes requests for the first time a redirect must lead somewhere; that its runner has seen
/// to, so here it is only watched.
///
/// # Errors
/// See [`ProbeError`].
pub(crate) async fn probe(target: &Target) -> Result<(), ProbeError> {
    let endpoint = target.instance.endpoint().as_ref().map(Arc::clone).ok_or(ProbeError::NoAddress)?;
    let connect = || Stream::connect(&endpoint.address);
    let Check::Ask(health) = &target.check else {
        let limit = defaults::PROBE_TIMEOUT.as_duration();
        let tried = tokio::time::timeout(limit, connect()).await.map_err(io::Error::from).flatten();
        return tried.map(drop).map_err(ProbeError::Connect);
    };
    let (host, health) = (target.domain.clone(), health.clone());
    let question = Question { host, health, purpose: Purpose::Watch };
    Ok(probe::ask(&question, connect, defaults::PROBE_TIMEOUT).await?)
}

/// Probes all targets of the latest list for ever; an instance that is un-routed is probed no more. `news` is woken when
/// the health of one changed.
pub(crate) async fn run_probes(mut targets: watch::Receiver<Vec<Target>>, news: Arc<Notify>) {
    let mut watched: HashMap<InstanceId, Watched> = HashMap::new();
    let mut running: FuturesUnordered<BoxFuture<'static, Result<InstanceId, Aborted>>> =
        FuturesUnordered::new();
    loop {
        let new: Vec<_> = {
            let targets = targets.borrow_and_update();
            let routed = targets.iter().filter(|target| target.instance.is_routed());
            routed.filter(|target| !Watched::is_under(&watched, target)).cloned().collect()
        };
        for target in new {
            let (stop, stopped) = AbortHandle::new_pair();
            let how = Watched { domain: target.domain.clone(), check: target.check.clone(), stop };
            if let Some(before) = watched.insert(target.instance.id(), how) {
                before.stop.abort();
            }
            running.push(Abortable::new(watch_over(target, Arc::clone(&news)), stopped).boxed());
        }
        tokio::select! {
            changed = targets.changed() => if changed.is_err() { return },
            Some(ended) = running.next() => if let Ok(ended) = ended { watched.remove(&ended); },
        }
    }
}

/// How an instance is being probed.
struct Watched {
    domain: String,
    check: Check,
    stop: AbortHandle,
}

impl Watched {
    /// Whether a target is probed already, and in this way.
    fn is_under(watched: &HashMap<InstanceId, Self>, target: &Target) -> bool {
        let now = watched.get(&target.instance.id());
        now.is_some_and(|now| now.domain == target.domain && now.check == target.check)
    }
}

/// Probes one instance until it is un-routed; returns its id.
async fn watch_over(target: Target, news: Arc<Notify>) -> InstanceId {
    match target.check {
        Check::Ask(_) => ask_again_and_again(&target, &news).await,
        Check::Connect => connect_when_out(&target, &news).await,
    }
    target.instance.id()
}

/// How long it is until an instance is looked at again.
#[derive(Debug, Default)]
struct Pace {
    /// It is out since it refused a connection: until when it is hurried for.
    hurries: Option<Instant>,
}

impl Pace {
    /// It has refused a connection: it is often looked at for a while, since most of these are being started again.
    fn hurry(&mut self) {
        self.hurries.get_or_insert_with(|| Instant::now() + defaults::HOLD_GIVEN_UP.as_duration());
    }

    /// Waits until it is to be looked at again.
    async fn wait(&mut self, instance: &Instance) {
        self.hurries = self.hurries.filter(|_| !instance.is_healthy());
        let hurries = self.hurries.is_some_and(|until| Instant::now() < until);
        let interval = if hurries { defaults::READINESS_INTERVAL } else { defaults::PROBE_INTERVAL };
        tokio::select! {
            () = tokio::time::sleep(interval.as_duration()) => {}
            () = instance.until_suspected() => {}
            () = instance.until_unrouted() => {}
        }
    }
}

/// Looks after an instance that nobody asks.
async fn connect_when_out(target: &Target, news: &Notify) {
    let (instance, mut pace) = (&target.instance, Pace::default());
    while instance.is_routed() {
        if instance.take_suspicion() {
            tell(target, Some(ProbeError::Refused));
            pace.hurry();
        }
        if !instance.is_available()
            && probe(target).await.is_ok()
            && (instance.set_healthy(true) | instance.probed_well())
        {
            tell(target, None);
            news.notify_one();
        }
        pace.wait(instance).await;
    }
}

async fn ask_again_and_again(target: &Target, news: &Notify) {
    let (instance, mut pace) = (&target.instance, Pace::default());
    let mut health = if instance.is_healthy() {
        Probe::trusted(Thresholds::default())
    } else {
        Probe::untrusted(Thresholds::default())
    };
    while instance.is_routed() {
        let probed = probe(target).await;
        if instance.take_suspicion() {
            health.take_out();
            pace.hurry();
        }
        if probed.is_ok() && instance.probed_well() {
            tell(target, None);
            news.notify_one();
        }
        let outcome = if probed.is_ok() { Outcome::Good } else { Outcome::Bad };
        if health.record(outcome).is_some() {
            tell(target, probed.err());
        }
        if instance.set_healthy(health.is_healthy()) {
            news.notify_one();
        }
        pace.wait(instance).await;
    }
}

fn tell(target: &Target, error: Option<ProbeError>) {
    let (id, domain) = (target.instance.id(), &target.domain);
    let at = target
        .instance
        .endpoint()
        .as_ref()
        .map_or_else(String::new, |endpoint| format!(" at {}", endpoint.address));
    match error {
        Some(error) => {
            tracing::warn!(instance.id = %id, "instance {id}{at} of {domain} is out of its pool: {}", chain(&error));
        }
        None => tracing::info!(instance.id = %id, "instance {id}{at} of {domain} is back in its pool"),
    }
}
