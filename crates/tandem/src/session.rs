//! One command's conversation with a server: which server, which app, and how to print.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use tandem_kit::api::{Client, Server};
use tandem_kit::clock::Clock;
use tandem_kit::paths;
use tandem_types::api::AppSummary;
use tandem_types::ids::ParseError;

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::Output;
use crate::place::{self, Place};

/// Longest wait for an answer. A server that is overloaded answers within seconds; people who wait for one that hangs should
/// hear of it before they think of Ctrl-C.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every verb works with.
pub(crate) struct Session {
    /// Options of every verb.
    pub(crate) global: Global,
    /// Where words go.
    pub(crate) output: Output,
    /// The time.
    pub(crate) clock: Clock,
    client: OnceLock<Client>,
}

impl Session {
    /// Nothing is connected before a verb asks.
    pub(crate) fn new(global: Global, output: Output) -> Self {
        Self { global, output, clock: Clock::system(), client: OnceLock::new() }
    }

    /// The server's client: `--server`, `TANDEM_SERVER`, else the socket in the data folder.
    ///
    /// # Errors
    ///
    /// An address that makes no sense. That nobody answers shows at the first request.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::new(self.server()?).waiting(PATIENCE);
        Ok(self.client.get_or_init(|| client))
    }

    /// The data folder of this machine's server.
    pub(crate) fn data(&self) -> PathBuf {
        self.global.data.clone().unwrap_or_else(paths::default_data_dir)
    }

    /// The server's address, from the same places as [`Session::client`].
    ///
    /// # Errors
    ///
    /// An address that makes no sense.
    pub(crate) fn server(&self) -> Result<Server, Failure> {
        let Some(address) = &self.global.server else {
            return Ok(Server::Unix(paths::socket_link(&self.data())));
        };
        let server: Server = address.parse().map_err(|e: ParseError| {
            Failure::usage(e.to_string()).hint("check --server and TANDEM_SERVER")
        })?;
        if self.global.token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(Failure::usage("the token has characters that no token has")
                .hint("set TANDEM_TOKEN to the one line that `tandem token create NAME` prints"));
        }
        Ok(server.with_token(self.global.token.clone()))
    }

    /// What must be added to a command so that it means this place: nothing where the folder's own app file says it.
    pub(crate) fn target(&self, place: &Place) -> String {
        let declared = place::current_folder().and_then(|folder| place::declared(&folder)).ok().flatten();
        let mut text = String::new();
        if declared.as_ref() != Some(&place.app) {
            text.push_str(&format!(" --app {}", place.app));
        }
        if place.environment != Global::default_environment() {
            text.push_str(&format!(" --env {}", place.environment));
        }
        text
    }

    /// The app and environment to act on: `--app`, what the folder says, else the only app there is.
    ///
    /// # Errors
    ///
    /// Where several apps are meant as well as any, or none.
    pub(crate) async fn place(&self) -> Result<Place, Failure> {
        if let Some(app) = &self.global.app {
            return Ok(Place::new(app.clone(), self.global.environment()));
        }
        let folder = place::current_folder()?;
        if let Some(app) = place::declared(&folder)? {
            return Ok(Place::new(app, self.global.environment()));
        }
        let apps: Vec<AppSummary> = self.client()?.get("/v1/apps").await?;
        let (app, guessed) = place::choose(place::name_of(&folder), &apps)?;
        if guessed {
            self.output.note(format!("app {app}, the only one on this server"));
        }
        Ok(Place::new(app, self.global.environment()))
    }
}
