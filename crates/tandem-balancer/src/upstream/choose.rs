//! Which instance gets a request, and over which connection.

use std::rc::Rc;
use std::sync::Arc;

use tandem_types::InstanceId;

use super::Connection;
use super::connection::{connect, is_its_fault};
use crate::table::{Endpoint, Instance, Lease};
use crate::thread::Thread;

/// An instance that was not tried yet: of two drawn by lot the one with fewer requests. Among those that are healthy and not left out,
/// if there are any; then among the healthy ones; then among all, since a pool is never given up for its probes alone.
pub(crate) fn choose(thread: &Thread, members: &[Arc<Instance>], tried: &[InstanceId]) -> Option<Lease> {
    let untried = |member: &&Arc<Instance>| !tried.contains(&member.id());
    let healthy = |member: &&Arc<Instance>| untried(member) && member.is_healthy();
    let available = |member: &&Arc<Instance>| untried(member) && member.is_available();
    let drawn = draw(thread, || members.iter().filter(available))
        .or_else(|| draw(thread, || members.iter().filter(healthy)))
        .or_else(|| draw(thread, || members.iter().filter(untried)))?;
    // Un-routed in this very moment: any other that still is in the table.
    drawn.lease().or_else(|| members.iter().filter(untried).find_map(Instance::lease))
}

fn draw<'a, I>(thread: &Thread, fitting: impl Fn() -> I) -> Option<&'a Arc<Instance>>
where
    I: Iterator<Item = &'a Arc<Instance>>,
{
    let count = fitting().count();
    if count < 2 {
        return fitting().next();
    }
    let dice = thread.random();
    let first = dice as usize % count;
    let second = (first + 1 + (dice >> 32) as usize % (count - 1)) % count;
    let (first, second) = (fitting().nth(first)?, fitting().nth(second)?);
    Some(if second.in_flight() < first.in_flight() { second } else { first })
}

/// Which connection will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A new one only.
    New,
    /// A kept one too.
    Kept,
    /// A kept one too, if it was just seen to be open.
    Quiet,
}

/// A connection to an instance. None: it cannot be reached.
pub(crate) async fn reach(thread: &Rc<Thread>, instance: &Arc<Instance>, reach: Reach) -> Option<Connection> {
    let endpoint: Arc<Endpoint> = instance.endpoint().as_ref().map(Arc::clone)?;
    while reach != Reach::New
        && let Some(kept) = thread.pool.take(&endpoint, thread.now())
    {
        if reach == Reach::Kept || kept.is_quiet() {
            return Some(kept);
        }
    }
    match connect(&endpoint).await {
        Ok(connection) => Some(connection),
        Err(error) => {
            tracing::debug!(instance = %endpoint.id, "cannot connect to {}: {error}", endpoint.address);
            if is_its_fault(&error) {
                instance.suspect();
            }
            None
        }
    }
}
