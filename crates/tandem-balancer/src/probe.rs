//! Active probes: each member of the served table is asked for its health path once a second.
//!
//! The app is asked as its users ask it, with the route's domain as host name: a probe that an app refuses for its
//! `Host` would say nothing. Counting is in `tandem_rules::probe`; what follows from it is in the choice of an instance.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tandem_kit::error::chain;
use tandem_kit::probe::{self, Failure, Purpose, Question};
use tandem_rules::probe::{Outcome, Probe, Thresholds};
use tandem_types::{Health, InstanceId, defaults};
use tokio::sync::{Notify, watch};

use crate::table::Instance;
use crate::upstream::Stream;

/// Whom to probe and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Host name to ask with.
    pub domain: String,
    /// What to ask, and which answers are good.
    pub health: Health,
}

/// Why a probe was not good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// The runner has not said where it is.
    #[error("its address is not known yet")]
    NoAddress,
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
    let (host, health) = (target.domain.clone(), target.health.clone());
    let question = Question { host, health, purpose: Purpose::Watch };
    Ok(probe::ask(&question, || Stream::connect(&endpoint.address), defaults::PROBE_TIMEOUT).await?)
}

/// Probes all targets of the latest list for ever; an instance that is un-routed is probed no more. `news` is woken when
/// the health of one changed.
pub(crate) async fn run_probes(mut targets: watch::Receiver<Vec<Target>>, news: Arc<Notify>) {
    let mut probed = HashSet::new();
    let mut running: FuturesUnordered<BoxFuture<'static, InstanceId>> = FuturesUnordered::new();
    loop {
        let new: Vec<_> = {
            let targets = targets.borrow_and_update();
            let routed = targets.iter().filter(|target| target.instance.is_routed());
            routed.filter(|target| probed.insert(target.instance.id())).cloned().collect()
        };
        running.extend(new.into_iter().map(|target| watch_over(target, Arc::clone(&news)).boxed()));
        tokio::select! {
            changed = targets.changed() => if changed.is_err() { return },
            Some(ended) = running.next() => { probed.remove(&ended); }
        }
    }
}

/// Probes one instance until it is un-routed; returns its id.
async fn watch_over(target: Target, news: Arc<Notify>) -> InstanceId {
    let instance = &target.instance;
    let mut health = if instance.is_healthy() {
        Probe::trusted(Thresholds::default())
    } else {
        Probe::untrusted(Thresholds::default())
    };
    while instance.is_routed() {
        let probed = probe(&target).await;
        if instance.take_suspicion() {
            health.take_out();
        }
        let outcome = if probed.is_ok() { Outcome::Good } else { Outcome::Bad };
        if health.record(outcome).is_some() {
            tell(&target, probed.err());
        }
        if instance.set_healthy(health.is_healthy()) {
            news.notify_one();
        }
        tokio::select! {
            () = tokio::time::sleep(defaults::PROBE_INTERVAL.as_duration()) => {}
            () = instance.until_unrouted() => {}
        }
    }
    instance.id()
}

fn tell(target: &Target, error: Option<ProbeError>) {
    let (id, domain) = (target.instance.id(), &target.domain);
    match error {
        Some(error) => {
            tracing::warn!(instance.id = %id, "instance {id} of {domain} is out of its pool: {}", chain(&error));
        }
        None => tracing::info!(instance.id = %id, "instance {id} of {domain} is back in its pool"),
    }
}
