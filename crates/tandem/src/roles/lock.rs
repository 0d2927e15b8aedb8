//! Who may run on a data folder beside whom.
//!
//! | role | `lock` | besides |
//! |---|---|---|
//! | `tandem up`, and `tandem down` where nothing else runs | alone | – |
//! | `tandem server` | shared | `server.lock` alone |
//! | `tandem runner` | shared | `runner.lock` alone |
//!
//! So there is one server and one runner, be it in one process or in two, and `tandem down` knows by the first lock that
//! nobody is left. The lock of a server is the lease on its store (decision 016). A balancer has its own, in its own folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_kit::files::{self, LockGuard};
use tandem_kit::paths::{self, DataDir};
use tandem_sandbox::process::Stat;
use tokio::time::{Instant, sleep};

use crate::failure::{Failure, chain_of};

/// Longest wait for what a dead holder had just started; on a machine that is overloaded it was seen to take a second.
const LEFT_WITHIN: Duration = Duration::from_secs(10);
/// Time between two tries.
const INTERVAL: Duration = Duration::from_millis(20);

/// The one file that a runner writes beside a server's.
const RUNNER: &str = "runner.json";

/// What has a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Server and runner in one process.
    Up,
    /// The server alone.
    Server,
    /// The runner alone.
    Runner,
}

impl Role {
    /// Every one.
    const ALL: [Self; 3] = [Self::Up, Self::Server, Self::Runner];

    /// Its verb.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Server => "server",
            Self::Runner => "runner",
        }
    }

    /// Whether nobody else writes a file of that name while this role has its locks. The name of the host is written by whoever
    /// comes first, be it a balancer, which has none of them.
    fn writes_alone(self, name: &str) -> bool {
        match self {
            Self::Up => true,
            Self::Server => name != RUNNER && name != "host.json",
            Self::Runner => name == RUNNER,
        }
    }

    /// The lock that it has alone, where the one of the folder is shared.
    fn own_lock(self, data: &DataDir) -> Option<PathBuf> {
        (self != Self::Up).then(|| data.root().join(format!("{}.lock", self.verb())))
    }
}

/// Who holds a lock, for the message of whoever comes second. In the runtime folder: a reboot forgets it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// Its data folder, for whoever looks for it elsewhere. A server of before this was told does not say.
    #[serde(default)]
    pub(crate) data: Option<PathBuf>,
    /// When its process began, in clock ticks since boot: a note outlives its process, whose number the next one gets. One of
    /// before this was told does not say.
    #[serde(default)]
    started: Option<u64>,
}

impl Holder {
    /// A process of now; the number of one that is gone makes a note that names nobody.
    pub(crate) fn new(pid: u32, data: Option<PathBuf>) -> Self {
        Self { pid, data, started: stat(pid).map(|stat| stat.start_time()) }
    }

    /// Where it stands in a runtime folder.
    pub(crate) fn file(runtime: &Path, role: Role) -> PathBuf {
        runtime.join(match role {
            Role::Up => "up.json",
            Role::Server => "server.json",
            Role::Runner => RUNNER,
        })
    }

    /// Whoever wrote it down last, if its process lives: a note outlives a crash.
    pub(crate) fn living(runtime: &Path, role: Role) -> Option<Self> {
        let note = files::read_json::<Self>(&Self::file(runtime, role));
        if let Err(error) = &note {
            tracing::debug!("{}", chain_of(error));
        }
        note.ok().flatten().filter(Self::lives)
    }

    fn lives(&self) -> bool {
        let is_it = |stat: Stat| self.started.is_none_or(|started| started == stat.start_time());
        stat(self.pid).is_some_and(|stat| stat.lives() && is_it(stat))
    }

    /// The process of a runner that lives where no server does.
    pub(super) fn lonely_runner(runtime: &Path) -> Option<u32> {
        let served = [Role::Up, Role::Server].iter().any(|role| Self::living(runtime, *role).is_some());
        Self::living(runtime, Role::Runner).filter(|_| !served).map(|holder| holder.pid)
    }

