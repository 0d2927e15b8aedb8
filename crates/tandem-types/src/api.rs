//! Bodies of the JSON API, and the list of its paths.
//!
//! | method and path | body → answer |
//! |---|---|
//! | `GET /v1/status` | → [`Status`] |
//! | `GET /v1/watch?prefix=P&prefix=Q&incarnation=I&after=N` | → stream of [`crate::document::Change`], one a line |
//! | `GET /v1/journal?after=N&subject=S&limit=K&follow=true` | → stream of [`crate::document::JournalEntry`], one a line |
//! | `POST /v1/blobs/missing` | [`Digests`] → [`Digests`] |
//! | `POST /v1/blobs` | framed stream of blobs → 204 |
//! | `POST /v1/blobs/fetch` | [`Digests`] → framed stream of blobs |
//! | `GET /v1/apps`, `POST /v1/apps`, `GET /v1/apps/A`, `DELETE /v1/apps/A` | [`CreateApp`] → [`AppSummary`]; 202 |
//! | `GET /v1/apps/A/destroy` | → stream of [`crate::destroy::Progress`], one a line |
//! | `POST /v1/apps/A/envs/E/rollouts` | [`StartRollout`] → [`RolloutStarted`] (202) |
//! | `GET /v1/apps/A/envs/E/rollouts`, `…/rollouts/N` (or `latest`) | → [`crate::rollout::Rollout`] |
//! | `GET …/rollouts/N/events?after=K&follow=true` | → stream of [`crate::event::RolloutEvent`], one a line |
//! | `POST …/rollouts/N/abort` | [`Reason`] → [`crate::rollout::Rollout`] |
//! | `GET /v1/apps/A/key`, `POST /v1/apps/A/key`, `DELETE /v1/apps/A/key` | → [`crate::git::PublicKey`] |
//! | `GET /v1/git-hosts`, `DELETE /v1/git-hosts/HOST` | → [`crate::git::GitHosts`]; [`crate::git::PinnedHost`] |
//! | `GET …/releases`, `GET …/releases/R` | → [`ReleaseDetail`] |
//! | `POST …/run` | [`crate::session::RunCommand`] → [`crate::session::Session`] (202) |
//! | `GET …/sessions`, `GET …/sessions/J`, `DELETE …/sessions/J` | → [`crate::session::Session`] |
//! | `GET …/sessions/J/attach` | 101, then [`crate::frame::Frame`]s |
//! | `POST …/pause`, `POST …/resume` | [`AskPause`], [`Reason`] → [`Paused`] |
//! | `GET …/ps` | → list of [`ProcessLine`] |
//! | `GET …/logs?process=P&instance=I&release=R&lines=K&follow=true` | → stream of [`crate::event::LogLine`], one a line |
//! | `GET /v1/volumes` | → list of [`crate::volume::VolumeLine`] |
//! | `POST …/volumes/V/export` | [`Reason`] → a tar; what is in it in the header `tandem-volume` |
//! | `POST …/volumes/V/import` | a tar → [`crate::volume::VolumeStaged`] |
//! | `POST …/volumes/V/swap` | [`crate::volume::SwapVolume`] → [`crate::volume::VolumeImported`] |
//! | `GET …/config`, `GET …/config?reveal=true` | → [`ConfigListing`] |
//! | `PATCH …/config` | [`ConfigChange`] → [`ConfigChanged`] |
//! | `PUT /v1/hosts/H/observed` | [`crate::instance::HostObservation`] → 204 |
//! | `GET /v1/hosts/H/config/A/E/R`, `?job=J` | → [`InstanceConfig`]; not for a job that does not begin any more |
//! | `PUT /v1/balancers/B` | [`crate::routing::BalancerStatus`] → 204 |
//! | `PUT /v1/balancers/B/traffic` | [`crate::traffic::TrafficReport`] → 204 |
//! | `GET /v1/balancers/B/certificates` | → [`crate::https::ServedCertificates`] |
//! | `GET /v1/authority` | → [`crate::https::AuthorityCertificate`] |
//! | `GET /v1/top?app=A&environment=E&follow=true` | → stream of [`crate::traffic::Top`], one a line |
//! | `GET /v1/slow?app=A&environment=E` | → list of [`crate::traffic::SlowMinute`], the last hour's, the latest first |
//! | `POST /v1/down` | [`Reason`] → 202 |
//! | `GET /v1/tokens`, `POST /v1/tokens`, `DELETE /v1/tokens/NAME` | [`CreateToken`] → [`TokenCreated`] |
//! | `POST /v1/hosts/H/sessions/J` | 101, then what a client of the session and its shim say |
//!
//! Every failure is a [`crate::problem::Problem`]. Lists come whole: an installation has at most some hundred of each.

