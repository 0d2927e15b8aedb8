//! Environments: `production`, `staging`, … each with its own config, domains and scale.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::Kind;
use crate::{AppName, EnvironmentName, ProcessType, ReleaseNumber, RolloutNumber, Timestamp};

/// An environment as the store keeps it (`apps/<app>/envs/<env>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The app.
    pub app: AppName,
    /// Its name.
    pub name: EnvironmentName,
    /// User and group id of its instances on every host; never used for anything else, never used again.
    pub uid: u32,
    /// Instances by process type where people said how many.
    #[serde(default)]
    pub scale: BTreeMap<ProcessType, u32>,
    /// Config as it will be in the next release.
    #[serde(default)]
    pub config: Config,
    /// Domains that this environment owns now, by its serving release.
    #[serde(default)]
    pub domains: Vec<String>,
    /// The release that takes traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<ReleaseNumber>,
    /// Releases whose instances are kept warm, latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warm: Vec<WarmRelease>,
    /// Number of the next release.
    pub next_release: ReleaseNumber,
    /// Number of the next rollout.
    pub next_rollout: RolloutNumber,
    /// When it was created.
    pub created: Timestamp,
}

impl Environment {
    /// One in which nothing was released or set yet.
    pub fn new(app: AppName, name: EnvironmentName, uid: u32, created: Timestamp) -> Self {
        Self {
            app,
            name,
            uid,
            scale: BTreeMap::new(),
            config: Config::default(),
            domains: Vec::new(),
            current: None,
            warm: Vec::new(),
            next_release: ReleaseNumber(1),
            next_rollout: RolloutNumber(1),
            created,
        }
    }
}

impl Kind for Environment {
    const KIND: &'static str = "environment/1";
}

/// A release that is out of the pool but running, for instant rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmRelease {
    /// Which.
    pub release: ReleaseNumber,
    /// Stopped after this time.
    pub until: Timestamp,
}

/// Config values by name. Every one is treated as a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Config {
    /// Name → sealed value.
    pub values: BTreeMap<String, Sealed>,
}

/// A value encrypted at rest. Printing it shows only the keyed digest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// age (X25519) ciphertext, base64.
    pub ciphertext: String,
    /// First 12 hexadecimal digits of the keyed BLAKE3 digest of the value: tells equal from changed, nothing else.
    pub digest: String,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({})", self.digest)
    }
}