    /// All that live on a data folder, each as it is called and with its process.
    pub(crate) fn all(runtime: &Path) -> Vec<(String, u32)> {
        let named = |role: Role| {
            let Self { pid, .. } = Self::living(runtime, role)?;
            Some((format!("`tandem {}` (process {pid})", role.verb()), pid))
        };
        Role::ALL.into_iter().filter_map(named).collect()
    }

    /// Whether a process of that role lives on a data folder, which need not be one.
    pub(crate) fn beside(data: &Path, role: Role) -> bool {
        let link = std::fs::read_link(paths::socket_link(data));
        let runtime = link.ok().and_then(|socket| socket.parent().map(Path::to_owned));
        runtime.is_some_and(|runtime| Self::living(&runtime, role).is_some())
    }
}

fn stat(pid: u32) -> Option<Stat> {
    Stat::of(i32::try_from(pid).ok()?)
}

/// Locks until dropped.
#[derive(Debug)]
#[must_use = "the locks end when this is dropped"]
pub(super) struct Locks {
    /// First to be given back: whoever waits for the folder finds the role free then.
    _own: Option<LockGuard>,
    _folder: LockGuard,
}

/// Why locks were not taken.
#[derive(Debug)]
enum Refusal {
    /// Somebody else has one: the message names the process.
    Held(Failure),
    /// It cannot be found out, or not be written down; to wait changes nothing.
    Failed(Failure),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Held(failure) | Refusal::Failed(failure) => failure,
        }
    }
}

/// Takes the locks of a role; `folder` is how people named the data folder.
fn take(data: &DataDir, folder: &Path, role: Role) -> Result<Locks, Refusal> {
    let failed = |act: &str, error: files::Error| Refusal::Failed(Failure::chain(act, &error));
    let unlocked = |error| failed("lock the data folder", error);
    let of_folder = match role {
        Role::Up => files::lock_exclusive(&data.lock()),
        Role::Server | Role::Runner => files::lock_shared(&data.lock()),
    };
    let rivals: &[Role] = if role == Role::Up { &Role::ALL } else { &[Role::Up] };
    let held = |rivals: &[Role]| Refusal::Held(held(data, folder, rivals));
    let of_folder = of_folder.map_err(unlocked)?.ok_or_else(|| held(rivals))?;
    let own = match role.own_lock(data) {
        None => None,
        Some(path) => {
            let lock = files::lock_exclusive(&path).map_err(unlocked)?;
            Some(lock.ok_or_else(|| held(&[role]))?)
        }
    };
    let holder = Holder::new(std::process::id(), Some(data.root().to_owned()));
    files::write_json(&Holder::file(data.runtime(), role), &holder, 0o600)
        .map_err(|error| failed("note who holds the lock", error))?;
    // Only now: somebody else could be just writing it.
    let swept = data.remove_aside(|name| role.writes_alone(name));
    swept.map_err(|error| failed("clear what a killed process left", error))?;
    Ok(Locks { _own: own, _folder: of_folder })
}

/// Takes the locks of a role; `folder` is how people named the data folder. Waits where only dead processes are known to hold one.
/// The kernel gives a lock back when the last process that has it open is gone, and a child that was started a moment before its
/// parent was killed has it until it executes its program.
///
/// # Errors
///
/// Somebody else runs there: the message names the process. Or the folder is of no use; then at once.
pub(super) async fn take_soon(data: &DataDir, folder: &Path, role: Role) -> Result<Locks, Failure> {
    let deadline = Instant::now() + LEFT_WITHIN;
    let rivals: &[Role] = if role == Role::Up { &Role::ALL } else { &[Role::Up, role] };
    loop {
        let taken = take(data, folder, role);
        let lives = || rivals.iter().any(|rival| Holder::living(data.runtime(), *rival).is_some());
        match taken {
            Err(Refusal::Held(_)) if !lives() && Instant::now() < deadline => {}
            taken => return taken.map_err(Failure::from),
        }
        sleep(INTERVAL).await;
    }
}

