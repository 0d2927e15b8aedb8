//! A pause: an environment whose requests are answered with a page that says so.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Network, Timestamp};

/// Since when an environment is paused, and who gets through all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Clients whose requests reach the app as always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Network>,
}

impl Pause {
    /// Whether requests of a client reach the app as always.
    #[must_use]
    pub fn lets_through(&self, client: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(client))
    }
}
