//! The end of an app: everything that is needed to go on with it after a crash at any moment.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::document::Cause;
use crate::{BalancerId, EnvironmentName, Epoch, Timestamp};

/// That an app is being destroyed, and how far that is. Part of [`crate::app::App`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Destroying {
    /// Who asked, how and why.
    pub cause: Cause,
    /// When it was asked for.
    pub since: Timestamp,
    /// How far each environment is; one that is not in here has not begun.
    #[serde(default)]
    pub environments: BTreeMap<EnvironmentName, Leaving>,
}

/// How far an environment is on its way out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leaving {
    /// What happens now.
    pub state: LeavingState,
    /// When that began.
    pub since: Timestamp,
    /// The epoch without the environment's routes, once it was prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Balancers that may still route by an older epoch. One that is cut off stays in here, over restarts of the server
    /// too, until it serves this epoch or a person removes it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub awaiting: BTreeSet<BalancerId>,
}

/// What happens to an environment on its way out, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeavingState {
    /// Balancers get ready for the epoch without its routes.
    Preparing,
    /// They serve it; waiting for each to say so.
    Unrouting,
    /// Requests in flight finish.
    Draining,
    /// Instances stop.
    Stopping,
    /// Nothing of it runs.
    Stopped,
}

/// What a destroy waits for, one a line of `GET /v1/apps/A/destroy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// For people, one sentence each; empty: nothing but its own next step.
    #[serde(default)]
    pub waiting_for: Vec<String>,
    /// The app is gone. The last line.
    #[serde(default)]
    pub destroyed: bool,
}
