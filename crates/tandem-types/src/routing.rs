//! The routing table that balancers hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canary::Canary;
use crate::document::Kind;
use crate::https::HttpsSpec;
use crate::instance::Address;
use crate::pause::Pause;
use crate::{
    AppName, BalancerId, Digest, EnvironmentName, Epoch, Health, HostName, InstanceId, Limits, ReleaseNumber,
    Timestamp,
};

/// The one routing document (`routing/table`). An epoch is prepared, acknowledged by every live balancer, then
/// moved to `serving` in a second transaction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RoutingDocument {
    /// What balancers serve.
    pub serving: Table,
    /// What they get ready for: probe its instances, fetch its static files, then acknowledge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<Table>,
    /// The greatest epoch that was ever prepared. One that was withdrawn is never used again: a balancer may still
    /// say that it is ready for it.
    #[serde(default)]
    pub last: Epoch,
    /// Every balancer that ever reported, until a person removes it, with an epoch that it is known to serve: it may be at
    /// a later one by now. Reports are volatile; this is what a server knows of a balancer that is cut off when it starts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub balancers: BTreeMap<BalancerId, Epoch>,
}

impl Kind for RoutingDocument {
    const KIND: &'static str = "routing/3";
}

/// A whole routing table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Table {
    /// Its version.
    pub epoch: Epoch,
    /// Routes by domain, then by prefix; the longest prefix wins.
    pub routes: Vec<Route>,
}

/// A domain and path prefix that lead to a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Host name in lower case, without a port; `*.example.org` stands for every name below `example.org`.
    pub domain: String,
    /// Path prefix; `/` for all. Matches whole segments: `/a` matches `/a` and `/a/b`, not `/ab`.
    pub prefix: String,
    /// Where requests go.
    pub pool: Pool,
    /// Folders that the balancer serves itself, tried before the pool, longest prefix first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub static_folders: Vec<StaticFolder>,
    /// What is done besides over HTTPS; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<HttpsSpec>,
}

/// The instances that answer for a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release that takes the traffic.
    pub release: ReleaseNumber,
    /// Instances by host; their addresses are in the hosts' observations, never here.
    pub members: Vec<Member>,
    /// Asked each second, with the route's domain as host name unless it names another.
    pub health: Health,
    /// What its requests may take and how long they wait.
    #[serde(default, skip_serializing_if = "Limits::are_usual")]
    pub limits: Limits,
    /// Its requests are answered with a page that says that it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Some of its clients get other releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

impl Pool {
    /// Its own instances, and those of other releases that some of its clients get.
    pub fn all_members(&self) -> impl Iterator<Item = &Member> {
        let shares = self.canary.iter().flat_map(|canary| &canary.shares);
        self.members.iter().chain(shares.flat_map(|share| &share.members))
    }
}

/// One instance of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// Where it runs.
    pub host: HostName,
    /// Which.
    pub instance: InstanceId,
}

/// Files that the balancer serves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticFolder {
    /// URL prefix with slashes at both ends: `/static/`.
    pub prefix: String,
    /// Root trees tried in this order: the serving release, then others that took traffic in the last 24 h.
    pub trees: Vec<Digest>,
}

/// What a balancer reports (`balancers/<id>`, volatile). Sent at each change and every 5 s; a balancer that has
/// not reported for 15 s is not live, and nothing it may still route to is stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BalancerStatus {
    /// Which.
    pub balancer: BalancerId,
    /// When its process started.
    pub started: Timestamp,
    /// Epoch it serves.
    pub serving: Epoch,
    /// Epoch it is ready to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<Epoch>,
    /// Why it cannot prepare, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Instances outside the serving table that still have requests, with their number.
    #[serde(default)]
    pub draining: BTreeMap<InstanceId, u64>,
    /// Members of the serving table that its own probes find unhealthy.
    #[serde(default)]
    pub unhealthy: Vec<InstanceId>,
    /// Members of the serving table that it leaves out for a while, because they fail requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<InstanceId>,
    /// Where the world reaches it over HTTP.
    pub http: Vec<Address>,
    /// Where the world reaches it over HTTPS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub https: Vec<Address>,
    /// Up to which number it answers [`Challenges`](crate::https::Challenges).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub challenges: u64,
    /// Requests answered since it started.
    pub requests: u64,
}

impl BalancerStatus {
    /// What is known of a balancer that has said nothing but, at most, which epoch it serves.
    pub fn silent(balancer: BalancerId, serving: Epoch) -> Self {
        Self {
            balancer,
            started: Timestamp::UNIX_EPOCH,
            serving,
            prepared: None,
            problem: None,
            draining: BTreeMap::new(),
            unhealthy: Vec::new(),
            left_out: Vec::new(),
            http: Vec::new(),
            https: Vec::new(),
            challenges: 0,
            requests: 0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Kind for BalancerStatus {
    const KIND: &'static str = "balancer_status/1";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_document_from_before_balancers_were_remembered_reads_and_is_written_alike() {
        let stored = r#"{"serving":{"epoch":"e7","routes":[]},"last":"e8"}"#;
        let routing: RoutingDocument = serde_json::from_str(stored).unwrap();
        assert_eq!((routing.last, routing.balancers.len()), (Epoch(8), 0));
        assert_eq!(serde_json::to_string(&routing).unwrap(), stored);
    }

    #[test]
    fn balancers_are_remembered_with_their_epochs() {
        let stored =
            r#"{"serving":{"epoch":"e7","routes":[]},"last":"e7","balancers":{"edge-1":"e7","edge-2":"e5"}}"#;
        let routing: RoutingDocument = serde_json::from_str(stored).unwrap();
        assert_eq!(routing.balancers.get(&"edge-2".parse().unwrap()), Some(&Epoch(5)));
        assert_eq!(serde_json::to_string(&routing).unwrap(), stored);
    }
}
