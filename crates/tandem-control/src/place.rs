//! What a use case is about.

use std::fmt;

use tandem_types::{AppName, EnvironmentName, RolloutNumber};

/// One environment of one app. Prints as the journal's subject: `guestbook/production`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
}

/// One rollout of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutPlace {
    /// The environment.
    pub place: Place,
    /// Its number; none: the latest.
    pub number: Option<RolloutNumber>,
}

impl Place {
    /// The environment that is used where none is named.
    #[must_use]
    pub fn production(app: AppName) -> Self {
        Self { app, environment: EnvironmentName::production() }
    }

    /// What follows a verb on the command line to name this environment.
    #[must_use]
    pub fn arguments(&self) -> String {
        if self.environment == EnvironmentName::production() {
            format!("--app {}", self.app)
        } else {
            format!("--app {} --env {}", self.app, self.environment)
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.environment)
    }
}
