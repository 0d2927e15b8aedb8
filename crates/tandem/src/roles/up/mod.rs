//! `tandem up`: server and runner in this process, the balancer as a supervised process of its own.
//!
//! The roles stay apart inside: runner and balancer get nothing but the API's socket. What each of them leaves running
//! when this process ends is decided in [`ending`].

pub(super) mod ending;
pub(super) mod machine;
mod ready;
pub(super) mod runner;
pub(super) mod server;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tandem_kit::api::{Client, Server as Address};
use tandem_kit::clock::Clock;
use tandem_kit::paths::{self, DataDir};
use tokio::sync::watch;

use super::acme::AcmeArgs;
use super::lock::{self, Locks, Role};
use super::squatters;
use super::supervise::{self, Supervisor};
use super::traffic::{self, TrafficArgs};
use super::wanted::Doors;
use crate::cli::Global;
use crate::data_folder;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use runner::Runner;
use server::Server;

/// Where the balancer listens when nothing is said: loopback only, and no port that needs root. Whoever wants the world
/// to come says so.
const DEFAULT_HTTP: [&str; 2] = ["127.0.0.1:8080", "[::1]:8080"];

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("metrics", |metrics| metrics.long(&traffic::PROXY_METRICS[2..])), after_help = "\
Everything Tandem writes lies in the data folder: /var/lib/tandem for root, else
~/.local/share/tandem; --data or TANDEM_DATA names another one. It stays in the foreground; for a
service, let systemd start it (with KillMode=process, so that a restart leaves the apps alone).

How it ends:
  Ctrl-C         stops apps, balancer and server; Ctrl-C again leaves at once
  SIGTERM        ends the server alone: apps and balancer go on, and the next start adopts them
  tandem down    stops everything, from any terminal

With root and bubblewrap each app runs in a sandbox of its own. Without them apps are plain
processes of one user, and it says so loudly.

Examples:
  tandem up
  tandem up --http 0.0.0.0:80 --http '[::]:80'      serve the world
  tandem up --https 127.0.0.1:8443                  and HTTPS; `tandem trust` tells how to trust it
  tandem up --http 0.0.0.0:80 --https 0.0.0.0:443 --acme letsencrypt
  tandem up --http 10.0.0.2:80 --proxy-from 10.0.0.1    behind a proxy that tells of clients
  tandem up --access-log /var/log/tandem/access.log --access-format combined
  tandem up --proxy-metrics 127.0.0.1:9180          figures of the balancer for Prometheus
  tandem up --data ./.demo --http 127.0.0.1:0       a throw-away installation on any free port")]
pub(crate) struct Args {
    /// Where the balancer serves HTTP; port 0 picks a free one; may be given several times [default: 127.0.0.1:8080 and
    /// [::1]:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    http: Vec<SocketAddr>,
    /// Where the balancer serves HTTPS, in the same way; each app gets a certificate, see docs/https.md
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    https: Vec<SocketAddr>,
    /// Where the API serves TCP, with tokens; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070", value_parser = address)]
    api: SocketAddr,
    /// Write the addresses to this file as JSON once everything answers
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    acme: AcmeArgs,
}

/// An address with its port; people who name only one of the two are told the whole.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    whole_address(text, 8080)
}

/// The same with a port for who names none.
pub(super) fn whole_address(text: &str, usual: u16) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
        let whole = match (port.parse::<u16>(), text.parse::<IpAddr>()) {
            (_, Ok(address)) => SocketAddr::new(address, usual),
            (Ok(port), Err(_)) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            (Err(_), Err(_)) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), usual),
        };
        format!("expected an IP address and a port: write {whole}")
    })
}

impl Args {
    fn http(&self) -> Vec<SocketAddr> {
        if self.http.is_empty() { default_http() } else { self.http.clone() }
    }

    fn doors(&self) -> Doors {
        Doors { http: self.http(), https: self.https.clone() }
    }
}

/// Where the balancer serves when nothing is said.
fn default_http() -> Vec<SocketAddr> {
    let addresses = DEFAULT_HTTP.iter().map(|text| text.parse().expect("a constant address"));
    addresses.filter(machine::has_address).collect()
}

/// Everything that runs.
struct Parts {
    data: DataDir,
    client: Client,
    server: Server,
    runner: Runner,
    balancer: Supervisor,
    /// The file that says where it answers.
    ready: Option<ready::Written>,
    _locks: Locks,
}

/// Runs until it is told to end.
///
/// # Errors
///
/// What keeps it from starting, or the failure of a part without which it is none.
pub(crate) fn run(args: Args, global: Global, output: Output) -> Result<Exit, Failure> {
    machine::run(output, |output| up(args, global, output))
}

async fn up(args: Args, global: Global, output: Output) -> Result<Exit, Failure> {
    let mut signals = ending::Signals::listen()?;
    let folder = global.data.clone().unwrap_or_else(paths::default_data_dir);
    let data = data_folder::open(&folder)?;
    let mut parts = start(&args, &folder, data).await?;
    let told = tokio::select! {
        ready = ready::wait(&parts) => ready.and_then(|ready| ready::tell(ready, &args, &output)),
        end = ending::wait(&mut signals, &parts) => return ending::carry_out(end, parts, signals).await,
    };
    let end = match told {
        Ok(written) => {
            parts.ready = written;
            ending::wait(&mut signals, &parts).await
        }
        Err(failure) => ending::End::Failed(failure),
    };
    ending::carry_out(end, parts, signals).await
}

async fn start(args: &Args, folder: &std::path::Path, data: DataDir) -> Result<Parts, Failure> {
    let acme = args.acme.config()?;
    if acme.is_some() && args.https.is_empty() {
        return Err(Failure::usage("--acme gets certificates, and nothing here serves HTTPS")
            .hint("add `--https 0.0.0.0:443`, or leave --acme away"));
    }
    let locks = lock::take_soon(&data, folder, Role::Up).await?;
    let clock = Clock::system();
    data_folder::take_over(&data, &clock).await?;
    let address = Address::Unix(data.api_socket());
    let balancer = supervise::prepare(&data, &address, (args.doors(), &args.traffic)).await?;
    squatters::evict(&data, [args.api]).await;
    let server = Server::start(&data, args.api, (&clock, "system:up", acme)).await?;
    let client = Client::new(address.clone());
    // Apps are nobody who reads of other apps.
    let metrics = args.traffic.metrics.map(|address| address.port()).filter(|port| *port > 0);
    let closed = metrics.into_iter().chain([server.api_address().port()]).collect();
    let closed_ports = watch::channel(closed).1;
    let runner = match Runner::start(&data, address, (closed_ports, &clock)).await {
        Ok(runner) => runner,
        Err(failure) => {
            server.end().await;
            return Err(failure);
        }
    };
    Ok(Parts { data, client, server, runner, balancer: balancer.start(), ready: None, _locks: locks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_address_is_answered_with_a_whole_one() {
        for (text, whole) in [
            ("8080", "127.0.0.1:8080"),
            (":80", "127.0.0.1:80"),
            ("localhost:90", "127.0.0.1:90"),
            ("0.0.0.0", "0.0.0.0:8080"),
            ("::", "[::]:8080"),
            ("nowhere", "127.0.0.1:8080"),
        ] {
            let refused = address(text).expect_err("it is not whole");
            assert!(refused.ends_with(&format!("write {whole}")), "{text}: {refused}");
        }
        assert!(address("127.0.0.1:0").is_ok());
    }
}