mod config;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::config::{ConfigChange, ConfigChanged, ConfigListing, ConfigValue, InstanceConfig};
use crate::build::{Build, SourceInfo};
use crate::disk::{Budget, Space};
use crate::document::{Cursor, Kind};
use crate::git::GitSource;
use crate::https::CertificateLine;
use crate::instance::{InstanceState, Isolation};
use crate::pause::Pause;
use crate::release::Release;
use crate::routing::BalancerStatus;
pub use crate::token::{CreateToken, Token, TokenCreated};
use crate::{
    AppName, BalancerId, BuildNumber, Digest, EnvironmentName, Epoch, HostName, InstanceId, Network,
    ProcessType, ReleaseNumber, RolloutNumber, Timestamp,
};

/// Some digests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digests {
    /// In any order.
    pub digests: Vec<Digest>,
}

/// Why somebody does something; empty where nothing was said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reason {
    /// For the journal.
    #[serde(default)]
    pub reason: String,
}

/// Pauses an environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AskPause {
    /// For the journal.
    #[serde(default)]
    pub reason: String,
    /// Clients that reach the app as always.
    #[serde(default)]
    pub allow: Vec<Network>,
}

/// How an environment stands after it was paused or resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Null: its requests reach it.
    pub pause: Option<Pause>,
    /// By which routing table.
    pub epoch: Epoch,
    /// Live balancers that do not say that they serve that one.
    #[serde(default)]
    pub unconfirmed: Vec<BalancerId>,
}

/// Creates an app with its `production` environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateApp {
    /// Its name.
    pub name: AppName,
}

/// An app in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppSummary {
    /// Its name.
    pub name: AppName,
    /// When it was created.
    pub created: Timestamp,
    /// Its environments.
    pub environments: Vec<EnvironmentSummary>,
}

/// An environment in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentSummary {
    /// Its name.
    pub name: EnvironmentName,
    /// The release that takes traffic.
    pub current: Option<ReleaseNumber>,
    /// Releases kept warm.
    #[serde(default)]
    pub warm: Vec<ReleaseNumber>,
    /// URLs under which the balancer serves it.
    pub addresses: Vec<String>,
    /// The rollout under way.
    #[serde(default)]
    pub rollout: Option<RolloutNumber>,
    /// Whether its requests are answered with a page that says that it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Instances of the serving release that are ready, by process type.
    #[serde(default)]
    pub ready: BTreeMap<ProcessType, u32>,
    /// Instances of the serving release that should be, by process type.
    #[serde(default)]
    pub wanted: BTreeMap<ProcessType, u32>,
}

/// Starts a rollout. The app and environment are created at their first deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartRollout {
    /// What to do.
    #[serde(flatten)]
    pub action: RolloutAction,
    /// For the journal and the release.
    #[serde(default)]
    pub message: String,
    /// Refuse instead of waiting for a rollout under way.
    #[serde(default)]
    pub no_wait: bool,
}

/// What a rollout is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum RolloutAction {
    /// Build this source and move the traffic to it. Its blobs are on the server already.
    Deploy {
        /// Root tree of the source.
        tree: Digest,
        /// Where it came from.
        #[serde(default)]
        source: SourceInfo,
    },
    /// Fetch a source, build it and move the traffic to it.
    DeployGit {
        /// Where it is.
        git: GitSource,
    },
    /// Back to an earlier release.
    Rollback {
        /// Which; none: the one that served before the current one.
        #[serde(default)]
        release: Option<ReleaseNumber>,
    },
    /// The current release in new instances.
    Restart {
        /// Only these process types; empty: all.
        #[serde(default)]
        processes: Vec<ProcessType>,
    },
    /// Other numbers of instances.
    Scale {
        /// Wanted instances by process type.
        scale: BTreeMap<ProcessType, u32>,
    },
}

