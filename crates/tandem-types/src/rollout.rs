//! Rollouts: moving an environment's traffic from one release to another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::build::SourceInfo;
use crate::document::{Cause, Kind};
use crate::git::GitSource;
use crate::problem::Problem;
use crate::{
    AppName, BuildNumber, Digest, EnvironmentName, Epoch, InstanceId, JobId, ProcessType, ReleaseNumber,
    RolloutNumber, Span, Timestamp,
};

/// A rollout as the store keeps it (`apps/<app>/envs/<env>/rollouts/<ro>`): everything that is needed to go on
/// with it after a crash at any moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Counted per environment.
    pub number: RolloutNumber,
    /// What it is for.
    pub kind: RolloutKind,
    /// Who asked, how and why.
    pub cause: Cause,
    /// The source to build; only for deploys of what a client sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Where the server fetches the source to build; only for deploys from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitSource>,
    /// The release that took traffic when this rollout began to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ReleaseNumber>,
    /// The release that shall take traffic; known once it is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ReleaseNumber>,
    /// Its build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildNumber>,
    /// Where it stands.
    pub state: RolloutState,
    /// Every step so far, in order, with its times.
    pub steps: Vec<StepRecord>,
    /// Instances that this rollout brings up or brings back.
    #[serde(default)]
    pub incoming: Vec<InstanceId>,
    /// Instances that it takes out of the pool.
    #[serde(default)]
    pub outgoing: Vec<InstanceId>,
    /// The smoke check, once it was assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoke_job: Option<JobId>,
    /// The release phase, once it was assigned. Never assigned twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_job: Option<JobId>,
    /// The epoch that moves the traffic, once it was prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Wanted instances by process type; only for a change of scale, which becomes the environment's when it completes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scale: BTreeMap<ProcessType, u32>,
    /// Process types to restart; only for restarts, empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessType>,
    /// Length of the soak under witnesses.
    pub soak: Span,
    /// Somebody asked to abort.
    #[serde(default)]
    pub abort: Option<Cause>,
    /// The one verdict.
    pub verdict: Verdict,
    /// Why it failed, in the words people get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What people should know, each once: balancers that have not confirmed in time (these begin with `unconfirmed`, and
    /// `status` shows them while the rollout is under way), a worker that does not come up, why an abort or a return was
    /// not possible, config values that an earlier release brings back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// When it was asked for.
    pub created: Timestamp,
    /// When the traffic was confirmed to have moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifted: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
}

impl Kind for Rollout {
    const KIND: &'static str = "rollout/2";
}

/// What a rollout is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutKind {
    /// New source: build, then a new release.
    Deploy,
    /// An earlier release again, under its own number.
    Rollback,
    /// The same build with another config: a new release.
    Config,
    /// The same release with another number of instances.
    Scale,
    /// The same release in new instances.
    Restart,
}

/// Source as its sender left it on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Root tree, already in the blob store.
    pub tree: Digest,
    /// Where it came from.
    pub info: SourceInfo,
}

/// Where a rollout stands. Failure before `Committing` leaves the old release untouched; after it, traffic goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// Another rollout of the environment is under way.
    Queued,
    /// Source becomes a build.
    Building,
    /// Hosts check the build out.
    Staging,
    /// The app is imported once; nothing listens.
    Smoking,
    /// The release phase runs, at most once.
    Releasing,
    /// New instances of one host start and pass the gate, then the rest.
    Starting,
    /// Balancers get ready for the new epoch.
    Preparing,
    /// Balancers serve the new epoch; waiting for each to say so.
    Committing,
    /// Requests in flight on the old instances finish; old workers stop.
    Draining,
    /// Witnesses judge.
    Soaking,
    /// Traffic goes back: the old epoch's routes are prepared and committed anew.
    Reverting,
    /// New instances are stopped after a failure.
    Cleaning,
    /// Done: the new release serves.
    Completed,
    /// Done: failed after the shift; the old release serves again.
    Reverted,
    /// Done: failed before the shift; the old release was never touched.
    Failed,
    /// Done: somebody aborted it; the old release serves.
    Aborted,
}

impl RolloutState {
    /// Every state, in the order in which a rollout can come to them.
    pub const ALL: &[Self] = &[
        Self::Queued,
        Self::Building,
        Self::Staging,
        Self::Smoking,
        Self::Releasing,
        Self::Starting,
        Self::Preparing,
        Self::Committing,
        Self::Draining,
        Self::Soaking,
        Self::Reverting,
        Self::Cleaning,
        Self::Completed,
        Self::Reverted,
        Self::Failed,
        Self::Aborted,
    ];

    /// Whether nothing more happens.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Reverted | Self::Failed | Self::Aborted)
    }
}

/// One step with its times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which.
    pub state: RolloutState,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// For people: `warm`, `nothing to do`, `2 of 2 ready`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The judgment of a rollout; the same in command line, pages, API and exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Not judged yet, or not enough to judge by.
    Undecided,
    /// Every step and witness passed.
    Pass,
    /// A step or a witness failed.
    Fail,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_states_has_each_of_them_once() {
        // A new state does not compile here until it is counted, and then is missing from the list.
        let place = |state: RolloutState| match state {
            RolloutState::Queued => 0,
            RolloutState::Building => 1,
            RolloutState::Staging => 2,
            RolloutState::Smoking => 3,
            RolloutState::Releasing => 4,
            RolloutState::Starting => 5,
            RolloutState::Preparing => 6,
            RolloutState::Committing => 7,
            RolloutState::Draining => 8,
            RolloutState::Soaking => 9,
            RolloutState::Reverting => 10,
            RolloutState::Cleaning => 11,
            RolloutState::Completed => 12,
            RolloutState::Reverted => 13,
            RolloutState::Failed => 14,
            RolloutState::Aborted => 15,
        };
        let places: Vec<_> = RolloutState::ALL.iter().map(|state| place(*state)).collect();
        assert_eq!(places, (0..16).collect::<Vec<_>>());
    }
}
