//! A control group: limits, members, weight, end.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::hierarchy::{Controller, Hierarchies};
use super::limits::{self, Setting};
use crate::spec::{Limits, Weight};

/// Name of the group that holds the shims themselves; no instance or job id looks like it.
const SHIMS: &str = "shims";
/// Killed processes are gone in milliseconds; only ones stuck in the kernel take longer.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// Tries to remove the group of shims that have just ended.
const LAST_BREATHS: u32 = 20;
/// Between two looks at a group that is being emptied.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Why something could not be done with a control group.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel, or the rights of this process, did not allow it.
    #[error("{doing} the control group {}", path.display())]
    Refused {
        /// The step: "make", "remove", "set memory.max of", …
        doing: String,
        /// The group's folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Its members were killed and are still there: stuck in the kernel, usually on a dead disk.
    #[error("empty the control group {name}: processes {processes:?} do not die")]
    Stuck {
        /// `parent/id`.
        name: String,
        /// Host process ids.
        processes: Vec<i32>,
    },
}

impl Error {
    fn refused(doing: impl Into<String>, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let (doing, path) = (doing.into(), path.to_owned());
        |source| Self::Refused { doing, path, source }
    }
}

/// The control group `parent/id`, in the v2 hierarchy for its life cycle and wherever the controllers are for limits.
/// A handle only: dropping it changes nothing.
#[derive(Debug, Clone)]
pub struct Group {
    name: String,
    hierarchies: Hierarchies,
}

/// Ids of all groups below the parent (`DataDir::cgroup_name()`), those of dead shims included.
///
/// # Errors
/// Fails where a hierarchy is there but cannot be read.
pub fn list(parent: &str) -> Result<Vec<String>, Error> {
    let mut ids = BTreeSet::new();
    for root in Hierarchies::detect().roots() {
        ids.extend(folders(&root.join(parent))?);
    }
    ids.remove(SHIMS);
    Ok(ids.into_iter().collect())
}

/// Removes the empty parent of all groups, in every hierarchy; what still has groups or shims stays. Call it on a thread
/// that may block, for some milliseconds.
pub fn remove_parent(parent: &str) {
    for root in Hierarchies::detect().roots() {
        let own = root.join(parent);
        // A process that is gone for everybody else can hold its group for a moment longer.
        for _ in 0..LAST_BREATHS {
            match std::fs::remove_dir(own.join(SHIMS)) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(LOOK_AGAIN),
                _ => break,
            }
        }
        let _ = std::fs::remove_dir(&own);
        if let Some(above) = own.parent().filter(|above| *above != root) {
            let _ = std::fs::remove_dir(above);
        }
    }
}

/// Moves this process into the group of shims, out of the one it was started in: a service manager that ends Tandem's
/// own group must not end the instances with it. Without rights or version 2 it stays where it is.
pub(crate) fn join_shims(parent: &str) {
    if let Some(root) = Hierarchies::detect().unified {
        let group = root.join(parent).join(SHIMS);
        let _ = std::fs::create_dir_all(&group).and_then(|()| put(&group.join("cgroup.procs"), "0"));
    }
}

impl Group {
    /// A handle to a group, whether it exists or not.
    #[must_use]
    pub fn open(parent: &str, id: &str) -> Self {
        Self { name: format!("{parent}/{id}"), hierarchies: Hierarchies::detect() }
    }

    /// Makes the group and sets its limits. What a predecessor of the same name left in it is killed.
    ///
    /// # Errors
    /// Fails where a hierarchy can be written but refuses the group or a limit. Where there is none to write, it succeeds
    /// and the group has no effect.
    pub fn create(parent: &str, id: &str, limits: &Limits) -> Result<Self, Error> {
        let mut group = Self::open(parent, id);
        group.clear_blocking()?;
        group.make_folders()?;
        for setting in limits::settings(limits, |controller| group.is_unified(controller)) {
            group.apply(&setting)?;
        }
        Ok(group)
    }

    /// Whether there is a group at all: without one, processes must be found in another way.
    pub(crate) fn exists(&self) -> bool {
        self.folders().iter().any(|folder| folder.is_dir())
    }

