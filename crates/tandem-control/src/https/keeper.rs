//! Sees that every domain has a certificate, under a lease of its own: of two servers one does.
//!
//! Each step is decided anew from the documents; of attempts there is one at a time. Nothing is kept here but which domains the local authority could not
//! sign for, so that a name that is none does not keep the others waiting.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use tandem_kit::drain::Drain;
use tandem_kit::error::chain;
use tandem_rules::https::{self, Plan, Step};
use tandem_store::lease::Held;
use tandem_store::{Error, Expect, Transaction};
use tandem_types::document::Lease;
use tandem_types::{Timestamp, defaults, keys};

use super::{about, attempt, local, world};
use crate::config::LONGEST_SLEEP;
use crate::shared::Shared;

/// Name of the lease.
const LEASE: &str = "https";
/// Wait before the lease is asked for again, and before what failed in the store is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Least time between two looks that news bring about: a rollout changes a document every few milliseconds.
const SPACING: Duration = Duration::from_millis(50);
/// Wait before the local authority is asked again for a name that it could not sign.
const REFUSED: SignedDuration = SignedDuration::from_hours(1);

/// What comes next.
enum Next {
    /// This.
    Step(Step),
    /// Nothing, for so long or until something changes.
    Wait(Duration),
}

/// See the module.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    refused: BTreeMap<String, Timestamp>,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, refused: BTreeMap::new() }
    }

    /// Runs until the drain, through any number of leases.
    pub(crate) async fn run(mut self, drain: Drain) {
        while !drain.is_requested() {
            let Some(mut held) = self.acquire(&drain).await else { return };
            if let Err(error) = self.hold(&mut held, &drain).await {
                tracing::warn!("certificates: {}; trying again", chain(&error));
                tokio::time::sleep(AGAIN).await;
            }
            if let Err(error) = held.release(&*self.shared.store).await {
                tracing::debug!("failed to give the lease on certificates back: {error}");
            }
        }
    }

    async fn acquire(&self, drain: &Drain) -> Option<Held> {
        let holder = format!("control {}", std::process::id());
        loop {
            let store = &*self.shared.store;
            match Held::acquire(store, &self.shared.clock, (LEASE, &holder), defaults::LEASE).await {
                Ok(Some(held)) => return Some(held),
                Ok(None) => {}
                Err(error) => tracing::warn!("failed to take the lease on certificates: {error}"),
            }
            tokio::select! {
                () = drain.requested() => return None,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Works while the lease is held. An attempt takes minutes where an authority is slow; what the local one signs does not wait
    /// for it.
    async fn hold(&mut self, held: &mut Held, drain: &Drain) -> Result<(), Error> {
        let mut renewal = tokio::time::interval(defaults::LEASE.as_duration() / 3);
        renewal.reset();
        let mut news = self.shared.generation.subscribe();
        let mut attempt: Option<BoxFuture<'static, Result<(), Error>>> = None;
        while held.is_safe() {
            news.borrow_and_update();
            let looked = tokio::time::Instant::now();
            let wait = match self.next(attempt.is_some()) {
                Next::Step(Step::Attempt(order)) => {
                    let (shared, lease) = (Arc::clone(&self.shared), held.lease().clone());
                    attempt = Some(Box::pin(async move { attempt::run(&shared, &order, &lease).await }));
                    continue;
                }
                Next::Step(step) => {
                    self.carry_out(step, held.lease()).await?;
                    continue;
                }
                Next::Wait(wait) => wait,
            };
            let under_way = match &mut attempt {
                Some(attempt) => attempt.as_mut().left_future(),
                None => pending().right_future(),
            };
            tokio::select! {
                biased;
                () = drain.requested() => return Ok(()),
                done = under_way => {
                    attempt = None;
                    done?;
                }
                _ = renewal.tick() => held.renew(&*self.shared.store).await?,
                Ok(()) = news.changed() => tokio::time::sleep_until(looked + SPACING).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(())
    }

    /// What is to be done next.
    fn next(&self, attempting: bool) -> Next {
        let now = self.shared.now();
        let acme = self.shared.acme.as_ref();
        let Plan { steps, look_again } =
            https::plan(&self.shared.look(|mirror| world::gather(mirror, acme)), now);
        let is_due = |step: &Step| match step {
            Step::Sign(domain) => self.refused.get(domain).is_none_or(|until| *until <= now),
            Step::Attempt(_) => !attempting,
            Step::Found | Step::Forget(_) => true,
        };
        if let Some(step) = steps.into_iter().find(is_due) {
            return Next::Step(step);
        }
        let wait = look_again.map_or(SignedDuration::MAX, |time| time.duration_since(now));
        Next::Wait(Duration::try_from(wait).unwrap_or(Duration::ZERO).min(LONGEST_SLEEP))
    }

    /// Does a step that takes no time.
    async fn carry_out(&mut self, step: Step, lease: &Lease) -> Result<(), Error> {
        match step {
            Step::Found => self.found(lease).await,
            Step::Sign(domain) => self.sign(domain, lease).await,
            Step::Forget(domain) => self.forget(&domain, lease).await,
            Step::Attempt(_) => Ok(()),
        }
    }

    async fn found(&self, lease: &Lease) -> Result<(), Error> {
        match local::ensure(&self.shared, lease).await {
            Err(local::Failure::Store(error)) => Err(error),
            Err(failure) => {
                tracing::error!("no local authority: {}", chain(&failure));
                tokio::time::sleep(LONGEST_SLEEP).await;
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    async fn sign(&mut self, domain: String, lease: &Lease) -> Result<(), Error> {
        match local::sign(&self.shared, &domain, lease).await {
            Ok(()) => Ok(()),
            Err(local::Failure::Store(error)) => Err(error),
            Err(failure) => {
                tracing::error!("{domain} gets no certificate: {}", chain(&failure));
                let now = self.shared.now();
                self.refused.insert(domain, now.checked_add(REFUSED).unwrap_or(now));
                Ok(())
            }
        }
    }

    async fn forget(&self, domain: &str, lease: &Lease) -> Result<(), Error> {
        let transaction = Transaction::new(about("certificate.forget", "no route names it", domain));
        let transaction = transaction.delete(keys::certificate(domain), Expect::Any);
        let transaction = transaction.delete(keys::certificate_order(domain), Expect::Any);
        self.shared.commit(transaction.fenced(lease)).await.map(drop)
    }
}