/// Keeps a runner from starting, where none runs; none where one does.
pub(super) fn no_runner(data: &DataDir) -> Result<Option<LockGuard>, files::Error> {
    let path = Role::Runner.own_lock(data).expect("it has one");
    files::lock_shared(&path)
}

fn held(data: &DataDir, folder: &Path, rivals: &[Role]) -> Failure {
    let named = |role: &Role| {
        Holder::living(data.runtime(), *role)
            .map(|holder| format!("`tandem {}` (process {})", role.verb(), holder.pid))
    };
    let who: Vec<_> = rivals.iter().filter_map(named).collect();
    let folder = folder.display();
    let title = match who.as_slice() {
        [] => format!("another `tandem {}` runs on the data folder {folder}", rivals[0].verb()),
        [one] => format!("another {one} runs on the data folder {folder}"),
        several => format!("{} run on the data folder {folder}", several.join(" and ")),
    };
    Failure::new(title).hint(format!(
        "`tandem status --data {folder}` shows it, `tandem down --data {folder}` stops it, --data names another folder"
    ))
}

/// Where the API listens on TCP: a runner that runs apart keeps apps from it. Beside the socket, in the runtime folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ApiAddress {
    /// Where.
    pub(super) tcp: SocketAddr,
}

impl ApiAddress {
    fn file(data: &DataDir) -> PathBuf {
        data.runtime().join("api.json")
    }

    /// Writes it down; before anybody is answered, so that whoever was answered reads the right one.
    pub(super) fn write(self, data: &DataDir) -> Result<(), files::Error> {
        files::write_json(&Self::file(data), &self, 0o600)
    }

    /// Where the server listens, or listened last; none where none was started since the machine was.
    pub(super) fn read(data: &DataDir) -> Result<Option<Self>, files::Error> {
        files::read_json(&Self::file(data))
    }
}

