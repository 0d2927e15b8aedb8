//! Options that every verb understands, before or behind it.

use std::path::PathBuf;

use clap::Args;
use tandem_kit::env;
use tandem_types::{AppName, EnvironmentName};

/// What holds for every verb.
///
/// The environment is read here and not by clap, which would show options that nobody typed in its usage line.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// App to act on [default: `app` in tandem.toml, else the folder's name]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) app: Option<AppName>,
    /// Environment to act on [default: production]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) env: Option<EnvironmentName>,
    /// Server to talk to: http://HOST:PORT or unix:PATH [default: the data folder's socket]
    /// [env: TANDEM_SERVER]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) server: Option<String>,
    /// Data folder of the server on this machine; typed, it wins over TANDEM_SERVER [env: TANDEM_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Token for a server reached over TCP; kept in the environment, where other users cannot see it [env: TANDEM_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Why, for the journal
    #[arg(short, long, global = true, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Refuse instead of waiting for a rollout under way
    #[arg(long, global = true)]
    pub(crate) no_wait: bool,
    /// Print data as JSON (streams: one object a line)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    /// Options that were not typed come from the environment; empty variables count as unset.
    #[must_use]
    pub(crate) fn with_environment(self) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            server: self.server_of(text(env::TANDEM_SERVER)),
            data: self.data.or_else(|| variable(env::TANDEM_DATA).map(PathBuf::from)),
            token: self.token.or_else(|| text(env::TANDEM_TOKEN)),
            ..self
        }
    }

    /// The server, where `set` is what the environment says. A data folder that was typed names the server on it: a
    /// variable that was set some time ago must not send `down` elsewhere.
    pub(super) fn server_of(&self, set: Option<String>) -> Option<String> {
        let set = set.filter(|_| self.data.is_none());
        self.server.clone().or(set)
    }

    /// The environment to act on.
    pub(crate) fn environment(&self) -> EnvironmentName {
        self.env.clone().unwrap_or_else(Self::default_environment)
    }

    /// The environment where none is named.
    pub(crate) fn default_environment() -> EnvironmentName {
        "production".parse().expect("a constant name")
    }

    /// What people said with `-m`, else nothing.
    pub(crate) fn reason(&self) -> String {
        self.message.clone().unwrap_or_default()
    }
}
