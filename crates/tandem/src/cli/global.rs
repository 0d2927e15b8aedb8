//! Options that every verb understands, before or behind it.

use std::path::PathBuf;

use clap::Args;
use tandem_types::{AppName, EnvironmentName};

/// What holds for every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// App to act on [default: `app` in tandem.toml, else the folder's name]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) app: Option<AppName>,
    /// Environment to act on
    #[arg(long, global = true, value_name = "NAME", default_value = "production")]
    pub(crate) env: EnvironmentName,
    /// Server to talk to: http://HOST:PORT or unix:PATH [default: the data folder's socket]
    #[arg(long, global = true, value_name = "ADDRESS", env = tandem_kit::env::TANDEM_SERVER, hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// Data folder of the server on this machine
    #[arg(long, global = true, value_name = "DIR", env = tandem_kit::env::TANDEM_DATA, hide_env_values = true)]
    pub(crate) data: Option<PathBuf>,
    /// Token for a server reached over TCP; kept in the environment, where other users cannot see it
    #[arg(long, global = true, value_name = "TOKEN", env = tandem_kit::env::TANDEM_TOKEN, hide_env_values = true)]
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
    /// What people said with `-m`, else nothing.
    pub(crate) fn reason(&self) -> String {
        self.message.clone().unwrap_or_default()
    }
}
