//! The balancer's process as `tandem up` sees it: started in a session of its own, taken over when it is there already,
//! started again when it dies, stopped only when everything stops.
//!
//! Traffic must outlive the server, so the balancer is never tied to this process: its record
//! (see [`super::balancer_process`]) is how a later `tandem up`, or `tandem down`, finds it.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tandem_balancer::Process;
use tandem_kit::api::Server;
use tandem_kit::paths::DataDir;
use tandem_kit::tasks::{self, Owned};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::balancer_process::{Running, Wanted};
use super::up::machine;
use crate::failure::{Failure, chain_of};
use crate::port;

/// Wait before a balancer that died a second time is started again; doubles up to [`LONGEST_WAIT`]. After the first death
/// there is none: until it is there again nobody is served.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between two starts: people who fixed the cause do not want to wait for long.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A balancer that ran this long starts the back-off anew.
const FORGIVEN: Duration = Duration::from_secs(60);

/// Keeps a balancer running.
pub(super) struct Supervisor {
    data: DataDir,
    failed: watch::Receiver<Option<String>>,
    task: Owned<()>,
}

/// A balancer that can be had: taken over or started, but not yet.
pub(super) struct Prepared {
    data: DataDir,
    wanted: Wanted,
    adopted: Option<Running>,
}

/// Finds the balancer that runs for this data folder, or sees that one can be started. Done before anything else starts:
/// a port in use is the error that people meet first.
///
/// # Errors
///
/// An address that is in use or not allowed.
pub(super) async fn prepare(
    data: &DataDir,
    server: &Server,
    http: Vec<SocketAddr>,
) -> Result<Prepared, Failure> {
    let mut wanted = Wanted::new(machine::host_name(data)?, server, http)?;
    let adopted = Running::find(data).filter(|running| running.meets(&wanted));
    match &adopted {
        Some(running) => {
            tracing::info!("balancer: took over the running one (process {})", running.pid());
            wanted.http = running.addresses();
        }
        None => {
            let last = Process::last(&data.balancer()).map_or_else(Vec::new, |process| process.http);
            // Refused before the one that serves is asked to go: a mistyped address must not cost the traffic.
            let held = Running::find(data).map_or_else(Vec::new, |running| running.addresses());
            let foreign = wanted.http.iter().filter(|address| !held.contains(address));
            foreign.copied().try_for_each(ensure_free)?;
            end_other(data).await;
            wanted.http = with_known_ports(wanted.http, &last);
            wanted.http.iter().try_for_each(|address| ensure_free(*address))?;
        }
    }
    Ok(Prepared { data: data.clone(), wanted, adopted })
}

impl Prepared {
    /// Keeps it running from now on.
    pub(super) fn start(self) -> Supervisor {
        let Self { data, wanted, adopted } = self;
        let (tell, failed) = watch::channel(None);
        let task = tasks::owned("balancer-supervisor", keep_running(data.clone(), wanted, adopted, tell));
        Supervisor { data, failed, task }
    }
}

impl Supervisor {
    /// Whether the first start failed.
    ///
    /// # Errors
    ///
    /// Then, with what the balancer said.
    pub(super) fn check_start(&self) -> Result<(), Failure> {
        match self.failed.borrow().clone() {
            None => Ok(()),
            Some(reason) => Err(Failure::new("the balancer does not start").detail(reason)),
        }
    }

    /// Ends the supervision; the balancer goes on.
    pub(super) fn leave(self) {
        drop(self.task);
    }

    /// Ends the supervision and the balancer: requests under way get their time.
    pub(super) async fn stop(self) {
        drop(self.task);
        stop(&self.data).await;
    }
}

/// Stops the balancer of a data folder, if one runs.
pub(super) async fn stop(data: &DataDir) {
    if let Some(running) = Running::find(data) {
        running.stop().await;
    }
}

/// A balancer of other addresses or of another program finishes its requests and goes.
async fn end_other(data: &DataDir) {
    if let Some(other) = Running::find(data) {
        let pid = other.pid();
        tracing::info!("balancer: replacing process {pid}: it serves other addresses or is another program");
        other.stop().await;
    }
}

