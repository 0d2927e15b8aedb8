//! `tandem balancer`: a process of its own, so that traffic outlives the server. All of it is in `tandem_balancer`; this
//! reads the arguments, cuts the ties to whoever started it and turns signals into a drain.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tandem_balancer::{Balancer, BuildError, Config, ListenError};
use tandem_kit::api::Server;
use tandem_kit::drain;
use tandem_kit::logging::{self, LogOptions};
use tandem_types::BalancerId;
use tokio::signal::unix::{SignalKind, signal};

use crate::data_folder;
use crate::exit::Exit;
use crate::failure::{Failure, chain_of};

/// Arguments of `balancer`. The server comes by `--server`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of this balancer
    #[arg(long, value_name = "NAME")]
    name: BalancerId,
    /// Its own folder
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Where to serve HTTP; port 0 picks a free one; may be given several times
    #[arg(long, value_name = "ADDRESS", required = true)]
    http: Vec<SocketAddr>,
    /// Serving threads [default: one per processor]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// What keeps it from serving.
pub(crate) fn run(args: Args, server: Server) -> Result<Exit, Failure> {
    // A session of its own: Ctrl-C and the end of the terminal are not meant for it. Refused only where this is the
    // first process of a session already, as under a service manager.
    let _ = nix::unistd::setsid();
    // Its folder lies in a data folder, and its log there is the first thing that it would write.
    data_folder::check(args.state.parent().unwrap_or(&args.state))?;
    let options = LogOptions { own_file: Some(log_file(&args.state)), ..LogOptions::default() };
    logging::init(options).map_err(|error| Failure::usage(chain_of(&error)))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::chain("start the event loop", &e))?;
    runtime.block_on(Box::pin(serve(args, server)))
}

/// Its log in its folder: where whoever starts it sends its standard error, and what it rotates then.
pub(super) fn log_file(state: &Path) -> PathBuf {
    state.join("balancer.log")
}

async fn serve(args: Args, server: Server) -> Result<Exit, Failure> {
    let config = Config { threads: args.threads, ..Config::new(args.name, server, args.state, args.http) };
    let balancer = Balancer::build(config).await.map_err(explain)?;
    let listen = |kind| signal(kind).map_err(|e| Failure::chain("listen for signals", &e));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let (trigger, drain) = drain::channel();
    let run = balancer.run(drain, None);
    tokio::pin!(run);
    let ended = tokio::select! {
        ended = &mut run => ended,
        _ = terminate.recv() => { trigger.fire(); run.await }
        _ = interrupt.recv() => { trigger.fire(); run.await }
    };
    ended.map_err(|error| Failure::new(format!("failed to {}", chain_of(&error))))?;
    Ok(Exit::Done)
}

fn explain(error: BuildError) -> Failure {
    let failure = Failure::new(format!("failed to {}", chain_of(&error)));
    match error {
        BuildError::Listen(ListenError::InUse { .. }) => failure.hint("name another port with --http"),
        _ => failure,
    }
}
