//! Where the commands of a build run: the folders of one app, and the sandbox around each command.
//!
//! `DATA/build/<app>` belongs to Tandem; `uv` and what lies below `work` belongs to the build's user, who sees only
//! what is mounted. All of `work` goes with the build, its home folder too: what is kept is kept on purpose, by somebody who
//! knows how much it may be. What a command left behind is not trusted: its links are never followed (see [`real_folder`]).

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::fcntl::OFlag;
use tandem_blobs::{BlobStore, export};
use tandem_kit::clock::{Clock, Moment};
use tandem_kit::files;
use tandem_kit::paths::{DataDir, NODES, PYTHONS};
use tandem_sandbox::cgroup::{self, Group};
use tandem_sandbox::packet_rules::Tables;
use tandem_sandbox::run::{self, Ended, Limit, Outcome};
use tandem_sandbox::{Limits, Mount, Network, Spec, User};
use tandem_types::event::Event;
use tandem_types::instance::Isolation;
use tandem_types::{AppName, Digest, Span};

use crate::bounds::{self, Overrun};
use crate::error::{LINES_SHOWN, io_error};
use crate::network::{NetworkSettings, redacted};
use crate::recipe::APP;
use crate::{Error, Events};

mod folders;
mod limits;
mod occupied;
mod way_out;

pub(crate) use folders::{ensure_real, real_folder};
pub(crate) use limits::limits;
use limits::{MEMORY_BYTES, MOST_PIDS};
pub(crate) use occupied::Occupied;

/// What one command may print. Compilers of large packages say some mebibytes.
const OUTPUT_BYTES: u64 = 64 << 20;
/// Where commands find Tandem's own scripts and leave their reports.
pub(crate) const TOOLS: &str = "/build";
/// Where commands of a build work, below the app's folder.
pub(crate) const WORK: &str = "work";
/// What the names of builds' control groups begin with; no instance or job has such a name.
pub(crate) const GROUP_PREFIX: &str = "build-";
/// Longest report that is read.
const MAX_REPORT_BYTES: u64 = 64 * 1024 * 1024;

/// The folders and bounds of one build.
pub(crate) struct Workshop {
    /// `DATA/build/<app>`.
    pub(crate) folder: PathBuf,
    /// Interpreters that are not the machine's own; may not be there.
    pythons: PathBuf,
    /// The same for Node.
    nodes: PathBuf,
    app: AppName,
    cgroup_parent: String,
    isolation: Isolation,
    uid: u32,
    tables: Tables,
    network: NetworkSettings,
    clock: Clock,
    deadline: Moment,
    limit: Span,
    limits: Limits,
}

/// How to open a workshop.
pub(crate) struct Options<'a> {
    pub(crate) data: &'a DataDir,
    pub(crate) app: &'a AppName,
    pub(crate) isolation: Isolation,
    /// The user of the environment's instances; see [`Tables::build_uid`].
    pub(crate) uid: u32,
    pub(crate) network: &'a NetworkSettings,
    pub(crate) clock: &'a Clock,
    pub(crate) limit: Span,
    pub(crate) limits: &'a Limits,
}

/// One command.
pub(crate) struct Call {
    /// For people: `uv`, `collectstatic`.
    pub(crate) what: &'static str,
    /// Shell command; paths in it are relative or in variables, so that it works without a sandbox, too.
    pub(crate) command: String,
    pub(crate) cwd: &'static str,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) network: Network,
    /// Whether people see its lines.
    pub(crate) is_shown: bool,
}

impl Workshop {
    /// Makes the folders and removes what a crashed build left.
    pub(crate) fn open(options: &Options<'_>) -> Result<Self, Error> {
        let folder = options.data.build().join(options.app.as_str());
        let tables = Tables::of(options.data);
        let shop = Self {
            app: options.app.clone(),
            cgroup_parent: options.data.cgroup_name(),
            isolation: options.isolation,
            uid: tables.build_uid(options.uid),
            tables,
            network: options.network.clone(),
            clock: options.clock.clone(),
            deadline: options.clock.monotonic() + options.limit.as_duration(),
            limit: options.limit,
            limits: options.limits.clone(),
            pythons: options.data.pythons(),
            nodes: options.data.nodes(),
            folder,
        };
        files::ensure_dir(&options.data.build(), 0o700)?;
        files::ensure_dir(&shop.folder, 0o700)?;
        shop.clear()?;
        shop.remove_home_of_earlier_versions()?;
        shop.owned_folder(&shop.folder.join("uv"))?;
        files::ensure_dir(&shop.folder.join(WORK), 0o700)?;
        Ok(shop)
    }

