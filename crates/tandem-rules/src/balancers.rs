//! Which balancers there are, and by which epoch each may still route.
//!
//! What balancers report is volatile: a server that starts anew knows nothing of one that is cut off just then. So the
//! routing document remembers each one that ever reported, with an epoch that it is known to serve, until it is removed by
//! a person. Whoever has not reported is believed to be there, and no further than what is written down.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::routing::{BalancerStatus, RoutingDocument};
use tandem_types::{BalancerId, Epoch};

use crate::world::Received;

/// What balancers said last.
pub type Reports = BTreeMap<BalancerId, Received<BalancerStatus>>;

/// Every balancer with the epoch it serves: by its report, else by what is written down, and then maybe a later one.
#[must_use]
pub fn known<'a>(routing: &'a RoutingDocument, reports: &'a Reports) -> BTreeMap<&'a BalancerId, Epoch> {
    let written = routing.balancers.iter().map(|(id, epoch)| (id, *epoch));
    let told = reports.iter().map(|(id, report)| (id, report.value.serving));
    written.chain(told).collect()
}

/// Balancers that may still route by an epoch before this one.
#[must_use]
pub fn behind(routing: &RoutingDocument, reports: &Reports, epoch: Epoch) -> BTreeSet<BalancerId> {
    let all = known(routing, reports).into_iter();
    all.filter(|(_, serving)| *serving < epoch).map(|(id, _)| id.clone()).collect()
}

/// Balancers that have said nothing to this server, with the epoch that is written down.
pub fn unheard<'a>(
    routing: &'a RoutingDocument,
    reports: &'a Reports,
) -> impl Iterator<Item = (&'a BalancerId, Epoch)> {
    routing.balancers.iter().filter(|(id, _)| !reports.contains_key(*id)).map(|(id, epoch)| (id, *epoch))
}

/// The document as it must be before this report is taken in; none where it may stay as it is. Written when a balancer
/// is new, or serves less than it once did: its disk was lost, say. That it serves more is not worth a write of its own.
#[must_use]
pub fn with(routing: &RoutingDocument, status: &BalancerStatus) -> Option<RoutingDocument> {
    // One without a table routes to nothing, and the first that it gets is none before what is written down.
    let holds = |written: &Epoch| *written <= status.serving || status.serving == Epoch::default();
    if routing.balancers.get(&status.balancer).is_some_and(holds) {
        return None;
    }
    let mut changed = routing.clone();
    changed.balancers.insert(status.balancer.clone(), status.serving);
    Some(changed)
}

/// The document without a balancer that a person says is gone for good; none where it is not in there.
#[must_use]
pub fn without(routing: &RoutingDocument, gone: &BalancerId) -> Option<RoutingDocument> {
    let mut changed = routing.clone();
    changed.balancers.remove(gone)?;
    Some(changed)
}

/// Writes down how far everybody is who reported.
pub(crate) fn remember(routing: &mut RoutingDocument, reports: &Reports) {
    routing.balancers.extend(reports.iter().map(|(id, report)| (id.clone(), report.value.serving)));
}