/// Where port 0 leaves the choice, the port of the last balancer, if it is free: people and bookmarks know it by now.
fn with_known_ports(wanted: Vec<SocketAddr>, last: &[SocketAddr]) -> Vec<SocketAddr> {
    let known = |address: SocketAddr| {
        let known = last.iter().find(|known| address.port() == 0 && known.ip() == address.ip());
        known.filter(|known| TcpListener::bind(known).is_ok()).copied().unwrap_or(address)
    };
    wanted.into_iter().map(known).collect()
}

/// Finds out here whether the port can be had: an error of this process is seen, one of the balancer's is in its log.
fn ensure_free(address: SocketAddr) -> Result<(), Failure> {
    let Err(error) = TcpListener::bind(address) else { return Ok(()) };
    Err(match error.kind() {
        std::io::ErrorKind::AddrInUse => port::in_use("the balancer", "--http", address),
        std::io::ErrorKind::PermissionDenied => {
            Failure::new(format!("the balancer cannot listen on {address}: ports below 1024 need root"))
                .hint("start `tandem up` as root, or name a port from 1024 on with --http")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            Failure::new(format!("the balancer cannot listen on {address}: this machine has no such address"))
                .hint(format!(
                    "`--http 0.0.0.0:{port}` listens on all of its addresses, `--http 127.0.0.1:{port}` only for itself",
                    port = address.port()
                ))
        }
        _ => Failure::chain(&format!("listen on {address}"), &error)
            .hint("name another address with `--http IP:PORT`"),
    })
}

async fn keep_running(
    data: DataDir,
    mut wanted: Wanted,
    mut running: Option<Running>,
    tell: watch::Sender<Option<String>>,
) {
    let mut back_off = BackOff::default();
    let mut served = running.is_some();
    loop {
        let since = Instant::now();
        let started = match running.take() {
            Some(running) => Ok(running),
            None => Running::start(&data, &wanted).await,
        };
        let ended = match started {
            Ok(mut running) => {
                served = true;
                // A port that was picked stays: people and load balancers know it by now.
                wanted.http = running.addresses();
                running.ended().await
            }
            Err(error) => chain_of(&error),
        };
        if !served {
            tell.send_replace(Some(ended.clone()));
        }
        match back_off.next(since.elapsed()) {
            Duration::ZERO => tracing::error!("balancer: {ended}; starting it again at once"),
            wait => {
                tracing::error!("balancer: {ended}; starting it again in {wait:?}");
                sleep(wait).await;
            }
        }
    }
}

/// How long to wait before the next start: nothing at first, then longer with every death in a row.
#[derive(Debug, Default)]
struct BackOff(Duration);

impl BackOff {
    /// The wait after a death; `ran` is how long the balancer lived.
    fn next(&mut self, ran: Duration) -> Duration {
        let wait = if ran >= FORGIVEN { Duration::ZERO } else { self.0 };
        self.0 = (wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deaths_in_a_row_are_waited_for_and_longer_each_time() {
        let mut back_off = BackOff::default();
        let mut after = |seconds| back_off.next(Duration::from_secs(seconds)).as_millis();
        assert_eq!([1; 8].map(&mut after), [0, 100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!([1, 60, 59, 59].map(&mut after), [5000, 0, 100, 200]);
    }

    #[test]
    fn port_0_means_the_port_that_people_know_while_it_is_free() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let named: SocketAddr = "127.0.0.1:8080".parse().expect("an address");
        let holder = TcpListener::bind(any).expect("a port");
        let last = [holder.local_addr().expect("its address")];
        assert_eq!(with_known_ports(vec![any, named], &last), [any, named], "somebody else has it");
        drop(holder);
        assert_eq!(with_known_ports(vec![any, named], &last), [last[0], named]);
        assert_eq!(with_known_ports(vec![any], &[]), [any]);
    }
}
