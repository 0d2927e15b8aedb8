//! Targets by their address: one that is named again after the file changed is the same as before, with its connections,
//! its counters and its health.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tandem_types::InstanceId;
use tandem_types::instance::Address;
use tokio::sync::Notify;

use crate::table::{Account, Instance};

/// All targets that the file names, or that still have requests.
#[derive(Debug)]
pub(super) struct Targets {
    known: HashMap<Address, Arc<Instance>>,
    accounts: HashMap<String, Arc<Account>>,
    last: u64,
    news: Arc<Notify>,
}

impl Targets {
    /// None yet. `news` is woken when the last request of one ends that is named no more.
    pub(super) fn new(news: Arc<Notify>) -> Self {
        Self { known: HashMap::new(), accounts: HashMap::new(), last: 0, news }
    }

    /// The target at an address.
    pub(super) fn at(&mut self, address: &Address) -> Arc<Instance> {
        let made = || {
            self.last += 1;
            let instance = Instance::new(InstanceId(self.last), Arc::clone(&self.news));
            instance.set_address(Some(address));
            Arc::new(instance)
        };
        Arc::clone(self.known.entry(address.clone()).or_insert_with(made))
    }

    /// What the requests of a domain take.
    pub(super) fn account(&mut self, domain: &str) -> Arc<Account> {
        Arc::clone(self.accounts.entry(domain.to_owned()).or_default())
    }

    /// Marks who takes no more requests. To be called after a table without them is served.
    pub(super) fn unroute_others(&self, named: &HashSet<InstanceId>) {
        let others = self.known.values().filter(|instance| !named.contains(&instance.id()));
        others.for_each(|instance| instance.unroute());
    }

    /// Forgets those that are named no more and have no request left.
    pub(super) fn tidy(&mut self) {
        self.known.retain(|_, instance| instance.is_routed() || instance.in_flight() > 0);
        self.accounts.retain(|_, account| Arc::strong_count(account) > 1);
    }
}