    /// Host process ids of its members.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let mut processes = BTreeSet::new();
        for folder in self.folders() {
            let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            processes.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        }
        processes.into_iter().collect()
    }

    /// Whether it has a living member.
    #[must_use]
    pub fn populated(&self) -> bool {
        let living = |pid: &i32| crate::process::Stat::of(*pid).is_some_and(|stat| stat.lives());
        match self.events() {
            Some(events) if events.contains("populated 0") => false,
            _ => self.processes().iter().any(living),
        }
    }

    /// Sends SIGKILL to every member; returns at once.
    ///
    /// # Errors
    /// Fails where the kernel refuses.
    pub fn kill(&self) -> Result<(), Error> {
        if let Some(folder) = self.unified_folder().filter(|folder| folder.join("cgroup.kill").exists()) {
            put(&folder.join("cgroup.kill"), "1").map_err(Error::refused("kill", &folder))?;
        }
        // Before Linux 5.14, and for version 1: one by one. A fork that slips through is met at the next call.
        for process in self.processes() {
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        Ok(())
    }

    /// Sets its share of CPU.
    ///
    /// # Errors
    /// Fails where the kernel refuses; without a CPU controller it does nothing.
    pub fn set_weight(&self, weight: Weight) -> Result<(), Error> {
        self.apply(&limits::weight(weight, self.is_unified(Controller::Cpu)))
    }

    /// Kills every member, waits until they are gone (10 s at most) and removes the group. For groups without a shim.
    ///
    /// # Errors
    /// Fails where members do not die or the group cannot be removed.
    pub async fn sweep(&self) -> Result<(), Error> {
        let group = self.clone();
        tandem_kit::tasks::blocking("sweep a control group", move || group.clear_blocking()).await
    }

    /// Whether the kernel killed a member for want of memory.
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        let root = self.hierarchies.root_of(Controller::Memory);
        root.is_some_and(|root| {
            limits::out_of_memory_kills(&root.join(&self.name)).is_ok_and(|kills| kills > 0)
        })
    }

    /// Whether the group met its own limit of memory; where the kernel does not tell, it is said to have.
    #[must_use]
    pub fn met_memory_limit(&self) -> bool {
        let root = self.hierarchies.root_of(Controller::Memory);
        root.is_none_or(|root| limits::memory_limit_was_met(&root.join(&self.name)).unwrap_or(true))
    }

    /// Whether the kernel refused a member another process or thread.
    #[must_use]
    pub fn was_refused_processes(&self) -> bool {
        let root = self.hierarchies.root_of(Controller::Pids);
        root.is_some_and(|root| {
            limits::refused_forks(&root.join(&self.name)).is_ok_and(|refused| refused > 0)
        })
    }

    /// The files into which a process writes `0` to enter the group.
    pub(crate) fn doors(&self) -> Result<Vec<File>, Error> {
        let doors =
            self.folders().into_iter().map(|folder| folder.join("cgroup.procs")).filter(|door| door.exists());
        let open = |door: PathBuf| {
            OpenOptions::new().write(true).open(&door).map_err(Error::refused("enter", &door))
        };
        doors.map(open).collect()
    }

    /// As [`Group::sweep`], on a thread that may block. A group that does not exist is clear.
    ///
    /// # Errors
    /// As [`Group::sweep`].
    pub fn clear_blocking(&self) -> Result<(), Error> {
        let tries = GONE_WITHIN.as_millis() / LOOK_AGAIN.as_millis();
        for _ in 0..tries {
            if !self.exists() {
                return Ok(());
            }
            if self.populated() {
                self.kill()?;
            } else if self.remove().is_ok() {
                return Ok(());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let processes = self.processes();
        if processes.is_empty() {
            self.remove()
        } else {
            Err(Error::Stuck { name: self.name.clone(), processes })
        }
    }

    /// Removes the empty group everywhere.
    fn remove(&self) -> Result<(), Error> {
        for folder in self.folders() {
            remove_tree(&folder)?;
        }
        Ok(())
    }

    /// Makes the group's folder in each hierarchy; forgets those that this process may not write.
    fn make_folders(&mut self) -> Result<(), Error> {
        let name = &self.name;
        let hierarchies = &mut self.hierarchies;
        if let Some(root) = hierarchies.unified.clone() {
            if !make_folder(&root, name)? {
                hierarchies.unified = None;
                hierarchies.unified_controllers.clear();
            }
            hierarchies.unified_controllers.retain(|controller| delegate(&root, name, *controller));
        }
        let mut usable = Vec::new();
        for (controller, root) in std::mem::take(&mut hierarchies.legacy) {
            if make_folder(&root, name)? {
                usable.push((controller, root));
            }
        }
        hierarchies.legacy = usable;
        Ok(())
    }

    fn apply(&self, setting: &Setting) -> Result<(), Error> {
        let Some(root) = self.hierarchies.root_of(setting.controller) else { return Ok(()) };
        let file = root.join(&self.name).join(setting.file);
        match put(&file, &setting.value) {
            Err(_) if setting.optional => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.exists() => Ok(()),
            result => {
                result.map_err(Error::refused(format!("set {} of", setting.file), &root.join(&self.name)))
            }
        }
    }

    fn is_unified(&self, controller: Controller) -> bool {
        self.hierarchies.unified_controllers.contains(&controller)
    }

    fn unified_folder(&self) -> Option<PathBuf> {
        self.hierarchies.unified.as_ref().map(|root| root.join(&self.name))
    }

    fn folders(&self) -> Vec<PathBuf> {
        self.hierarchies.roots().into_iter().map(|root| root.join(&self.name)).collect()
    }

    fn events(&self) -> Option<String> {
        std::fs::read_to_string(self.unified_folder()?.join("cgroup.events")).ok()
    }
}

/// Makes a group with its parents. False: this process may not, so the hierarchy is of no use to it.
fn make_folder(root: &Path, name: &str) -> Result<bool, Error> {
    let folder = root.join(name);
    match std::fs::create_dir_all(&folder) {
        Ok(()) => Ok(true),
        Err(error) if cannot_write(&error) => Ok(false),
        // Another one of our processes removed an empty parent just now; the next try makes it again.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(&folder).map(|()| true).map_err(Error::refused("make", &folder))
        }
        Err(error) => Err(error).map_err(Error::refused("make", &folder)),
    }
}

fn cannot_write(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Hands a controller of version 2 down from the root to the group. False where the kernel refuses: inside a container
/// whose root group has members of its own.
fn delegate(root: &Path, name: &str, controller: Controller) -> bool {
    let mut folder = root.to_owned();
    for step in Path::new(name).components() {
        if put(&folder.join("cgroup.subtree_control"), &format!("+{}", controller.name())).is_err() {
            return false;
        }
        folder.push(step);
    }
    true
}

fn put(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

fn folders(parent: &Path) -> Result<Vec<String>, Error> {
    let entries = match std::fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::refused("list", parent))?,
    };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(folders.filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn remove_tree(folder: &Path) -> Result<(), Error> {
    for child in folders(folder)? {
        remove_tree(&folder.join(child))?;
    }
    match std::fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(Error::refused("remove", folder)),
    }
}
