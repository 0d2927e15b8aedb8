//! Handlers, one noun a file: read the request, ask the handle, write the answer.

pub(crate) mod apps;
pub(crate) mod authority;
pub(crate) mod balancers;
pub(crate) mod blobs;
pub(crate) mod config;
pub(crate) mod down;
pub(crate) mod hosts;
pub(crate) mod journal;
pub(crate) mod keys;
pub(crate) mod logs;
pub(crate) mod pauses;
pub(crate) mod ps;
pub(crate) mod releases;
pub(crate) mod rollouts;
pub(crate) mod sessions;
pub(crate) mod status;
pub(crate) mod tokens;
pub(crate) mod top;
pub(crate) mod volumes;
pub(crate) mod watch;

use serde::Deserialize;
use tandem_control::Place;
use tandem_types::{AppName, EnvironmentName};

/// Names an environment in a path.
#[derive(Debug, Deserialize)]
pub(crate) struct EnvironmentPath {
    app: AppName,
    environment: EnvironmentName,
}

impl EnvironmentPath {
    fn place(self) -> Place {
        Place { app: self.app, environment: self.environment }
    }
}