/// A rollout was written down and will be carried out whether or not the caller stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStarted {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Its number.
    pub rollout: RolloutNumber,
}

/// The last line of `deploy --json` and `rollback --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutResult {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The rollout.
    pub rollout: RolloutNumber,
    /// The release it was for.
    pub release: Option<ReleaseNumber>,
    /// Its build.
    pub build: Option<BuildNumber>,
    /// How it stands.
    pub state: crate::rollout::RolloutState,
    /// The one verdict.
    pub verdict: crate::rollout::Verdict,
    /// From the request to its end.
    pub duration_ms: u64,
    /// URLs under which the balancer serves the environment.
    pub addresses: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<crate::problem::Problem>,
    /// What people should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A release with its build, as lists and `release show` print it. Config values are not in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseDetail {
    /// The release, its config values taken out (names stay, with their digests).
    pub release: Release,
    /// Its build.
    pub build: Build,
    /// Whether its instances are kept warm.
    pub warm: bool,
    /// Whether `rollback` can bring it back: its build is still here.
    pub can_roll_back: bool,
    /// Names of config values that were added, changed or removed since the release before it.
    #[serde(default)]
    pub config_changes: Vec<String>,
}

/// One line of `tandem ps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessLine {
    /// Process type and index: `web.1`.
    pub name: String,
    /// The instance.
    pub id: InstanceId,
    /// The release.
    pub release: ReleaseNumber,
    /// The host.
    pub host: HostName,
    /// What it does now.
    pub state: InstanceState,
    /// `serving`, `warm`, `starting`, `draining`, `running` (types without traffic).
    pub role: String,
    /// When its present process started.
    pub started: Option<Timestamp>,
    /// Starts after ends that nobody asked for.
    pub restarts: u32,
    /// Why it is not ready.
    #[serde(default)]
    pub detail: Option<String>,
}

/// The answer to `tandem status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the server.
    pub version: String,
    /// When it started.
    pub started: Timestamp,
    /// Place in history.
    pub cursor: Cursor,
    /// Epoch of the routing table.
    pub epoch: Epoch,
    /// Hosts and whether their runners report.
    pub hosts: Vec<HostStatus>,
    /// Balancers and whether they report.
    pub balancers: Vec<BalancerState>,
    /// Apps and their environments.
    pub apps: Vec<AppSummary>,
    /// Disks that the server writes to. A server of before this was told does not say.
    #[serde(default)]
    pub disks: Vec<DiskStatus>,
    /// What of its data folder only helps; of builds as last measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Domains and their certificates, where a balancer serves HTTPS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateLine>,
    /// What a person should look at, most urgent first; empty when all is well.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// A disk in `tandem status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// A folder on it.
    pub folder: PathBuf,
    /// How full it is.
    #[serde(flatten)]
    pub space: Space,
    /// Bytes below which deploys are refused.
    pub reserve_bytes: u64,
}

/// A host in `tandem status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Its name.
    pub name: HostName,
    /// Whether its runner reported lately.
    pub live: bool,
    /// How instances are kept apart.
    pub isolation: Option<Isolation>,
    /// Instances it runs.
    pub instances: u32,
}

/// A balancer in `tandem status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BalancerState {
    /// Whether it reported lately.
    pub live: bool,
    /// What it said last. Of one that has said nothing since the server started: its name, and an epoch that it is known
    /// to serve.
    pub status: BalancerStatus,
}

/// Counters and the key check of the whole installation (`installation`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Installation {
    /// The next instance's id.
    pub next_instance: InstanceId,
    /// The next job's id.
    pub next_job: crate::JobId,
    /// The next environment's user id.
    pub next_uid: u32,
    /// Set by `tandem down`: everything should stop. Cleared by `tandem up`.
    #[serde(default)]
    pub down: bool,
}

impl Kind for Installation {
    const KIND: &'static str = "installation/1";
}

/// Addresses in the file that `--ready-file` names, and in the ready line:
/// `{"http": "127.0.0.1:8080", "api": "127.0.0.1:7070", "socket": "/run/tandem/…/api.sock"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Where the balancer serves HTTP.
    pub http: SocketAddr,
    /// Where it serves HTTPS, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
    /// Where figures of the balancer are read, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// Where the API serves TCP.
    pub api: SocketAddr,
    /// Path of the API's unix socket.
    pub socket: String,
}
