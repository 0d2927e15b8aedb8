//! The balancer's process as `tandem up` sees it: started in a session of its own, adopted when it is there already,
//! followed by a new one where it is of another version or serves other addresses, started again when it dies, stopped
//! only when everything stops.
//!
//! Traffic must outlive the server, so the balancer is never tied to this process: its record
//! (see [`super::balancer_process`]) is how a later `tandem up`, or `tandem down`, finds it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tandem_balancer::Process;
use tandem_kit::api::Server;
use tandem_kit::drain::{self, Drain, Trigger};
use tandem_kit::paths::DataDir;
use tandem_kit::tasks::{self, Owned};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::balancer_process::{Running, StartError};
use super::squatters;
use super::traffic::{PROXY_METRICS, TrafficArgs};
use super::up::machine;
use super::wanted::{Doors, Wanted};
use crate::failure::{Failure, chain_of};
use crate::port;

/// Wait before a balancer that died a second time is started again; doubles up to [`LONGEST_WAIT`]. After the first death
/// there is none: until it is there again nobody is served.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between two starts: people who fixed the cause do not want to wait for long.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Time between two looks whether another process serves in the place of the one that is looked after.
const LOOK: Duration = Duration::from_millis(200);
/// How often, and with which pause, it is looked whether who serves can hand over.
const LOOKS: usize = 20;
const PAUSE: Duration = Duration::from_millis(20);
/// A balancer that served for this long is started again at once: it serves in between, which waiting does not. What dies
/// sooner dies at its start, and would only keep the machine busy; so does what never serves, which a machine that is
/// overloaded may take 15 s to show.
const FORGIVEN: Duration = Duration::from_secs(2);

/// Keeps a balancer running.
pub(super) struct Supervisor {
    data: DataDir,
    first: watch::Receiver<First>,
    stopping: Trigger,
    task: Owned<()>,
}

/// What became of the first start.
#[derive(Debug, Clone)]
enum First {
    Pending,
    Serves(Vec<SocketAddr>),
    Failed(String),
}

/// A balancer that can be had: adopted or started, but not yet.
pub(super) struct Prepared {
    data: DataDir,
    wanted: Wanted,
    running: Option<Running>,
    /// It serves until a new one has taken its sockets over.
    before: Option<Running>,
}

/// Finds the balancer that runs for this data folder, or sees that one can be started. Done before anything else starts:
/// a port in use is the error that people meet first. Apps of this installation that sit on a port are ended.
///
/// # Errors
///
/// An address that is in use or not allowed.
pub(super) async fn prepare(
    data: &DataDir,
    server: &Server,
    (doors, traffic): (Doors, &TrafficArgs),
) -> Result<Prepared, Failure> {
    let mut wanted = Wanted::new(machine::host_name(data)?, server, (doors, traffic))?;
    let metrics = traffic.metrics.map(|address| (PROXY_METRICS, address));
    let Some(running) = Running::find_or_wait(data).await else {
        let last = Process::last(&data.balancer());
        let last = last.map_or_else(Doors::default, |Process { http, https, .. }| Doors { http, https });
        wanted.doors = wanted.doors.map(&last, with_known_ports);
        make_free(data, wanted.doors.all().chain(metrics).collect()).await?;
        return Ok(Prepared { data: data.clone(), wanted, running: None, before: None });
    };
    let (pid, held) = (running.pid(), running.doors());
    if running.meets(&wanted) {
        tracing::info!("balancer: adopted the running one (process {pid})");
        wanted.doors = held;
        return Ok(Prepared { data: data.clone(), wanted, running: Some(running), before: None });
    }
    // Refused before the one that serves is asked to go: a mistyped address must not cost the traffic.
    wanted.doors = wanted.doors.map(&held, with_ports_of);
    let is_held = |address: SocketAddr| held.all().any(|(_, held)| held == address);
    let metrics = metrics.filter(|(_, address)| running.metrics() != Some(*address));
    let others = wanted.doors.all().filter(|(_, address)| !is_held(*address));
    make_free(data, others.chain(metrics).collect()).await?;
    tracing::info!(
        "balancer: process {pid} serves other addresses, was told otherwise or is another program; a new one takes over"
    );
    Ok(Prepared { data: data.clone(), wanted, running: None, before: Some(running) })
}

impl Prepared {
    /// Keeps it running from now on.
    pub(super) fn start(self) -> Supervisor {
        let (tell, first) = watch::channel(First::Pending);
        let data = self.data.clone();
        let (trigger, stopping) = drain::channel();
        let task = tasks::owned("balancer-supervisor", keep_running(self, tell, stopping));
        Supervisor { data, first, stopping: trigger, task }
    }
}

impl Supervisor {
    /// Whether the first start failed.
    ///
    /// # Errors
    ///
    /// Then, with what the balancer said.
    pub(super) fn check_start(&self) -> Result<(), Failure> {
        match self.first.borrow().clone() {
            First::Pending | First::Serves(_) => Ok(()),
            First::Failed(reason) => Err(Failure::new("the balancer does not start").detail(reason)),
        }
    }

