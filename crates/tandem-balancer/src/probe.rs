//! Active probes: each member of the served table is asked for its health path once a second.
//!
//! The app is asked as its users ask it, with the route's domain as host name: a probe that an app refuses for its
//! `Host` would say nothing. Counting is in `tandem_rules::probe`; what follows from it is in the choice of an instance.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tandem_rules::probe::{Outcome, Probe, Thresholds};
use tandem_types::{Health, InstanceId, defaults};
use tokio::sync::{Notify, watch};

use crate::table::Instance;
use crate::upstream::Stream;

/// Most of an answer that is read, so that the app can finish it in peace.
const MOST_READ: usize = 256 * 1024;

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
    /// It does not listen.
    #[error("it refuses connections")]
    Connect(#[source] io::Error),
    /// It answered nonsense or broke off.
    #[error("it broke off")]
    Broken(#[source] hyper::Error),
    /// It answered with a status that is not good.
    #[error("it answered with {0}")]
    Status(StatusCode),
    /// It took too long.
    #[error("it did not answer within {}", defaults::PROBE_TIMEOUT)]
    Late,
    /// The domain or path cannot be asked for.
    #[error("its health path is malformed")]
    Request(#[source] http::Error),
}

/// Probes an instance once.
///
/// # Errors
/// See [`ProbeError`].
pub(crate) async fn probe(target: &Target) -> Result<(), ProbeError> {
    let asked = tokio::time::timeout(defaults::PROBE_TIMEOUT.as_duration(), ask(target)).await;
    let status = asked.unwrap_or(Err(ProbeError::Late))?;
    if target.health.statuses.contains(status.as_u16()) { Ok(()) } else { Err(ProbeError::Status(status)) }
}

async fn ask(target: &Target) -> Result<StatusCode, ProbeError> {
    let endpoint = target.instance.endpoint().as_ref().map(Arc::clone).ok_or(ProbeError::NoAddress)?;
    let stream = Stream::connect(&endpoint.address).await.map_err(ProbeError::Connect)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(ProbeError::Broken)?;
    let Health { path, host, https, .. } = &target.health;
    let request = Request::get(path)
        .header(HOST, host.as_ref().unwrap_or(&target.domain))
        .header("x-forwarded-proto", if *https { "https" } else { "http" })
        .header(USER_AGENT, HeaderValue::from_static("tandem-probe"))
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::<Bytes>::new())
        .map_err(ProbeError::Request)?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        read_away(answer.into_body()).await;
        Ok(status)
    };
    let (answered, connection) = (std::pin::pin!(answered), std::pin::pin!(connection));
    match futures_util::future::select(answered, connection).await {
        futures_util::future::Either::Left((status, _)) => status,
        // The connection ends by itself; the answer has been handed over by then.
        futures_util::future::Either::Right((_, answered)) => answered.await,
    }
    .map_err(ProbeError::Broken)
}

async fn read_away(body: Incoming) {
    // A status is what was asked for; a body that is too long or breaks off changes nothing.
    let _ = Limited::new(body, MOST_READ).collect().await;
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
            tracing::warn!(instance.id = %id, "instance {id} of {domain} is out of its pool: {error}");
        }
        None => tracing::info!(instance.id = %id, "instance {id} of {domain} is back in its pool"),
    }
}
