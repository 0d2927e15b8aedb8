//! `tandem balancer`: a process of its own, so that traffic outlives the server. All of it is in `tandem_balancer`; this
//! reads the arguments, cuts the ties to whoever started it and turns signals into a drain.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tandem_balancer::{Balancer, BuildError, Config, ListenError, RunError};
use tandem_kit::api::Server;
use tandem_kit::logging::{self, LogOptions};
use tandem_kit::paths::DataDir;
use tandem_kit::{drain, files};
use tandem_types::BalancerId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::traffic::TrafficArgs;
use super::up::{address, machine};
use super::{alone, squatters};
use crate::data_folder;
use crate::exit::Exit;
use crate::failure::{Failure, chain_of};
use crate::session::Session;

/// Lines of its log shown when it does not start.
const TAIL_LINES: usize = 12;
/// Bytes of its log that are read for them.
const TAIL_BYTES: u64 = 16 * 1024;

/// What to type where figures cannot be read at an address.
pub(super) const METRICS_HINT: &str = "name another address of this machine with --metrics (`tandem up`: --proxy-metrics), as in \
     `--metrics 127.0.0.1:9180`; port 0 picks a free one";

/// Arguments of `balancer`. The server comes by `--server`, else by the data folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of this balancer [default: this host's name]
    #[arg(long, value_name = "NAME", conflicts_with = "routes")]
    name: Option<BalancerId>,
    /// Its own folder [default: `balancer` in the data folder]
    #[arg(long, value_name = "DIR", hide = true, conflicts_with = "routes")]
    state: Option<PathBuf>,
    /// Where to serve HTTP; port 0 picks a free one; may be given several times
    #[arg(long, value_name = "ADDRESS", required = true, value_parser = address)]
    pub(super) http: Vec<SocketAddr>,
    /// Where to serve HTTPS, in the same way: with the certificates of the file of routes, or the server's
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(super) https: Vec<SocketAddr>,
    /// Serve the routes of this file, without any server; see docs/balancer.md
    #[arg(long, value_name = "FILE", conflicts_with = "proxy_from")]
    routes: Option<PathBuf>,
    /// Folder by which the next process takes the listening sockets over
    #[arg(long, value_name = "DIR", requires = "routes")]
    pub(super) handover: Option<PathBuf>,
    /// Serving threads [default: one per processor]
    #[arg(long, value_name = "NUMBER")]
    pub(super) threads: Option<usize>,
    /// Write the address to this file as JSON once it serves
    #[arg(long, value_name = "PATH")]
    pub(super) ready_file: Option<PathBuf>,
}

/// Who it is, where it writes, and whom it follows.
struct Identity {
    name: BalancerId,
    state: PathBuf,
    server: Server,
}

/// What the ready file says, in the words of `tandem up`'s.
#[derive(Debug, Serialize)]
struct Ready {
    http: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    https: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// What keeps it from serving.
pub(crate) fn run((mut args, traffic): (Args, &TrafficArgs), session: &Session) -> Result<Exit, Failure> {
    if let Some(routes) = args.routes.take() {
        // In the foreground: Ctrl-C is meant for it.
        return alone::run(routes, (args, traffic));
    }
    // A session of its own: Ctrl-C and the end of the terminal are not meant for it. Refused only where this is the
    // first process of a session already, as under a service manager.
    let _ = nix::unistd::setsid();
    let identity = identify(&args, session)?;
    let options = LogOptions { own_file: Some(log_file(&identity.state)), ..LogOptions::default() };
    logging::init(options).map_err(|error| Failure::usage(chain_of(&error)))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::chain("start the event loop", &e))?;
    runtime.block_on(Box::pin(serve((args, traffic), identity)))
}

/// What was not said comes from the data folder.
fn identify(args: &Args, session: &Session) -> Result<Identity, Failure> {
    if let (Some(name), Some(state)) = (&args.name, &args.state) {
        // Its folder lies in a data folder, and its log there is the first thing that it would write.
        data_folder::check(state.parent().unwrap_or(state))?;
        return Ok(Identity { name: name.clone(), state: state.clone(), server: session.server()? });
    }
    let data = data_folder::open(&session.data())?;
    let host = machine::host_name(&data)?;
    let name = args.name.clone().map_or_else(|| host.as_str().parse(), Ok);
    let name = name.map_err(|error| Failure::usage(error.to_string()).hint("name it with --name"))?;
    let server = match &session.global.server {
        Some(_) => session.server()?,
        None => Server::Unix(data.api_socket()),
    };
    Ok(Identity { name, state: args.state.clone().unwrap_or_else(|| data.balancer()), server })
}

