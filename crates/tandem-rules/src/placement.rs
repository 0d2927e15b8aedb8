//! On which host an instance goes: evenly over the hosts in their order, or all on the one host that has the data.

use std::collections::BTreeMap;

use tandem_types::assignment::Assignment;
use tandem_types::{HostName, ProcessType};

use crate::world::World;

/// A place to be filled by one instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Where.
    pub host: HostName,
    /// Its process type.
    pub process: ProcessType,
    /// Its number among its siblings, from 1.
    pub index: u32,
}

/// Where the instance of that number goes. `None` where there is no host at all.
#[must_use]
pub fn place(world: &World, process: &ProcessType, index: u32, has_volumes: bool) -> Option<Position> {
    let host = if has_volumes { home(&world.assignments, &world.hosts)? } else { nth(&world.hosts, index)? };
    Some(Position { host, process: process.clone(), index })
}

fn nth(hosts: &[HostName], index: u32) -> Option<HostName> {
    let place = usize::try_from(index.saturating_sub(1)).ok()?.checked_rem(hosts.len())?;
    hosts.get(place).cloned()
}

/// The host that has the environment's volumes: the one it runs on or ran on last (its assignment stays when
/// everything in it is gone). Data does not travel, so a process with a volume is never started elsewhere.
#[must_use]
pub fn home(assigned: &BTreeMap<HostName, Assignment>, hosts: &[HostName]) -> Option<HostName> {
    let occupied = |(_, assignment): &(&HostName, &Assignment)| !assignment.instances.is_empty();
    let host = assigned.iter().find(occupied).or_else(|| assigned.iter().next()).map(|(host, _)| host);
    host.or(hosts.first()).cloned()
}
