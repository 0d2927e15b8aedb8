//! Every instance the balancer has to do with: in the table that is served, in the one prepared, or not drained yet.
//!
//! An instance keeps its identity (counters, connections, health) from table to table. Addresses come from the hosts'
//! observations and are kept when a host falls silent: the last known address is better than none.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tandem_types::instance::{Address, HostObservation};
use tandem_types::routing::{Member, Table};
use tandem_types::{AppName, EnvironmentName, HostName, InstanceId};
use tokio::sync::Notify;

use super::{Account, Instance};

/// Where an instance was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Its host; an address means nothing without it.
    pub host: HostName,
    /// Where it answered.
    pub address: Address,
}

/// Instances by id, and the places where instances were seen.
#[derive(Debug)]
pub(crate) struct Registry {
    instances: HashMap<InstanceId, Arc<Instance>>,
    places: BTreeMap<InstanceId, Place>,
    accounts: HashMap<(AppName, EnvironmentName), Arc<Account>>,
    news: Arc<Notify>,
}

impl Registry {
    /// Starts with places from an earlier life. `news` is woken by instances.
    pub(crate) fn new(places: BTreeMap<InstanceId, Place>, news: Arc<Notify>) -> Self {
        Self { instances: HashMap::new(), places, accounts: HashMap::new(), news }
    }

    /// The instance of a member, made where it is new.
    pub(crate) fn instance(&mut self, member: &Member) -> Arc<Instance> {
        let made = || {
            let instance = Instance::new(member.instance, Arc::clone(&self.news));
            instance.set_address(self.places.get(&member.instance).map(|place| &place.address));
            Arc::new(instance)
        };
        Arc::clone(self.instances.entry(member.instance).or_insert_with(made))
    }

    /// The account of an environment, made where it is new.
    pub(crate) fn account(&mut self, app: &AppName, environment: &EnvironmentName) -> Arc<Account> {
        let of = (app.clone(), environment.clone());
        Arc::clone(self.accounts.entry(of).or_default())
    }

    /// Takes in where a host's instances answer; says whether any address is news.
    ///
    /// An instance that the observation does not place keeps its last address (the runner may have started a moment
    /// ago) unless another instance answers there now: a request must never reach another app.
    pub(crate) fn observe(&mut self, observation: &HostObservation) -> bool {
        let mut changed = false;
        for observed in &observation.instances {
            let Some(address) = &observed.address else { continue };
            let place = Place { host: observation.host.clone(), address: address.clone() };
            if self.places.get(&observed.id) == Some(&place) {
                continue;
            }
            let former: Vec<_> =
                self.places.iter().filter(|(_, other)| **other == place).map(|(id, _)| *id).collect();
            for id in former {
                self.place(id, None);
            }
            self.place(observed.id, Some(place));
            changed = true;
        }
        self.forget_places(observation);
        changed
    }

    /// Drops places of instances that their host no longer knows and no table names.
    fn forget_places(&mut self, observation: &HostObservation) {
        let observed: HashSet<_> = observation.instances.iter().map(|observed| observed.id).collect();
        self.places.retain(|id, place| {
            place.host != observation.host || observed.contains(id) || self.instances.contains_key(id)
        });
    }

    fn place(&mut self, id: InstanceId, place: Option<Place>) {
        if let Some(instance) = self.instances.get(&id) {
            instance.set_address(place.as_ref().map(|place| &place.address));
        }
        match place {
            Some(place) => drop(self.places.insert(id, place)),
            None => drop(self.places.remove(&id)),
        }
    }

    /// Marks who is in the table about to be served. To be called before the swap.
    pub(crate) fn route(&mut self, table: &Table) {
        for member in members_of(table) {
            self.instance(member).route();
        }
    }

    /// Marks who is not in the table that is served now. To be called after the swap.
    pub(crate) fn unroute_others(&self, table: &Table) {
        let routed: HashSet<_> = members_of(table).map(|member| member.instance).collect();
        for (id, instance) in &self.instances {
            if !routed.contains(id) {
                instance.unroute();
            }
        }
    }

