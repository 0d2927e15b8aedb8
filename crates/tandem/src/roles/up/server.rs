//! The server, inside `tandem up` or alone: store, blobs, builder, control and the API, put together.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_blobs::BlobStore;
use tandem_build::{Builder, BuilderConfig};
use tandem_control::{Control, ControlConfig, SourceBuilder};
use tandem_kit::clock::Clock;
use tandem_kit::drain::{self, Trigger};
use tandem_kit::files;
use tandem_kit::http::{self, BindError};
use tandem_kit::paths::DataDir;
use tandem_kit::tasks::{self, Kind, Tasks};
use tandem_kit::version::Version;
use tandem_store::sqlite;
use tandem_types::instance::Isolation;
use tandem_web::Site;
use tokio::net::{TcpListener, UnixListener};

use super::super::lock::ApiAddress;
use super::machine;
use crate::cli;
use crate::failure::{Failure, chain_of};
use crate::port;

/// Time that a step of a rollout, a request or an upload gets to come to its end.
const END_LIMIT: Duration = Duration::from_secs(10);
/// A server at work.
pub(in crate::roles) struct Server {
    api: SocketAddr,
    control: Part,
    web: Part,
}

/// Where the API listens, taken before anything else: a port that is in use should be told at once.
struct Listeners {
    unix: UnixListener,
    tcp: TcpListener,
    api: SocketAddr,
}

impl Server {
    /// Opens what is there and serves; the journal says that `actor` started it.
    ///
    /// # Errors
    ///
    /// An address that is in use, a folder or a database that cannot be opened.
    pub(in crate::roles) async fn start(
        data: &DataDir,
        api: SocketAddr,
        (clock, actor, acme): (&Clock, &str, Option<tandem_acme::Config>),
    ) -> Result<Self, Failure> {
        let listeners = listen(data, api).await?;
        let store = sqlite::open(data.database(), clock.clone()).await;
        let store = store.map_err(|error| cli::store::failed(&error))?;
        let blobs = opened("open the blob store", BlobStore::open(data.blobs()))?;
        opened("make the folder of keys", files::ensure_dir(&data.keys(), 0o700))?;
        let builder = BuilderConfig::new(data.clone(), blobs.clone(), clock.clone(), isolation().await);
        let builder = Builder::new(builder);
        builder.remove_leftovers().await;
        let config = ControlConfig {
            data: data.clone(),
            store: store.clone(),
            blobs: blobs.clone(),
            builder: SourceBuilder::shared(builder),
            clock: clock.clone(),
            hosts: vec![machine::host_name(data)?],
            version: Version::current().name.clone(),
            acme,
        };
        let control = opened("start the server", Control::build(config).await)?;
        let handle = control.handle();
        handle.clear_down(actor).await?;
        let (control_part, web) = (Part::new(), Part::new());
        let site = Site { control: handle, store, blobs, drain: web.tasks.drain().clone() };
        tandem_web::serve(&tandem_web::router(site), listeners.unix, Some(listeners.tcp), &web.tasks);
        let drain = control_part.tasks.drain().clone();
        control_part.tasks.spawn("control", Kind::Component, control.run(drain));
        Ok(Self { api: listeners.api, control: control_part, web })
    }

    /// Where the API serves TCP, with the real port.
    pub(in crate::roles) fn api_address(&self) -> SocketAddr {
        self.api
    }

    /// Waits until a part fails, which none does by itself.
    pub(in crate::roles) async fn failed(&self) -> Failure {
        tokio::select! {
            failure = self.control.failed() => failure,
            failure = self.web.failed() => failure,
        }
    }

    /// Ends the reconcilers: no rollout takes another step. The API goes on.
    pub(in crate::roles) async fn stop_control(&self) {
        self.control.end().await;
    }

    /// Ends the rest.
    pub(in crate::roles) async fn end(self) {
        self.control.end().await;
        self.web.end().await;
    }
}

/// How apps are kept apart here. Plain processes are for laptops; nobody should find out by accident.
async fn isolation() -> Isolation {
    let (isolation, reason) = tasks::blocking("isolation", tandem_sandbox::isolation).await;
    if isolation == Isolation::Plain {
        tracing::warn!("APPS RUN WITHOUT ISOLATION, as plain processes of this user: {reason}");
    }
    isolation
}

async fn listen(data: &DataDir, api: SocketAddr) -> Result<Listeners, Failure> {
    let tcp = http::bind_tcp(api).await.map_err(|error| explain(&error, api))?;
    let api = tcp.local_addr().map_err(|e| Failure::chain("find the API's port", &e))?;
    let unix = http::bind_unix(&data.api_socket(), 0o600).await.map_err(|error| explain(&error, api))?;
    ApiAddress { tcp: api }.write(data).map_err(|e| Failure::chain("note where the API listens", &e))?;
    files::replace_symlink(&data.api_socket(), &data.socket_link())
        .map_err(|e| Failure::chain("link the API's socket", &e))?;
    Ok(Listeners { unix, tcp, api })
}

fn explain(error: &BindError, api: SocketAddr) -> Failure {
    if let BindError::Tcp { .. } = error
        && error.is_in_use()
    {
        return port::in_use("the API", "--api", api);
    }
    let failure = Failure::new(format!("failed to {}", chain_of(error)));
    match error {
        BindError::Tcp { .. } => failure.hint("name an address of this machine with `--api 127.0.0.1:PORT`"),
        BindError::Unix { .. } => failure,
    }
}

fn opened<T, E: std::error::Error + 'static>(doing: &str, result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| Failure::chain(doing, &error))
}

/// Tasks that end together.
struct Part {
    trigger: Trigger,
    tasks: Tasks,
}

impl Part {
    fn new() -> Self {
        let (trigger, drain) = drain::channel();
        Self { trigger, tasks: Tasks::new(drain) }
    }

    async fn failed(&self) -> Failure {
        self.tasks.drain().requested().await;
        let failure = self.tasks.failure().map(|failure| format!("{}: {}", failure.task, failure.message));
        Failure::new("a part of the server failed").detail(failure.unwrap_or_default())
    }

    async fn end(&self) {
        self.trigger.fire();
        let laggards = self.tasks.join(END_LIMIT).await;
        if !laggards.is_empty() {
            tracing::warn!("did not end in time: {}", laggards.join(", "));
        }
    }
}