    /// Settings for commands that use the network.
    pub(crate) fn network(&self) -> &NetworkSettings {
        &self.network
    }

    /// Closes the loopback to commands of builds, but for what is named as index or proxy. Where that cannot be done,
    /// the build goes on and people are told.
    pub(crate) async fn close_loopback(&self) -> Option<String> {
        if self.isolation == Isolation::Plain {
            return None;
        }
        let open = self.network.addresses().await;
        let error = self.tables.guard_builds(&open).await.err()?;
        let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
        let text = format!(
            "build scripts of packages reach other services on this server's loopback: {error}{cause}"
        );
        tracing::warn!("NO PACKET RULES: {text}");
        Some(text)
    }

    /// Ends what may still run of a build that was given up, and removes what commands worked on.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        // First: nothing must write to the folder any more.
        for name in cgroup::list(&self.cgroup_parent)?.iter().filter(|name| is_group_of(&self.app, name)) {
            Group::open(&self.cgroup_parent, name).clear_blocking()?;
        }
        remove_if_there(&self.folder.join(WORK))
    }

    /// It was kept between builds, whatever was in it.
    fn remove_home_of_earlier_versions(&self) -> Result<(), Error> {
        remove_if_there(&self.folder.join("home"))
    }

    /// A place for a command to work on; nothing is there yet.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.folder.join(WORK).join(name)
    }

    /// Makes a folder of the build's user.
    pub(crate) fn owned_folder(&self, path: &Path) -> Result<(), Error> {
        if fs::symlink_metadata(path).is_ok() {
            ensure_real("an earlier command", path)?;
        }
        files::ensure_dir(path, 0o755)?;
        let Some(owner) = self.owner() else { return Ok(()) };
        let metadata = fs::symlink_metadata(path).map_err(io_error("look at", path))?;
        if metadata.uid() == owner {
            return Ok(());
        }
        // The app was built as another user before: the cache follows it, or begins anew where it is too deep.
        if give_away(path, owner).is_err() {
            files::remove_tree(path).map_err(io_error("remove", path))?;
            files::ensure_dir(path, 0o755)?;
            lchown(path, Some(owner), Some(owner)).map_err(io_error("give away", path))?;
        }
        Ok(())
    }

    /// Whether nothing can be mounted.
    pub(crate) fn is_plain(&self) -> bool {
        self.isolation == Isolation::Plain
    }

    /// Puts a link in place of an empty folder of the app that was laid out.
    pub(crate) fn link_in_app(&self, point: &str, target: &Path) -> Result<(), Error> {
        let path = self.work("app").join(point);
        fs::remove_dir(&path)
            .and_then(|()| std::os::unix::fs::symlink(target, &path))
            .map_err(io_error("put a link in place of", &path))
    }

    /// User and group of what commands may change; none where they run as Tandem's own user.
    pub(crate) fn owner(&self) -> Option<u32> {
        (self.isolation == Isolation::Sandbox).then_some(self.uid)
    }

    /// Milliseconds since a moment of this build's clock.
    pub(crate) fn millis_since(&self, started: Moment) -> u64 {
        u64::try_from(self.now().elapsed_since(started).as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.monotonic()
    }

    /// The build's time.
    pub(crate) fn limit(&self) -> Span {
        self.limit
    }

    /// Whether it has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.now() >= self.deadline
    }

    /// Runs a command to its end. Failing is not an error here; running out of time is.
    pub(crate) async fn run(&self, call: Call, events: Events<'_>) -> Result<Outcome, Error> {
        let what = call.what;
        let left = self.deadline.elapsed_since(self.clock.monotonic());
        let timed_out = |lines| Error::TimedOut { what, limit: self.limit, lines };
        if left < Duration::from_millis(1) {
            return Err(timed_out(Vec::new()));
        }
        let timeout = Span::millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        self.ensure_mount_points(&call)?;
        let options = run::Options { timeout, output_bytes: OUTPUT_BYTES, last_lines: 5 * LINES_SHOWN };
        let is_shown = call.is_shown;
        // Only who has them can print them.
        let secrets = if call.network == Network::Host { self.network.secrets() } else { Vec::new() };
        let mut on_line = |_, text: &str| {
            if is_shown {
                events(Event::Line { source: "build".to_owned(), text: redacted(text, &secrets) });
            }
        };
        let spec = self.spec(call);
        let overrun = bounds::overrun(&self.folder, Group::open(&self.cgroup_parent, &spec.id));
        let ended = run::run_unless(spec, options, &mut on_line, overrun).await;
        let Ended { mut outcome, stopped } = ended.map_err(|source| Error::Run { what, source })?;
        if let Some(Overrun::Disk(left)) = stopped {
            return Err(Error::DiskFull { what, left });
        }
        // It may have been quicker than the watch.
        if let Some(left) = bounds::too_little(&self.folder).filter(|_| !outcome.succeeded()) {
            return Err(Error::DiskFull { what, left });
        }
        outcome.last_lines.iter_mut().for_each(|line| *line = redacted(line, &secrets));
        let lines = outcome.last_lines.clone();
        match outcome.met {
            None => Ok(outcome),
            Some(Limit::Time) => Err(timed_out(lines)),
            Some(Limit::Output) => Err(Error::TooMuchOutput { what, limit: OUTPUT_BYTES, lines }),
            Some(Limit::Memory) => {
                let limit = self.limits.memory_bytes.unwrap_or(MEMORY_BYTES);
                Err(Error::OutOfMemory { what, limit, lines })
            }
            Some(Limit::MachineMemory) => Err(Error::MachineOutOfMemory { what, lines }),
            Some(Limit::Processes) => {
                Err(Error::TooManyProcesses { what, limit: self.limits.pids.unwrap_or(MOST_PIDS), lines })
            }
        }
    }

    fn spec(&self, call: Call) -> Spec {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut environment = call.environment;
        environment.insert("TOOLS".to_owned(), TOOLS.to_owned());
        let mut mounts = call.mounts;
        if self.isolation == Isolation::Sandbox {
            let tools = [(&self.pythons, PYTHONS), (&self.nodes, NODES)];
            let there = tools.into_iter().filter(|(folder, _)| folder.is_dir());
            mounts.extend(there.map(|(folder, target)| Mount::read_only(folder, target)));
        }
        Spec {
            id: format!("{GROUP_PREFIX}{}-{number}", self.app),
            cgroup_parent: self.cgroup_parent.clone(),
            isolation: self.isolation,
            command: call.command,
            cwd: PathBuf::from(call.cwd),
            environment,
            user: User { uid: self.uid, name: "build".to_owned() },
            hostname: "build".to_owned(),
            home: self.work("home"),
            mounts,
            limits: self.limits.clone(),
            network: call.network,
        }
    }

    /// The app's folder and Tandem's scripts, both to be changed by the command.
    pub(crate) fn mounts(&self) -> Vec<Mount> {
        vec![Mount::writable(self.work("app"), APP), Mount::writable(self.work("tools"), TOOLS)]
    }

    /// Lays a tree out as `work/app`, in place of what is there, and makes `work/tools` beside it.
    pub(crate) fn lay_out(&self, store: &BlobStore, tree: &Digest) -> Result<(), Error> {
        let folder = self.work("app");
        if folder.exists() {
            files::remove_tree(&folder).map_err(io_error("remove", &folder))?;
        }
        self.owned_folder(&self.work("tools"))?;
        let options = export::Options { owner: self.owner(), interpreter: None };
        Ok(export::export(store, tree, &folder, options)?)
    }

    /// Puts a script of Tandem's where commands find it.
    pub(crate) fn put_tool(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        files::write_atomic_unsynced(&self.work("tools").join(name), content, 0o644)?;
        Ok(())
    }

    /// Reads what a command wrote to a file of its tools folder.
    pub(crate) fn read_report(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.work("tools").join(name);
        let mut bytes = Vec::new();
        // Neither a link nor a pipe in its place gets us anywhere else.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(&path)
            .and_then(|file| file.take(MAX_REPORT_BYTES).read_to_end(&mut bytes))
            .map_err(io_error("read", &path))?;
        Ok(bytes)
    }
}

/// `build-shop-7` is one of the app `shop`, and `build-shop-2-7` is not.
fn is_group_of(app: &AppName, name: &str) -> bool {
    let number = name.strip_prefix(GROUP_PREFIX).and_then(|name| name.strip_prefix(app.as_str()));
    let number = number.and_then(|number| number.strip_prefix('-'));
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn remove_if_there(folder: &Path) -> Result<(), Error> {
    match files::remove_tree(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", folder)(error)),
        _ => Ok(()),
    }
}

fn give_away(path: &Path, owner: u32) -> std::io::Result<()> {
    lchown(path, Some(owner), Some(owner))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give_away(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_an_app_are_told_from_those_of_apps_with_longer_names() {
        let app: AppName = "shop".parse().unwrap();
        let names =
            ["build-shop-7", "build-shop-2-7", "build-shopper-7", "build-shop", "shop-7", "build-shop-12"];
        let own: Vec<_> = names.into_iter().filter(|name| is_group_of(&app, name)).collect();
        assert_eq!(own, ["build-shop-7", "build-shop-12"]);
    }
}