    /// Forgets instances that are in none of the tables and have no request left, and accounts that nobody holds.
    pub(crate) fn forget<'a>(&mut self, tables: impl Iterator<Item = &'a Table>) {
        let named: HashSet<_> = tables.flat_map(members_of).map(|member| member.instance).collect();
        self.instances.retain(|id, instance| named.contains(id) || instance.in_flight() > 0);
        self.accounts.retain(|_, account| Arc::strong_count(account) > 1);
    }

    /// Instances outside the served table that still have requests, with their number.
    pub(crate) fn draining(&self) -> BTreeMap<InstanceId, u64> {
        let counts = self.instances.values().filter(|instance| !instance.is_routed());
        counts.map(|instance| (instance.id(), instance.in_flight())).filter(|(_, count)| *count > 0).collect()
    }

    /// Places of the table's members, for the state file.
    pub(crate) fn places_of(&self, table: &Table) -> BTreeMap<InstanceId, Place> {
        let known = members_of(table).filter_map(|member| self.places.get_key_value(&member.instance));
        known.map(|(id, place)| (*id, place.clone())).collect()
    }
}

/// All members of all pools; one that is in several pools comes several times.
pub(crate) fn members_of(table: &Table) -> impl Iterator<Item = &Member> {
    table.routes.iter().flat_map(|route| route.pool.all_members())
}

#[cfg(test)]
mod tests {
    use tandem_types::instance::{Findings, InstanceObservation, InstanceState, Isolation};

    use super::*;

    fn registry() -> Registry {
        Registry::new(BTreeMap::new(), Arc::default())
    }

    fn member(id: u64) -> Member {
        Member { host: "box".parse().unwrap(), instance: InstanceId(id) }
    }

    fn observation(instances: &[(u64, Option<&str>)]) -> HostObservation {
        let observed = |(id, address): &(u64, Option<&str>)| InstanceObservation {
            id: InstanceId(*id),
            app: "shop".parse().unwrap(),
            environment: "production".parse().unwrap(),
            release: "r1".parse().unwrap(),
            process: "web".parse().unwrap(),
            index: 1,
            state: InstanceState::Ready,
            address: address.map(|address| Address::Tcp(address.parse().unwrap())),
            pid: None,
            started: None,
            restarts: 0,
            last_exit: None,
            detail: None,
            log_tail: Vec::new(),
            found: Findings::default(),
        };
        HostObservation {
            host: "box".parse().unwrap(),
            boot_id: "b".to_owned(),
            started: tandem_types::Timestamp::UNIX_EPOCH,
            api: Address::Unix("/run/runner.sock".into()),
            isolation: Isolation::Plain,
            isolation_gaps: Vec::new(),
            staged: Vec::new(),
            stage_failures: Vec::new(),
            instances: instances.iter().map(observed).collect(),
            jobs: Vec::new(),
            fence: tandem_types::Fence(1),
        }
    }

    fn address(registry: &mut Registry, id: u64) -> Option<String> {
        let instance = registry.instance(&member(id));
        let endpoint = instance.endpoint();
        endpoint.as_ref().map(|endpoint| endpoint.address.to_string())
    }

    #[test]
    fn an_instance_keeps_its_last_address_when_its_host_no_longer_places_it() {
        let mut registry = registry();
        assert!(
            registry.observe(&observation(&[(1, Some("127.0.0.1:20000")), (2, Some("127.0.0.1:20001"))]))
        );
        registry.instance(&member(1));
        assert!(!registry.observe(&observation(&[(1, None)])));
        assert!(!registry.observe(&observation(&[])));
        assert_eq!(address(&mut registry, 1).unwrap(), "127.0.0.1:20000");
        assert_eq!(address(&mut registry, 2), None);
    }

    #[test]
    fn an_address_that_another_instance_took_over_is_taken_from_the_first() {
        let mut registry = registry();
        registry.observe(&observation(&[(1, Some("127.0.0.1:20000"))]));
        assert!(address(&mut registry, 1).is_some());
        registry.observe(&observation(&[(2, Some("127.0.0.1:20000"))]));
        assert_eq!(address(&mut registry, 1), None);
        assert_eq!(address(&mut registry, 2).unwrap(), "127.0.0.1:20000");
    }

    #[test]
    fn instances_with_requests_are_remembered_until_the_last_one_ends() {
        let mut registry = registry();
        let instance = registry.instance(&member(1));
        instance.route();
        let lease = instance.lease().unwrap();
        registry.unroute_others(&Table::default());
        assert_eq!(registry.draining(), BTreeMap::from([(InstanceId(1), 1)]));
        registry.forget(std::iter::empty());
        assert!(Arc::ptr_eq(&registry.instance(&member(1)), &instance));
        drop(lease);
        registry.forget(std::iter::empty());
        assert!(registry.draining().is_empty());
        assert!(!Arc::ptr_eq(&registry.instance(&member(1)), &instance));
    }
}
