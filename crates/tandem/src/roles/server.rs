//! `tandem server`: the control plane alone, for who has a runner and a balancer in processes of their own.
//!
//! It owns no app and no connection of the world's: killed at any moment, it is missed by nobody but people who type, for as
//! long as it is away.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tandem_kit::api::{Client, Server as Address};
use tandem_kit::clock::Clock;
use tandem_kit::files::LockGuard;
use tandem_kit::paths::DataDir;
use tokio::time::sleep;

use super::acme::AcmeArgs;
use super::apart::{self, End, Post};
use super::lock::{self, Role};
use super::squatters;
use super::up::ending::{Signals, asked_down};
use super::up::server::Server;
use super::up::{address, machine};
use crate::cli::Global;
use crate::data_folder;
use crate::exit::Exit;
use crate::failure::{Failure, chain_of};
use crate::output::Output;

/// Time between two looks whether the runner has ended.
const INTERVAL: Duration = Duration::from_millis(50);

/// Arguments of `server`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One of the three roles that `tandem up` runs together, for who has a service manager start each
of them: `tandem server`, `tandem runner` and `tandem balancer` find each other by the data folder.
While the server is away, runner and balancer go on by what they were told last.

SIGTERM and Ctrl-C end the server alone; `tandem down` stops everything.

Example:
  tandem server --data /var/lib/tandem --api 127.0.0.1:7070")]
pub(crate) struct Args {
    /// Where the API serves TCP, with tokens; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070", value_parser = address)]
    api: SocketAddr,
    /// Write the API's addresses to this file as JSON once it answers
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    acme: AcmeArgs,
}

/// What the ready file says, in the words of `tandem up`'s.
#[derive(Debug, Serialize)]
struct Ready {
    api: SocketAddr,
    socket: String,
}

/// Serves until it is told to end.
///
/// # Errors
///
/// What keeps it from starting, or the failure of a part of it.
pub(crate) fn run(args: Args, global: Global, output: Output) -> Result<Exit, Failure> {
    machine::run(output, |output| serve(args, global, output))
}

async fn serve(args: Args, global: Global, output: Output) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let post = Post::take(&global, Role::Server).await?;
    let (clock, acme) = (Clock::system(), args.acme.config()?);
    data_folder::take_over(&post.data, &clock).await?;
    squatters::evict(&post.data, [args.api]).await;
    let server = Server::start(&post.data, args.api, (&clock, "system:server", acme)).await?;
    let ready = Ready { api: server.api_address(), socket: post.data.api_socket().display().to_string() };
    let line = format!("API: {} (token), {} (this machine)", ready.api, ready.socket);
    let told = apart::tell_ready(&ready, &line, (args.ready_file.as_ref(), &output));
    let client = Client::new(Address::Unix(post.data.api_socket()));
    let end = match told {
        Ok(()) => apart::wait(&mut signals, asked_down(&client), server.failed()).await,
        Err(failure) => End::Failed(failure),
    };
    apart::forget_ready(args.ready_file.as_deref());
    let no_runner = match &end {
        End::Down => stop_with_the_runner(&server, &post.data, &mut signals).await,
        End::Leave | End::Failed(_) => None,
    };
    tracing::info!("ending; runner, apps and balancer go on where they run");
    server.end().await;
    drop(no_runner);
    match end {
        End::Leave | End::Down => Ok(Exit::Done),
        End::Failed(failure) => Err(failure),
    }
}

/// The runner hears of `tandem down` from the API, so that goes last. Whoever typed it stops what is left: the balancer,
/// and instances whose runner does not run. A signal ends the waiting.
async fn stop_with_the_runner(server: &Server, data: &DataDir, signals: &mut Signals) -> Option<LockGuard> {
    tracing::info!("`tandem down` was typed; waiting for the runner to stop the apps");
    server.stop_control().await;
    let ended = async {
        loop {
            match lock::no_runner(data) {
                Ok(Some(guard)) => return Some(guard),
                Ok(None) => sleep(INTERVAL).await,
                Err(error) => {
                    tracing::warn!("does not wait for the runner: {}", chain_of(&error));
                    return None;
                }
            }
        }
    };
    tokio::select! {
        guard = ended => guard,
        () = signals.any() => None,
    }
}
