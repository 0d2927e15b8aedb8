//! Apps: what people deploy, and what a build says must run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::destroy::Destroying;
use crate::document::Kind;
use crate::https::HttpsSpec;
use crate::{AppName, BuildNumber, Health, Limits, ProcessType, Span, StopSignal, Timestamp, defaults};

/// An app as the store keeps it (`apps/<app>`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// When it was created.
    pub created: Timestamp,
    /// The number the next build gets.
    pub next_build: BuildNumber,
    /// Set once somebody asked to destroy it: it goes, whatever happens, and nothing new begins in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroying: Option<Destroying>,
}

impl Kind for App {
    const KIND: &'static str = "app/2";
}

/// What a build needs to run: read from `tandem.toml` and the Procfile, the rest detected. Part of the build.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AppSpec {
    /// Folder below `/app` in which commands start, parts joined by `/`; none: `/app` itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Process types and how each runs.
    pub processes: BTreeMap<ProcessType, ProcessSpec>,
    /// Command of the release phase, run once in the new build before any traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseCommand>,
    /// Command that proves that the app can be imported; listens to nothing. Detected for Django and WSGI/ASGI apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoke: Option<String>,
    /// URL prefix → folder below `/app` whose files the balancer serves itself.
    #[serde(default, rename = "static", skip_serializing_if = "BTreeMap::is_empty")]
    pub static_folders: BTreeMap<String, String>,
    /// Volume name → absolute path at which instances find it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, String>,
    /// Host names that lead here, `*.example.org` for all below one. Empty: `<app>.localhost` (other environments: `<env>.<app>.localhost`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// What requests may take and how long they wait.
    #[serde(default, skip_serializing_if = "Limits::are_usual")]
    pub limits: Limits,
    /// What balancers do for it over HTTPS; none: nothing besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<HttpsSpec>,
    /// Folders in front of `PATH`, such as `/app/.venv/bin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// Environment that the build sets (`DJANGO_SETTINGS_MODULE`, `VIRTUAL_ENV`, …); config values win over it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// The release phase: `[release]` of `tandem.toml`, `release:` of a Procfile, or Django's `migrate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseCommand {
    /// Shell command, run by `sh -c` in the app's [`AppSpec::root`].
    pub command: String,
    /// Its own time budget.
    pub timeout: Span,
}

/// How instances of one process type run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Shell command, run by `sh -c` in the app's [`AppSpec::root`]; `$PORT` is set for `web`.
    pub command: String,
    /// What it is asked to show that it is well; only for `web`.
    pub health: Health,
    /// Instances at the first deploy; `tandem scale` overrides it from then on.
    pub instances: u32,
    /// Memory limit in bytes, page cache of its own files not counted.
    pub memory_bytes: u64,
    /// CPU limit in cores; none: shares the machine evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Limit of processes and threads.
    pub pids: u32,
    /// Time between the stop signal and the end.
    pub stop_timeout: Span,
    /// What asks it to end.
    #[serde(default, skip_serializing_if = "StopSignal::is_usual")]
    pub stop_signal: StopSignal,
    /// Never two at a time, not even during a rollout (`clock`).
    #[serde(default)]
    pub singleton: bool,
}

impl ProcessSpec {
    /// A process with the defaults of its type.
    #[must_use]
    pub fn new(process: &ProcessType, command: impl Into<String>) -> Self {
        let stop_timeout =
            if process.is_web() { defaults::WEB_STOP_TIMEOUT } else { defaults::WORKER_STOP_TIMEOUT };
        Self {
            command: command.into(),
            health: Health::default(),
            instances: 1,
            memory_bytes: defaults::MEMORY_BYTES,
            cpus: None,
            pids: defaults::PIDS,
            stop_timeout,
            stop_signal: StopSignal::default(),
            singleton: process.as_str() == "clock",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_of_version_1_is_read_as_one_that_nobody_destroys() {
        let stored = r#"{"name":"guestbook","created":"2026-11-21T12:00:00Z","next_build":"b8"}"#;
        let app: App = serde_json::from_str(stored).unwrap();
        assert_eq!((app.next_build, &app.destroying), (BuildNumber(8), &None));
        assert_eq!(serde_json::to_string(&app).unwrap(), stored);
    }

    #[test]
    fn an_app_that_is_destroyed_is_stored_as_version_2_says() {
        let stored = r#"{"name":"guestbook","created":"2026-11-21T12:00:00Z","next_build":"b8","destroying":{"cause":{"actor":"unix:ana","action":"destroy.start","subject":"guestbook"},"since":"2026-11-21T12:30:00Z","environments":{"production":{"state":"unrouting","since":"2026-11-21T12:30:01Z","epoch":"e7","awaiting":["far"]}}}}"#;
        let app: App = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&app).unwrap(), stored);
        assert_eq!(App::KIND, "app/2");
    }
}
