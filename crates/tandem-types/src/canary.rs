//! A canary: some of an environment's clients get another release than the others, each always the same one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::routing::Member;
use crate::{Digest, ReleaseNumber};

/// The releases that a pool's clients are shared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// What balancers sign their cookies with. Made anew for each canary; a client takes its place from one balancer to the
    /// other, and out of one canary into no other.
    pub key: ShareKey,
    /// Who gets something else than the pool's own release; all others get that.
    pub shares: Vec<Share>,
}

/// Some of the clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// What they get.
    pub release: ReleaseNumber,
    /// Its instances.
    pub members: Vec<Member>,
    /// Of a thousand clients so many.
    pub per_mille: u16,
}

/// 32 random bytes, which nobody but balancers and servers may know; never printed by mistake.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShareKey(pub Digest);

impl fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShareKey(secret)")
    }
}
