//! Releases: a build plus a config snapshot in one environment.

use serde::{Deserialize, Serialize};

use crate::document::{Cause, Kind};
use crate::environment::Config;
use crate::{AppName, BuildNumber, EnvironmentName, ReleaseNumber, RolloutNumber, Timestamp};

/// A release as the store keeps it (`apps/<app>/envs/<env>/releases/<r>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Numbered per environment, over deploys and config changes alike.
    pub number: ReleaseNumber,
    /// The build that runs.
    pub build: BuildNumber,
    /// Config as it was when the release was made; a rollback brings it back.
    pub config: Config,
    /// Who made it, how and why.
    pub cause: Cause,
    /// What people said with `-m`, or the commit's subject.
    #[serde(default)]
    pub message: String,
    /// When it was made.
    pub created: Timestamp,
    /// The rollout that made it.
    pub rollout: RolloutNumber,
    /// What has become of it.
    pub status: ReleaseStatus,
    /// When it last began to take traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_traffic: Option<Timestamp>,
    /// When it last ceased to take traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_traffic: Option<Timestamp>,
}

impl Kind for Release {
    const KIND: &'static str = "release/1";
}

/// What has become of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseStatus {
    /// Its first rollout is under way.
    Pending,
    /// Takes the traffic.
    Current,
    /// Took traffic once and may be rolled back to.
    Superseded,
    /// Never took traffic: its rollout failed or was aborted.
    Failed,
    /// Took traffic and was rolled back from.
    RolledBack,
}
