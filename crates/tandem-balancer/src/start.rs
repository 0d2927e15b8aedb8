//! How the control side of a balancer begins: with the table of an earlier life, or of the process that serves until this
//! one does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tandem_kit::api::Client;
use tandem_kit::tasks::{Kind, Tasks};
use tandem_types::Epoch;
use tandem_types::instance::Address;
use tandem_types::routing::BalancerStatus;
use tokio::sync::{Notify, watch};

use crate::balancer::Config;
use crate::control::{Control, Identity, Outlets};
use crate::handover::{Elders, Offer, Voice, merge};
use crate::probe::{Target, probe, run_probes};
use crate::shared::Shared;
use crate::table::{Holder, Registry, Saved, StateFile, keep_saved, report};
use tandem_certificates::{Cached, Followed};
use tandem_record::report_traffic;
use tandem_static::Library;

/// Longest wait for the first probes of a saved table: nobody is served meanwhile, and one instance that hangs must not
/// keep all others waiting.
const FIRST_PROBES: Duration = Duration::from_millis(250);

/// What the parts that are not serving threads begin with.
pub(crate) struct Start<'a> {
    /// Where its tasks belong.
    pub tasks: &'a Tasks,
    /// What the balancer was started with.
    pub config: &'a Config,
    /// Who it is.
    pub identity: &'a Identity,
    /// What the balancer said that serves until this one does.
    pub offer: Option<&'a Offer>,
}

/// What those parts tell.
pub(crate) struct Outlook {
    /// How this process stands.
    pub own: watch::Receiver<BalancerStatus>,
    /// How the balancer stands, with processes that finish what they have.
    pub merged: watch::Receiver<BalancerStatus>,
    /// What is saved.
    pub saved: watch::Receiver<Option<Saved>>,
    /// Whether it is known what is to be served.
    pub known: watch::Sender<bool>,
}

impl Start<'_> {
    /// Restores the last table and starts everything that is not a serving thread.
    pub(crate) async fn control(
        &self,
        (shared, library): (Arc<Shared>, Library),
        (voice, elders): (Voice, Elders),
    ) -> Outlook {
        let Self { tasks, config, identity, offer } = self;
        let news = Arc::new(Notify::new());
        let client = Client::new(config.server.clone());
        let mut file = StateFile::new(config.state_dir.join("state.json"));
        let holder = match offer {
            None => restore(file.load(), (Arc::clone(&shared), library), &news).await,
            Some(offer) => resume(offer, &mut file, (Arc::clone(&shared), library), &news).await,
        };
        let mut holder = holder;
        // What an earlier life left is served as it is. Of what a living one has the server may know more by now.
        let known = watch::Sender::new(offer.is_none() && holder.serving().epoch != Epoch::default());
        let (status, own) = watch::channel(first_status(identity, holder.serving().epoch));
        let (merging, merged) = watch::channel(own.borrow().clone());
        let (targets, probed) = watch::channel(holder.targets());
        let to_save = (holder.serving().epoch != Epoch::default()).then(|| holder.to_save());
        let (saved, states) = watch::channel(to_save);
        tasks.spawn("merge", Kind::Helper, merge(own.clone(), elders, merging));
        tasks.spawn("report", Kind::Helper, report(client.clone(), merged.clone(), voice.clone()));
        let process = (identity.id.clone(), identity.started);
        let seen = report_traffic(client.clone(), Arc::clone(&shared.records), process);
        tasks.spawn("report-traffic", Kind::Helper, seen);
        tasks.spawn("probe", Kind::Helper, run_probes(probed, Arc::clone(&news)));
        // Brought to its end: who starts while the server is away serves what was written last.
        tasks.spawn("save", Kind::Work, keep_saved(file, states.clone(), voice));
        let certificates = self.follow_certificates(&client).await;
        let answers = config.certificates.answers().clone();
        let outlets = Outlets { status, targets, saved, known: known.clone(), certificates, answers };
        let control = Control::new((*identity).clone(), (shared, holder), client, (outlets, news));
        tasks.spawn("control", Kind::Component, control.run(tasks.drain().clone()));
        Outlook { own, merged, saved: states, known }
    }

    /// Shows what was kept, and follows what the server has; where TLS is spoken.
    async fn follow_certificates(&self, client: &Client) -> watch::Sender<u64> {
        let Self { tasks, config, identity, .. } = self;
        let (wanted, wishes) = watch::channel(0);
        if !identity.https.is_empty() {
            let followed = Followed {
                client: client.clone(),
                path: format!("/v1/balancers/{}/certificates", identity.id),
                cached: Cached::at(config.state_dir.join("certificates.json")),
                certificates: config.certificates.clone(),
            };
            let known = followed.show_kept().await;
            tasks.spawn("certificates", Kind::Helper, followed.run(known, wishes));
        }
        wanted
    }
}

/// Serves the table of an earlier life, if there was one. Its instances may be gone: each is probed before it is trusted;
/// one that takes its time comes into its pool later.
async fn restore(
    saved: Option<Saved>,
    (shared, library): (Arc<Shared>, Library),
    news: &Arc<Notify>,
) -> Holder {
    let (mut holder, targets) = holder_of(saved, (shared, library), news);
    if targets.is_empty() {
        return holder;
    }
    join_all(targets.iter().map(|target| async move {
        let probed = tokio::time::timeout(FIRST_PROBES, probe(target)).await;
        target.instance.set_healthy(probed.is_ok_and(|probed| probed.is_ok()));
    }))
    .await;
    load_all(&mut holder).await;
    let epoch = holder.serving().epoch;
    let well = targets.iter().filter(|target| target.instance.is_healthy()).count();
    tracing::info!(%epoch, "serving the saved routing table {epoch}: {well} of {} instances answer", targets.len());
    holder
}

/// Serves the table of a living balancer. It probed each instance within the last second, so its word is taken; probing
/// them all again first would make everybody wait for what is known.
async fn resume(
    offer: &Offer,
    file: &mut StateFile,
    (shared, library): (Arc<Shared>, Library),
    news: &Arc<Notify>,
) -> Holder {
    let Some(saved) = StateFile::read(offer.saved.clone()) else {
        return restore(file.load(), (shared, library), news).await;
    };
    let (mut holder, targets) = holder_of(Some(saved), (shared, library), news);
    for target in targets {
        target.instance.set_healthy(!offer.unhealthy.contains(&target.instance.id()));
    }
    load_all(&mut holder).await;
    holder
}

fn holder_of(
    saved: Option<Saved>,
    (shared, library): (Arc<Shared>, Library),
    news: &Arc<Notify>,
) -> (Holder, Vec<Target>) {
    let places = saved.as_ref().map(|saved| saved.places.clone()).unwrap_or_default();
    let mut holder = Holder::new(shared, Registry::new(places, Arc::clone(news)), library);
    let Some(saved) = saved else { return (holder, Vec::new()) };
    holder.serve(saved.table);
    let targets = holder.targets();
    (holder, targets)
}

/// Makes static files ready. What is not on the disk is fetched as soon as the server is there.
async fn load_all(holder: &mut Holder) {
    for site in holder.unloaded() {
        let _ = site.load().await;
    }
}

fn first_status(identity: &Identity, serving: Epoch) -> BalancerStatus {
    BalancerStatus {
        started: identity.started,
        http: identity.http.iter().copied().map(Address::Tcp).collect(),
        https: identity.https.iter().copied().map(Address::Tcp).collect(),
        ..BalancerStatus::silent(identity.id.clone(), serving)
    }
}
