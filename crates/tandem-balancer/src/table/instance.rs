//! One instance as the balancer sees it: where it is, whether it is well, how many requests it has.
//!
//! Shared by all threads; read and counted with atomics only. The order of operations between [`Instance::lease`] and
//! [`Instance::unroute`] is what "un-routed, then drained, then stopped" rests on: either the request sees that the
//! instance is un-routed and goes elsewhere, or the drain sees the request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use tandem_kit::clock::Moment;
use tandem_rules::ejection::{Seen, Standing};
use tandem_types::InstanceId;
use tandem_types::instance::Address;
use tokio::sync::Notify;

use super::Permit;

/// Where an instance answers. A new address is a new endpoint, so that connections to the old one are told apart by
/// identity.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The instance it belongs to.
    pub id: InstanceId,
    /// Its address.
    pub address: Address,
}

/// An instance in some table that is served, prepared or not drained yet.
#[derive(Debug)]
pub(crate) struct Instance {
    id: InstanceId,
    endpoint: ArcSwapOption<Endpoint>,
    in_flight: AtomicU64,
    routed: AtomicBool,
    healthy: AtomicBool,
    /// Refused a connection since the prober looked last.
    suspect: AtomicBool,
    /// Wakes its prober when it becomes suspect.
    suspected: Notify,
    unrouted: Notify,
    standing: Mutex<Standing>,
    /// Something speaks against it in its standing.
    troubled: AtomicBool,
    left_out: AtomicBool,
    /// From when on times in its standing count.
    made: Moment,
    /// Wakes whoever reports when the last request of an un-routed instance ends, or its health is in doubt.
    news: Arc<Notify>,
}

impl Instance {
    /// An instance outside every table. `news` is woken when there is something to report of it.
    pub(crate) fn new(id: InstanceId, news: Arc<Notify>) -> Self {
        Self {
            id,
            endpoint: ArcSwapOption::empty(),
            in_flight: AtomicU64::new(0),
            routed: AtomicBool::new(false),
            healthy: AtomicBool::new(true),
            suspect: AtomicBool::new(false),
            suspected: Notify::new(),
            unrouted: Notify::new(),
            standing: Mutex::default(),
            troubled: AtomicBool::new(false),
            left_out: AtomicBool::new(false),
            made: tandem_record::now(),
            news,
        }
    }

    /// Which.
    pub(crate) fn id(&self) -> InstanceId {
        self.id
    }

    /// Where it answers now, if that is known.
    pub(crate) fn endpoint(&self) -> Guard<Option<Arc<Endpoint>>> {
        self.endpoint.load()
    }

    /// Moves it to an address; says whether that is news.
    pub(crate) fn set_address(&self, address: Option<&Address>) -> bool {
        if self.endpoint().as_ref().map(|endpoint| &endpoint.address) == address {
            return false;
        }
        let endpoint = address.map(|address| Arc::new(Endpoint { id: self.id, address: address.clone() }));
        self.endpoint.store(endpoint);
        true
    }