    /// Whether the balancer that should run serves at this address. One that it takes over from may serve there longer.
    pub(super) fn serves_at(&self, address: SocketAddr) -> bool {
        matches!(&*self.first.borrow(), First::Serves(addresses) if addresses.contains(&address))
    }

    /// Ends the supervision; the balancer goes on.
    pub(super) fn leave(self) {
        drop(self.task);
    }

    /// Ends the supervision and the balancer: requests under way get their time.
    pub(super) async fn stop(self) {
        self.stopping.fire();
        // One that is just being started is known to the task alone.
        self.task.await;
        stop(&self.data).await;
    }
}

/// Stops the balancer of a data folder, if one runs, and the one that was just taking over from it.
pub(super) async fn stop(data: &DataDir) {
    let mut last = None;
    while let Some(running) = Running::find_or_wait(data).await {
        // One that cannot be ended is not waited for twice.
        if last.replace(running.pid()) == Some(running.pid()) {
            return;
        }
        running.stop().await;
    }
}

/// Where port 0 leaves the choice, the port of the one that serves.
fn with_ports_of(wanted: Vec<SocketAddr>, held: &[SocketAddr]) -> Vec<SocketAddr> {
    let same = |address: SocketAddr| {
        let held = held.iter().find(|held| address.port() == 0 && held.ip() == address.ip());
        held.copied().unwrap_or(address)
    };
    wanted.into_iter().map(same).collect()
}

/// Where port 0 leaves the choice, the port of the last balancer, if it is free: people and bookmarks know it by now.
fn with_known_ports(wanted: Vec<SocketAddr>, last: &[SocketAddr]) -> Vec<SocketAddr> {
    let known = |address: SocketAddr| {
        let known = last.iter().find(|known| address.port() == 0 && known.ip() == address.ip());
        known.filter(|known| TcpListener::bind(known).is_ok()).copied().unwrap_or(address)
    };
    wanted.into_iter().map(known).collect()
}

/// Sees that a balancer can listen there, and ends apps of this installation that are in its way. Nobody is ended where another
/// address is not to be had all the same.
///
/// # Errors
///
/// Another machine's address, a port that needs root, or one that somebody else has.
async fn make_free(data: &DataDir, addresses: Vec<(&'static str, SocketAddr)>) -> Result<(), Failure> {
    addresses.iter().try_for_each(|address| ensure_allowed(*address))?;
    squatters::evict(data, addresses.iter().map(|(_, address)| *address)).await;
    addresses.iter().try_for_each(|address| ensure_free(*address))
}

fn ensure_allowed((flag, address): (&str, SocketAddr)) -> Result<(), Failure> {
    match TcpListener::bind(address) {
        Err(error) if error.kind() != ErrorKind::AddrInUse => Err(refusal((flag, address), &error)),
        _ => Ok(()),
    }
}

/// Finds out here whether the port can be had: an error of this process is seen, one of the balancer's is in its log.
fn ensure_free((flag, address): (&str, SocketAddr)) -> Result<(), Failure> {
    TcpListener::bind(address).map(drop).map_err(|error| refusal((flag, address), &error))
}

fn refusal((flag, address): (&str, SocketAddr), error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::AddrInUse => port::in_use("the balancer", flag, address),
        ErrorKind::PermissionDenied => {
            Failure::new(format!("the balancer cannot listen on {address}: ports below 1024 need root"))
                .hint(format!("start `tandem up` as root, or name a port from 1024 on with {flag}"))
        }
        ErrorKind::AddrNotAvailable => {
            Failure::new(format!("the balancer cannot listen on {address}: this machine has no such address"))
                .hint(format!(
                    "`{flag} 0.0.0.0:{port}` listens on all of its addresses, `{flag} 127.0.0.1:{port}` only for itself",
                    port = address.port()
                ))
        }
        _ => Failure::chain(&format!("listen on {address}"), error)
            .hint(format!("name another address with `{flag} IP:PORT`")),
    }
}

/// Until everything stops.
async fn keep_running(prepared: Prepared, tell: watch::Sender<First>, stopping: Drain) {
    let Prepared { data, mut wanted, mut running, mut before } = prepared;
    let mut back_off = BackOff::default();
    let mut served = false;
    loop {
        let started = match running.take() {
            Some(running) => Ok(running),
            None => start((&data, &wanted), before.take(), &stopping).await,
        };
        let (ended, life) = match started {
            Ok(mut running) => {
                let (pid, since) = (running.pid(), Instant::now());
                served = true;
                // A port that was picked stays: people and load balancers know it by now.
                wanted.doors = running.doors();
                tell.send_replace(First::Serves(running.addresses()));
                let how = tokio::select! {
                    how = running.ended_or_hung() => how,
                    () = until_followed(&data, pid) => "it was followed by another one".to_owned(),
                    () = stopping.requested() => return,
                };
                (how, Some((pid, since.elapsed())))
            }
            Err(StartError::Stopped) => return,
            Err(error) => (chain_of(&error), None),
        };
        let (pid, ran) = life.unzip();
        before = Running::find(&data).filter(|other| Some(other.pid()) != pid);
        if let Some(other) = before.take_if(|other| other.meets(&wanted)) {
            tracing::info!("balancer: process {} serves now and is adopted", other.pid());
            running = Some(other);
            continue;
        }
        if !served {
            tell.send_replace(First::Failed(ended.clone()));
        }
        match back_off.next(ran) {
            Duration::ZERO => tracing::error!("balancer: {ended}; starting it again at once"),
            wait => {
                tracing::error!("balancer: {ended}; starting it again in {wait:?}");
                if timeout(wait, stopping.requested()).await.is_ok() {
                    return;
                }
            }
        }
    }
}

