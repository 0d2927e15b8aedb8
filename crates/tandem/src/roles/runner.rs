//! `tandem runner`: the process supervisor of this host alone.
//!
//! It needs the server for what is new, and for nothing else: without one it starts again what crashes, and takes over what
//! an earlier runner left. What it does by itself is in `tandem_runner`; this is the process around it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tandem_kit::api::{self, Client, Server as Address};
use tandem_kit::clock::Clock;
use tandem_kit::paths::DataDir;
use tandem_types::HostName;
use tandem_types::api::Installation;
use tandem_types::document::Change;
use tandem_types::keys;
use tokio::sync::watch;
use tokio::time::sleep;

use super::apart::{self, End, Post};
use super::lock::{ApiAddress, Role};
use super::up::ending::Signals;
use super::up::machine;
use super::up::runner::Runner;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Failure, chain_of};
use crate::output::Output;

/// Time between two looks whether it answers.
const INTERVAL: Duration = Duration::from_millis(25);

/// Arguments of `runner`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One of the three roles that `tandem up` runs together, for who has a service manager start each
of them: `tandem server`, `tandem runner` and `tandem balancer` find each other by the data folder.
The order in which they start does not matter.

While no server answers, instances that crash are started again, and a runner that is started
takes over what runs; after five seconds without a server it starts what should run and does not,
but for processes that must be alone.

SIGTERM and Ctrl-C end the runner alone: the apps go on, and the next start adopts them.
`tandem down` stops everything. Let systemd start it with KillMode=process, so that a restart
leaves the apps alone.

Example:
  tandem runner --data /var/lib/tandem")]
pub(crate) struct Args {
    /// Write this host's name and the runner's socket to this file as JSON once it answers
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

/// What the ready file says.
#[derive(Debug, Serialize)]
struct Ready {
    host: HostName,
    socket: String,
}

/// Runs until it is told to end.
///
/// # Errors
///
/// What keeps it from starting, or the failure of a part of it.
pub(crate) fn run(args: Args, global: Global, output: Output) -> Result<Exit, Failure> {
    machine::run(output, |output| serve(args, global, output))
}

async fn serve(args: Args, global: Global, output: Output) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let post = Post::take(&global, Role::Runner).await?;
    let server = Address::Unix(post.data.api_socket());
    let client = Client::new(server.clone());
    let closed = watch::Sender::new(closed_ports(&post.data).unwrap_or_default());
    let runner = Runner::start(&post.data, server, (closed.subscribe(), &Clock::system())).await?;
    let told = async {
        answers(&post.data).await;
        let host = machine::host_name(&post.data)?;
        let ready = Ready { host, socket: post.data.runner_socket().display().to_string() };
        let line = format!("host {}, {}", ready.host, ready.socket);
        apart::tell_ready(&ready, &line, (args.ready_file.as_ref(), &output))?;
        std::future::pending::<Result<(), Failure>>().await
    };
    let failed = async {
        tokio::select! {
            failure = runner.failed() => failure,
            Err(failure) = told => failure,
        }
    };
    let down = Box::pin(heed(&client, &post.data, &closed));
    let end = apart::wait(&mut signals, down, Box::pin(failed)).await;
    apart::forget_ready(args.ready_file.as_deref());
    finish(end, runner, signals).await
}

/// Waits until the runner has taken over what runs: from then on it is answered on its socket, be it with a refusal.
async fn answers(data: &DataDir) {
    let client = Client::new(Address::Unix(data.runner_socket()));
    loop {
        let asked: Result<(), api::Error> = client.get("/v1/").await;
        if matches!(asked, Ok(()) | Err(api::Error::Problem(_))) {
            return;
        }
        sleep(INTERVAL).await;
    }
}

/// Watches what the server says of the whole installation: where the API listens, and whether all should stop. Ends when
/// it should.
async fn heed(client: &Client, data: &DataDir, closed: &watch::Sender<BTreeSet<u16>>) {
    let mut watch = client.watch(&[keys::INSTALLATION]);
    loop {
        let change = watch.next().await;
        // Each time that a server answers anew it may be another one, at another address.
        if let Some(ports) = closed_ports(data) {
            closed.send_if_modified(|told| {
                let differs = *told != ports;
                *told = ports;
                differs
            });
        }
        let Change::Put { document } = change else { continue };
        let installation = serde_json::from_value::<Installation>(document.body);
        if installation.is_ok_and(|installation| installation.down) {
            return;
        }
    }
}

/// The port of the API, which no app may reach; none where that is not known.
fn closed_ports(data: &DataDir) -> Option<BTreeSet<u16>> {
    let address = ApiAddress::read(data);
    if let Err(error) = &address {
        tracing::warn!("cannot tell which port is the API's: {}", chain_of(error));
    }
    address.ok().flatten().map(|address| [address.tcp.port()].into())
}

async fn finish(end: End, runner: Runner, mut signals: Signals) -> Result<Exit, Failure> {
    match end {
        End::Leave => {
            tracing::info!("ending; the apps go on");
            runner.leave().await;
            Ok(Exit::Done)
        }
        End::Failed(failure) => {
            runner.leave().await;
            Err(failure)
        }
        End::Down => {
            tracing::info!("`tandem down` was typed; stopping the apps");
            tokio::select! {
                () = runner.stop_all() => Ok(Exit::Done),
                () = signals.any() => Err(Failure::new("left before every app was stopped")
                    .hint("`tandem down` stops what still runs")),
            }
        }
    }
}