    /// Requests it has now, open tunnels among them.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Whether its probes were good lately.
    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Writes down what the probes say; says whether that is news.
    pub(crate) fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Ordering::Relaxed) != healthy
    }

    /// Its port refused a connection: out at once, until its probes bring it back.
    pub(crate) fn suspect(&self) {
        self.suspect.store(true, Ordering::Relaxed);
        if self.set_healthy(false) {
            self.news.notify_one();
            self.suspected.notify_one();
        }
    }

    /// Waits until it is suspected; one prober does.
    pub(crate) async fn until_suspected(&self) {
        self.suspected.notified().await;
    }

    /// Whether it was suspected since this was asked last.
    pub(crate) fn take_suspicion(&self) -> bool {
        self.suspect.swap(false, Ordering::Relaxed)
    }

    /// Whether it should get requests: its probes are good, and it is not left out for what requests saw.
    pub(crate) fn is_available(&self) -> bool {
        self.is_healthy() && !self.is_left_out()
    }

    /// Whether it is left out for what requests saw.
    pub(crate) fn is_left_out(&self) -> bool {
        self.left_out.load(Ordering::Relaxed)
    }

    /// A request saw it well.
    pub(crate) fn saw_well(&self) {
        // Read only, for as long as all is well: every request comes by here.
        if self.troubled.load(Ordering::Relaxed) {
            self.saw_trouble(Seen::Well);
        }
    }

    /// Takes in what a request saw; says whether that is reason to leave it out.
    pub(crate) fn saw_trouble(&self, seen: Seen) -> bool {
        let mut standing = self.standing();
        let is_reason = standing.see(seen);
        self.troubled.store(!standing.is_clean(), Ordering::Relaxed);
        is_reason
    }

    /// Leaves it out; says for how long at least.
    pub(crate) fn leave_out(&self) -> Duration {
        let length = self.standing().leave_out(self.age());
        self.left_out.store(true, Ordering::Relaxed);
        self.news.notify_one();
        length
    }

    /// Takes in a good probe; says whether it is left out no longer for that.
    pub(crate) fn probed_well(&self) -> bool {
        let is_back = self.is_left_out() && self.standing().probed_well(self.age());
        if is_back {
            self.left_out.store(false, Ordering::Relaxed);
        }
        is_back
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn age(&self) -> Duration {
        tandem_record::now().elapsed_since(self.made)
    }

    /// Whether the table that is served has it.
    pub(crate) fn is_routed(&self) -> bool {
        self.routed.load(Ordering::SeqCst)
    }

    /// To be called before a table with it is served.
    pub(crate) fn route(&self) {
        self.routed.store(true, Ordering::SeqCst);
    }

    /// To be called after a table without it is served. From now on no request begins; those in flight are counted.
    pub(crate) fn unroute(&self) {
        if self.routed.swap(false, Ordering::SeqCst) {
            self.unrouted.notify_waiters();
        }
    }

    /// Waits until it is un-routed.
    pub(crate) async fn until_unrouted(&self) {
        loop {
            let unrouted = self.unrouted.notified();
            tokio::pin!(unrouted);
            unrouted.as_mut().enable();
            if !self.is_routed() {
                return;
            }
            unrouted.await;
        }
    }

    /// Counts a request in. None: it was un-routed in the meantime; the table must be asked again.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let lease = Lease { instance: Arc::clone(self), permit: None };
        // Read after the count was raised: see the module's head.
        self.is_routed().then_some(lease)
    }
}

/// A request in flight; counts itself out when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    instance: Arc<Instance>,
    permit: Option<Permit>,
}

impl Lease {
    /// The same with a request's place among those of its app, given back together with this.
    pub(crate) fn with(self, permit: Option<Permit>) -> Self {
        let mut lease = self;
        lease.permit = permit;
        lease
    }

    /// Whose request it is.
    pub(crate) fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let before = self.instance.in_flight.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && !self.instance.is_routed() {
            self.instance.news.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Arc<Instance> {
        Arc::new(Instance::new(InstanceId(7), Arc::default()))
    }

    #[test]
    fn an_unrouted_instance_takes_no_request_and_keeps_the_count_of_those_it_has() {
        let instance = instance();
        assert!(instance.lease().is_none());
        assert_eq!(instance.in_flight(), 0);
        instance.route();
        let lease = instance.lease().unwrap();
        instance.unroute();
        assert!(instance.lease().is_none());
        assert_eq!(instance.in_flight(), 1);
        drop(lease);
        assert_eq!(instance.in_flight(), 0);
    }

    #[tokio::test]
    async fn the_end_of_the_last_request_of_an_unrouted_instance_is_news() {
        let instance = instance();
        instance.route();
        let (first, second) = (instance.lease().unwrap(), instance.lease().unwrap());
        drop(first);
        instance.unroute();
        drop(second);
        instance.news.notified().await;
    }

    #[tokio::test]
    async fn waiting_for_the_unroute_does_not_miss_one_that_was_before() {
        let instance = instance();
        instance.until_unrouted().await;
        instance.route();
        let waiting = instance.until_unrouted();
        instance.unroute();
        waiting.await;
    }

    #[test]
    fn an_address_is_news_once() {
        let instance = instance();
        let address = Address::Tcp("127.0.0.1:20000".parse().unwrap());
        assert!(instance.set_address(Some(&address)));
        assert!(!instance.set_address(Some(&address)));
        assert!(instance.set_address(None));
        assert!(instance.endpoint().is_none());
    }
}