#[cfg(test)]
mod formats;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn told(result: Result<Locks, impl Into<Failure>>) -> (String, String) {
        let Err(Failure::Told(told)) = result.map_err(Into::into) else { panic!("two hold one lock") };
        (told.title, told.hint)
    }

    fn data() -> (tempfile::TempDir, DataDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(folder.path()).expect("a data folder");
        (folder, data)
    }

    #[test]
    fn the_second_one_is_told_which_process_was_first() {
        let (folder, data) = data();
        let first = take(&data, folder.path(), Role::Up).expect("nobody holds it");
        let own = std::process::id().to_string();
        for role in Role::ALL {
            let (title, hint) = told(take(&data, folder.path(), role));
            assert!(title.contains("`tandem up`") && title.contains(&own), "{title}");
            assert!(hint.contains("tandem down --data"), "{hint}");
        }
        drop(first);
        drop(take(&data, folder.path(), Role::Up).expect("it is free again"));
        data.remove_runtime().expect("the runtime folder goes");
    }

    #[test]
    fn a_server_and_a_runner_run_side_by_side_but_no_two_of_a_kind_and_no_up_beside_them() {
        let (folder, data) = data();
        let server = take(&data, folder.path(), Role::Server).expect("nobody is there");
        let guard = no_runner(&data).expect("it can be asked").expect("no runner is there");
        let (title, _) = told(take(&data, folder.path(), Role::Runner));
        assert!(title.contains("another `tandem runner`"), "everything is being stopped: {title}");
        drop(guard);
        let runner = take(&data, folder.path(), Role::Runner).expect("it has a lock of its own");
        assert!(no_runner(&data).expect("it can be asked").is_none());
        assert!(
            told(take(&data, folder.path(), Role::Server)).0.contains("another `tandem server` (process")
        );
        assert!(
            told(take(&data, folder.path(), Role::Runner)).0.contains("another `tandem runner` (process")
        );
        let (title, _) = told(take(&data, folder.path(), Role::Up));
        assert!(
            title.contains("`tandem server` (process") && title.contains("and `tandem runner`"),
            "{title}"
        );
        drop(server);
        drop(runner);
        drop(take(&data, folder.path(), Role::Up).expect("nobody is left"));
        data.remove_runtime().expect("the runtime folder goes");
    }

    #[test]
    fn what_killed_processes_wrote_aside_goes_with_the_next_one_of_their_role() {
        let (folder, data) = data();
        let left = |name: &str| {
            let of_runtime = ["runner", "server", "api"].iter().any(|own| name.starts_with(own));
            let parent = if of_runtime { data.runtime() } else { data.root() };
            parent.join(format!(".{name}.0a1b2c3d.tmp"))
        };
        let names = ["runner.json", "server.json", "api.json", "version.json", "host.json"];
        for name in names {
            files::write_atomic_unsynced(&left(name), b"{", 0o600).expect("it is written");
        }
        let there = || names.into_iter().filter(|name| left(name).exists()).collect::<Vec<_>>();
        let server = take(&data, folder.path(), Role::Server).expect("nobody is there");
        assert_eq!(there(), ["runner.json", "host.json"], "a runner may be writing them");
        let runner = take(&data, folder.path(), Role::Runner).expect("nobody is there");
        assert_eq!(there(), ["host.json"]);
        drop((server, runner));
        let up = take(&data, folder.path(), Role::Up).expect("nobody is left");
        assert!(there().is_empty());
        drop(up);
        data.remove_runtime().expect("the runtime folder goes");
    }

    #[tokio::test]
    async fn what_a_dead_holder_had_just_started_is_waited_for() {
        let (folder, data) = data();
        let dead = Holder::new(u32::MAX, None);
        files::write_json(&Holder::file(data.runtime(), Role::Up), &dead, 0o600).expect("it is written");
        let child = files::lock_exclusive(&data.lock()).expect("it can be asked").expect("nobody holds it");
        let gone = async {
            // Only now: the first try is over.
            tokio::task::yield_now().await;
            drop(child);
        };
        let (taken, ()) = tokio::join!(take_soon(&data, folder.path(), Role::Up), gone);
        let first = taken.expect("its holder was dead");
        let (title, _) = told(take_soon(&data, folder.path(), Role::Up).await);
        assert!(title.contains("`tandem up`"), "who lives is told at once: {title}");
        drop(first);
        data.remove_runtime().expect("the runtime folder goes");
    }

    #[test]
    fn what_fails_for_another_reason_than_a_holder_is_told_at_once() {
        let (folder, data) = data();
        std::fs::create_dir(data.lock()).expect("a folder in the place of the lock");
        let taken = take_soon(&data, folder.path(), Role::Up).now_or_never();
        let (title, _) = told(taken.expect("to wait changes nothing"));
        assert!(title.contains("lock the data folder"), "{title}");
        data.remove_runtime().expect("the runtime folder goes");
    }

    #[test]
    fn a_note_of_a_process_that_is_gone_names_nobody() {
        let (_folder, data) = data();
        let gone = Holder::new(u32::MAX, None);
        files::write_json(&Holder::file(data.runtime(), Role::Up), &gone, 0o600).expect("it is written");
        assert!(Holder::living(data.runtime(), Role::Up).is_none());
        data.remove_runtime().expect("the runtime folder goes");
    }

    #[test]
    fn a_note_whose_number_another_process_has_now_names_nobody() {
        let (_folder, data) = data();
        let file = Holder::file(data.runtime(), Role::Up);
        let own = Holder::new(std::process::id(), None);
        let earlier = Holder { started: own.started.map(|started| started - 1), ..own };
        files::write_json(&file, &earlier, 0o600).expect("it is written");
        assert!(Holder::living(data.runtime(), Role::Up).is_none());
        let of_before = serde_json::json!({ "pid": std::process::id() });
        files::write_json(&file, &of_before, 0o600).expect("it is written");
        assert!(Holder::living(data.runtime(), Role::Up).is_some(), "it did not say when it began");
        data.remove_runtime().expect("the runtime folder goes");
    }
}
