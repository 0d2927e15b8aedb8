//! Which instance has which port.
//!
//! A port is kept as long as its instance exists, over crashes and over the runner's own restarts, because a
//! routing table may still name it. One that was given back is the last to be given again: a connection that a
//! balancer kept open, or a table that is one epoch old, must not reach another app.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tandem_types::InstanceId;

use crate::port_range::PortRange;

/// Ports that are never given, since services are often found there that may just be stopped: their documented
/// defaults. IANA has registered only some of them, and many others that nobody runs beside web apps.
const OTHERS: [u16; 12] = [
    20_048, // mountd (NFS)
    24_007, // GlusterFS
    24_224, // Fluentd
    25_672, // RabbitMQ, between nodes
    26_257, // CockroachDB
    26_379, // Redis Sentinel
    27_017, // MongoDB
    27_018, // MongoDB, shards
    27_019, // MongoDB, config servers
    27_020, // MongoDB, mongocryptd
    28_015, // RethinkDB, drivers
    29_015, // RethinkDB, between nodes
];

/// Ports given to instances, and where the search for the next one begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    given: BTreeMap<InstanceId, u16>,
    next: u16,
    /// Where new ones come from. Not kept: the machine may be set otherwise at the next start.
    #[serde(skip)]
    range: PortRange,
}

/// Every port is given or in use by somebody else.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("find a free port from {0}")]
pub(crate) struct Exhausted(PortRange);

impl Ports {
    /// None given yet; the search begins at the port (or at the nearest of ours). Runners of several data folders on
    /// one machine begin at different places, so that they do not race for the same ports.
    pub(crate) fn starting_at(port: u16) -> Self {
        Self { given: BTreeMap::new(), next: port, range: PortRange::default() }
    }

    /// The same, with new ports from this range. What was given stays as it is.
    pub(crate) fn within(self, range: PortRange) -> Self {
        Self { range, ..self }
    }

    /// The port of an instance, the one it has already or the next one that nobody uses.
    pub(crate) fn give(
        &mut self,
        instance: InstanceId,
        is_free: impl Fn(u16) -> bool,
    ) -> Result<u16, Exhausted> {
        if let Some(port) = self.given.get(&instance) {
            return Ok(*port);
        }
        let taken: BTreeSet<u16> = self.given.values().copied().collect();
        let PortRange { first, last } = self.range;
        let start = self.range.nearest(self.next);
        let port = (start..=last)
            .chain(first..start)
            .find(|port| !taken.contains(port) && !OTHERS.contains(port) && is_free(*port))
            .ok_or(Exhausted(self.range))?;
        self.given.insert(instance, port);
        self.next = if port == last { first } else { port + 1 };
        Ok(port)
    }

    /// Takes the port of an instance back. True when it had one.
    pub(crate) fn take_back(&mut self, instance: InstanceId) -> bool {
        self.given.remove(&instance).is_some()
    }

    /// Takes back the ports of all instances that are no more. True when there was one.
    pub(crate) fn retain(&mut self, exists: impl Fn(InstanceId) -> bool) -> bool {
        let before = self.given.len();
        self.given.retain(|instance, _| exists(*instance));
        before != self.given.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u16 = tandem_types::defaults::FIRST_PORT;

    fn none() -> Ports {
        Ports::starting_at(FIRST)
    }

    #[test]
    fn an_instance_keeps_its_port_and_no_two_share_one() {
        let mut ports = none();
        let one = ports.give(InstanceId(1), |_| true);
        let two = ports.give(InstanceId(2), |_| true);
        assert_eq!((one, two), (Ok(FIRST), Ok(FIRST + 1)));
        assert_eq!(ports.give(InstanceId(1), |_| false), Ok(FIRST));
    }

    #[test]
    fn a_port_that_somebody_else_uses_is_skipped() {
        let mut ports = none();
        assert_eq!(ports.give(InstanceId(1), |port| port > FIRST + 2), Ok(FIRST + 3));
    }

    #[test]
    fn a_port_that_a_well_known_service_may_want_is_skipped_though_it_is_free() {
        let mut ports = Ports::starting_at(27_017);
        assert_eq!(ports.give(InstanceId(1), |_| true), Ok(27_021));
        let kept: Ports =
            serde_json::from_str(r#"{"given":{"i7":27017},"next":20001}"#).expect("it is plain JSON");
        assert_eq!(kept.clone().give(InstanceId(7), |_| false), Ok(27_017), "one that has it keeps it");
    }

    #[test]
    fn a_port_given_back_is_the_last_to_be_given_again() {
        let mut ports = none();
        ports.give(InstanceId(1), |_| true).expect("the first port is free");
        assert!(ports.take_back(InstanceId(1)));
        assert!(!ports.take_back(InstanceId(1)));
        assert_eq!(ports.give(InstanceId(2), |_| true), Ok(FIRST + 1));
        assert_eq!(ports.give(InstanceId(3), |port| port == FIRST), Ok(FIRST));
    }

    #[test]
    fn all_ports_in_use_is_an_error_and_not_an_endless_search() {
        assert_eq!(none().give(InstanceId(1), |_| false), Err(Exhausted(PortRange::default())));
    }

    #[test]
    fn ports_survive_being_written_and_read() {
        let mut ports = none();
        ports.give(InstanceId(7), |_| true).expect("the first port is free");
        let text = serde_json::to_string(&ports).expect("ports are plain JSON");
        assert_eq!(text, r#"{"given":{"i7":20000},"next":20001}"#);
        assert_eq!(serde_json::from_str::<Ports>(&text).expect("it was just written"), ports);
    }

    #[test]
    fn ports_of_instances_that_are_no_more_are_taken_back() {
        let mut ports = none();
        for id in 1..=3 {
            ports.give(InstanceId(id), |_| true).expect("there are thousands");
        }
        assert!(ports.retain(|instance| instance == InstanceId(2)));
        assert!(!ports.retain(|instance| instance == InstanceId(2)));
        assert_eq!(ports.give(InstanceId(2), |_| false), Ok(FIRST + 1));
    }
    #[test]
    fn a_port_outside_of_the_range_is_kept_by_its_instance_and_given_to_no_other() {
        let mut ports = none();
        assert_eq!(ports.give(InstanceId(1), |_| true), Ok(FIRST));
        let mut ports = ports.within(PortRange { first: 61_000, last: 61_001 });
        assert_eq!(ports.give(InstanceId(1), |_| false), Ok(FIRST));
        assert_eq!(ports.give(InstanceId(2), |_| true), Ok(61_000));
        assert!(ports.take_back(InstanceId(1)));
        assert_eq!(ports.give(InstanceId(3), |_| true), Ok(61_001));
        assert_eq!(
            ports.give(InstanceId(4), |_| true).map_err(|error| error.to_string()),
            Err("find a free port from 61000 to 61001".to_owned())
        );
    }
}
