//! Config as the API reads and changes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::RolloutNumber;

/// Config names, with values only where they were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigListing {
    /// The release that the values go into at the next rollout, or are in.
    pub values: Vec<ConfigValue>,
    /// Names that differ from the serving release (`--no-deploy`).
    #[serde(default)]
    pub pending: Vec<String>,
}

/// One config value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigValue {
    /// Its name.
    pub name: String,
    /// Keyed digest.
    pub digest: String,
    /// The value, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Changes config.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Name → value.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Names to remove.
    #[serde(default)]
    pub unset: Vec<String>,
    /// Do not make a release now.
    #[serde(default)]
    pub no_deploy: bool,
    /// Refuse instead of waiting for a rollout under way.
    #[serde(default)]
    pub no_wait: bool,
    /// For the journal.
    #[serde(default)]
    pub message: String,
}

impl std::fmt::Debug for ConfigChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.set.keys().collect();
        f.debug_struct("ConfigChange")
            .field("set", &names)
            .field("unset", &self.unset)
            .finish_non_exhaustive()
    }
}

/// What became of a config change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChanged {
    /// Names whose values differ now.
    pub changed: Vec<String>,
    /// The rollout that brings them to the instances; none with `no_deploy`, without a running release, or
    /// where nothing changed.
    #[serde(default)]
    pub rollout: Option<RolloutNumber>,
}

/// The environment variables of a release, for the host that runs it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceConfig {
    /// Name → value: what the build sets, then config, then what Tandem sets (`TANDEM_APP`, `TANDEM_RELEASE`, …).
    pub environment: BTreeMap<String, String>,
}

impl std::fmt::Debug for InstanceConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.environment.keys()).finish()
    }
}