/// Its log in its folder: where whoever starts it sends its standard error, and what it rotates then.
pub(super) fn log_file(state: &Path) -> PathBuf {
    state.join("balancer.log")
}

/// The last lines of its log, as far as they can be read: they are there to help.
pub(super) fn tail(state: &Path) -> String {
    let text = end_of(&log_file(state)).unwrap_or_default();
    let skipped = text.lines().count().saturating_sub(TAIL_LINES);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}

fn end_of(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

async fn serve((args, traffic): (Args, &TrafficArgs), identity: Identity) -> Result<Exit, Failure> {
    let Identity { name, state, server } = identity;
    let installation = installation_of(&state);
    let metrics = traffic.metrics;
    let wanted = [args.http.as_slice(), &args.https, metrics.as_slice()].concat();
    let (threads, access_log, proxy_from) = (args.threads, traffic.access_log(), traffic.proxy_from.clone());
    let https = args.https;
    let config = Config {
        threads,
        access_log,
        metrics,
        https,
        proxy_from,
        ..Config::new(name, server, state, args.http)
    };
    let balancer = match Balancer::build(config.clone()).await {
        Err(error) if is_in_use(&error) && evict(installation, wanted).await => Balancer::build(config).await,
        built => built,
    };
    let balancer = balancer.map_err(explain)?;
    let listen = |kind| signal(kind).map_err(|e| Failure::chain("listen for signals", &e));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let (trigger, drain) = drain::channel();
    let (tell, serving) = oneshot::channel();
    let besides = (balancer.secure_addresses().first().copied(), balancer.metrics_address());
    let run = balancer.run(drain, Some(tell));
    tokio::pin!(run);
    let ready = tell_ready(args.ready_file, besides, serving);
    tokio::pin!(ready);
    let ended = tokio::select! {
        ended = &mut run => ended,
        // Only what failed ends here.
        failure = &mut ready => return Err(failure),
        _ = terminate.recv() => { trigger.fire(); run.await }
        _ = interrupt.recv() => { trigger.fire(); run.await }
    };
    ended.map_err(explain_end)?;
    Ok(Exit::Done)
}

fn is_in_use(error: &BuildError) -> bool {
    matches!(error, BuildError::Listen(error) | BuildError::Metrics(error) if matches!(error, ListenError::InUse { .. }))
}

/// The data folder in which it lies, where that one's instances run beside it.
fn installation_of(state: &Path) -> Option<DataDir> {
    let root = state.parent().filter(|root| root.join("runner").is_dir())?;
    DataDir::open(root).ok()
}

/// Ends an instance that has taken its port while it was away.
async fn evict(installation: Option<DataDir>, addresses: Vec<SocketAddr>) -> bool {
    match installation {
        Some(data) => squatters::evict(&data, addresses).await,
        None => false,
    }
}

/// Writes the ready file once it serves, if one is wanted; returns only with a failure to.
pub(super) async fn tell_ready(
    file: Option<PathBuf>,
    (https, metrics): (Option<SocketAddr>, Option<SocketAddr>),
    serving: oneshot::Receiver<Vec<SocketAddr>>,
) -> Failure {
    if let (Some(file), Ok([http, ..])) = (&file, serving.await.as_deref())
        && let Err(error) = files::write_json(file, &Ready { http: *http, https, metrics }, 0o644)
    {
        return Failure::chain("write the ready file", &error);
    }
    std::future::pending().await
}

fn explain(error: BuildError) -> Failure {
    let failure = Failure::new(format!("failed to {}", chain_of(&error)));
    match error {
        BuildError::Listen(ListenError::InUse { .. }) => {
            failure.hint("name another port with --http or --https")
        }
        BuildError::Metrics(_) => failure.hint(METRICS_HINT),
        BuildError::Taken { .. } => {
            failure.hint("`tandem down` stops what runs on the data folder, --data names another one")
        }
        _ => failure,
    }
}

/// What people can do about the end of a balancer.
pub(super) fn explain_end(error: RunError) -> Failure {
    let failure = Failure::new(format!("failed to {}", chain_of(&error)));
    match error {
        RunError::AccessLog(error) => {
            let folder = error.path.parent().unwrap_or(&error.path);
            failure.hint(format!("`mkdir -p {}`, or name another file with --access-log", folder.display()))
        }
        _ => failure,
    }
}