/// Waits until another one serves in the place of a process: one that a `tandem up` had started before it was killed. From
/// then on it is nobody's child, while the one before may finish what it has for half a minute.
async fn until_followed(data: &DataDir, pid: u32) {
    loop {
        sleep(LOOK).await;
        let serving = Process::find(&data.balancer());
        if serving.is_ok_and(|serving| serving.is_some_and(|process| process.pid != pid)) {
            return;
        }
    }
}

/// Starts a balancer, to take over from the one before. Where that fails and the one before serves at the same addresses,
/// that one is as good as there is. At others it may be in the way since it hangs: nobody watches it who wants another one.
async fn start(
    (data, wanted): (&DataDir, &Wanted),
    mut before: Option<Running>,
    stopping: &Drain,
) -> Result<Running, StartError> {
    if before.is_some()
        && !hands_over(data).await
        && let Some(running) = before.take()
    {
        tracing::warn!(
            "balancer: process {} is of a version that cannot hand over: until the new one serves, connections are refused",
            running.pid()
        );
        running.stop().await;
    }
    let started = Running::start(data, wanted, stopping).await;
    match (started, before.filter(Running::lives)) {
        (Err(StartError::Stopped), _) => Err(StartError::Stopped),
        (Err(error), Some(before)) if before.doors() == wanted.doors => {
            let (pid, error) = (before.pid(), chain_of(&error));
            tracing::error!("balancer: the new one does not start, process {pid} goes on: {error}");
            Ok(before)
        }
        (Err(error), Some(mut before)) => {
            let hung = tokio::select! {
                hung = before.ended_if_hung() => hung,
                () = stopping.requested() => return Err(StartError::Stopped),
            };
            if hung { Running::start(data, wanted, stopping).await } else { Err(error) }
        }
        (started, _) => started,
    }
}

/// Whether who serves can hand over. Looked for a while: one whose successor has died listens again only a moment after it is
/// found again, and must not be stopped for that.
async fn hands_over(data: &DataDir) -> bool {
    for _ in 0..LOOKS {
        if Process::hands_over(&data.balancer()) {
            return true;
        }
        sleep(PAUSE).await;
    }
    false
}

/// How long to wait before the next start: nothing at first, then longer with every death in a row.
#[derive(Debug, Default)]
struct BackOff(Duration);

impl BackOff {
    /// The wait after a death; `ran` is how long the balancer served. None: it did not come to serve, however long it took to
    /// find that out.
    fn next(&mut self, ran: Option<Duration>) -> Duration {
        let wait = if ran.is_some_and(|ran| ran >= FORGIVEN) { Duration::ZERO } else { self.0 };
        self.0 = (wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Style;

    #[test]
    fn only_deaths_in_a_row_are_waited_for_and_longer_each_time() {
        let mut back_off = BackOff::default();
        let mut after = |seconds| back_off.next(Some(Duration::from_secs(seconds))).as_millis();
        assert_eq!([1; 8].map(&mut after), [0, 100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!([1, 2, 1, 1, 3, 3].map(&mut after), [5000, 0, 100, 200, 0, 0]);
        let failed_starts = [(); 3].map(|()| back_off.next(None).as_millis());
        assert_eq!(failed_starts, [100, 200, 400], "who never served is never forgiven");
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
        let v6: SocketAddr = "[::1]:0".parse().expect("an address");
        assert_eq!(
            with_ports_of(vec![any, v6, named], &last),
            [last[0], v6, named],
            "the one that serves has it"
        );
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused_before_anybody_is_ended_for_one_that_is_in_use() {
        let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
        let used = holder.local_addr().expect("its address");
        let foreign: SocketAddr = "192.0.2.1:8080".parse().expect("an address");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        assert!(ensure_allowed(("--http", used)).is_ok(), "who has it may be ended");
        let refused = |failure: Failure| failure.render(Style::new(false)).expect("it is told");
        let Err(first) = make_free(&data, vec![("--http", used), ("--http", foreign)]).await else {
            panic!("it is not ours")
        };
        assert!(refused(first).contains("no such address"), "before the one that is in use");
        let Err(second) = make_free(&data, vec![("--http", used)]).await else { panic!("it is in use") };
        assert!(refused(second).contains(&used.to_string()), "its holder is none of ours");
        data.remove_runtime().expect("the runtime folder goes");
    }
}
