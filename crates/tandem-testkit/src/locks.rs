//! Who holds which lock of an installation, as the kernel tells it: what stands for a lease here is held by who is meant to
//! have it, and by nobody who is gone.
//!
//! The kernel's list names whoever took a lock first, which is a process that is gone where the lock was handed on. So holders
//! are found by their open files; the list only says whether one is held by somebody who was not found.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tandem_types::Fence;
use tandem_types::assignment::Assignment;
use tandem_types::instance::HostObservation;

use crate::documents::Documents;
use crate::installation::Installation;
use crate::leftovers::Process;
use crate::program::Program;

/// Prints the store's leases; read beside the server that writes them, and changing nothing.
const LEASES: &str = "import json, sqlite3, sys
store = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True, timeout=10)
print(json.dumps(store.execute('SELECT name, holder, fence FROM leases').fetchall()))";
/// Name of the lease on rollouts.
const ROLLOUTS: &str = "rollouts";
/// Name of the one on certificates.
const HTTPS: &str = "https";

/// A lock that a process holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    /// Below the data folder.
    file: PathBuf,
    process: i32,
}

/// Locks and leases that are held by who should not have them, or not by who should.
#[must_use]
pub fn broken(installation: &Installation, documents: &Documents) -> Vec<String> {
    let processes = installation.traces().processes();
    let root = installation.data().root();
    let held = held(root);
    let mut broken = Vec::new();
    for Held { file, process } in &held {
        let holder = processes.iter().find(|found| found.id.as_raw() == *process);
        if !holder.is_some_and(|holder| may_hold(&holder.words, file)) {
            let who = holder.map_or_else(|| format!("process {process}"), Process::to_string);
            broken.push(format!("{} is locked by {who}", file.display()));
        }
    }
    for process in &processes {
        for file in must_hold(&process.words) {
            let own = Held { file, process: process.id.as_raw() };
            if !held.contains(&own) {
                broken.push(format!("{process} has not locked {}", own.file.display()));
            }
        }
    }
    broken.extend(of_nobody(root, &held));
    broken.extend(leases(installation, documents, &processes));
    broken
}

/// Of each role, what it has locked for as long as it lives.
fn must_hold(words: &str) -> Vec<PathBuf> {
    let shim = words.split_once(" shim ").and_then(|(_, folder)| folder.rsplit_once("/runner/"));
    if let Some((_, folder)) = shim {
        return vec![Path::new("runner").join(folder).join("shim.lock")];
    }
    let locks: &[&str] = match role(words) {
        Some("up") => &["lock"],
        Some("server") => &["lock", "server.lock"],
        Some("runner") => &["lock", "runner.lock"],
        Some("balancer") => &["balancer/lock"],
        _ => &[],
    };
    locks.iter().map(PathBuf::from).collect()
}

/// Besides that, a server has its database open.
fn may_hold(words: &str, file: &Path) -> bool {
    let is_database = file.to_string_lossy().starts_with("tandem.sqlite3");
    let serves = matches!(role(words), Some("up" | "server"));
    (is_database && serves) || must_hold(words).iter().any(|own| own == file)
}

/// The role that a process of Tandem has by its command line.
fn role(words: &str) -> Option<&'static str> {
    let roles = ["up", "server", "runner", "balancer"];
    roles.into_iter().find(|role| words.split(' ').nth(1) == Some(role))
}

/// Every lock on a file below the folder, with each process that holds it. What apps lock in their volumes is theirs.
fn held(root: &Path) -> BTreeSet<Held> {
    let mut found = BTreeSet::new();
    for process in entries(Path::new("/proc")) {
        let Ok(process) = process.parse() else { continue };
        let folder = PathBuf::from(format!("/proc/{process}"));
        for descriptor in entries(&folder.join("fd")) {
            let Ok(target) = fs::read_link(folder.join("fd").join(&descriptor)) else { continue };
            let Ok(file) = target.strip_prefix(root) else { continue };
            let told = fs::read_to_string(folder.join("fdinfo").join(&descriptor)).unwrap_or_default();
            if told.lines().any(|line| line.starts_with("lock:")) && !file.starts_with("volumes") {
                found.insert(Held { file: file.to_owned(), process });
            }
        }
    }
    found
}

/// Files that are locked although nobody was found who has them locked.
fn of_nobody(root: &Path, held: &BTreeSet<Held>) -> Vec<String> {
    let list = fs::read_to_string("/proc/locks").unwrap_or_default();
    let locked: BTreeSet<_> = list.lines().filter_map(|line| line.split_whitespace().nth(5)).collect();
    let mut files = Vec::new();
    lock_files(root, root, &mut files);
    let is_locked = |file: &&PathBuf| {
        let Ok(metadata) = fs::metadata(root.join(file)) else { return false };
        let (device, inode) = (metadata.dev(), metadata.ino());
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        locked.contains(format!("{major:02x}:{minor:02x}:{inode}").as_str())
    };
    let found = files.iter().filter(is_locked).filter(|file| !held.iter().any(|held| held.file == **file));
    found.map(|file| format!("{} is locked by nobody who could be found", file.display())).collect()
}

/// Files that are there to be locked.
fn lock_files(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
    for name in entries(folder) {
        let path = folder.join(&name);
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        let skipped = ["volumes", "trees", "home", "uv", "blobs", "cache"].contains(&name.as_str());
        if is_folder && !skipped {
            lock_files(root, &path, found);
        } else if name == "lock" || name.ends_with(".lock") {
            found.push(path.strip_prefix(root).expect("it lies below").to_owned());
        }
    }
}

/// The store's leases belong to the server that lives, and no fence is greater than the one it gave.
fn leases(installation: &Installation, documents: &Documents, processes: &[Process]) -> Vec<String> {
    let database = installation.data().root().join("tandem.sqlite3");
    let asked = Program::new("python3").arguments(["-c", LEASES]).arguments([database]).run();
    let leases: Vec<(String, String, u64)> =
        serde_json::from_str(&asked.expect_success().stdout).expect("it prints a list");
    let mut broken = Vec::new();
    for (name, holder, fence) in &leases {
        let lives = |process: &&Process| matches!(role(&process.words), Some("up" | "server"));
        let server = processes.iter().find(lives).map(|server| format!("control {}", server.id));
        if ![ROLLOUTS, HTTPS].contains(&name.as_str()) || Some(holder) != server.as_ref() {
            broken.push(format!("the lease {name} is {holder}'s, the server is {server:?}"));
        }
        if name != ROLLOUTS {
            continue;
        }
        let assigned = documents.all::<Assignment>().into_iter().map(|assignment| assignment.fence);
        let assigned = assigned.max().unwrap_or(Fence(0));
        if assigned.0 > *fence {
            broken.push(format!("an assignment has fence {}, the lease {fence}", assigned.0));
        }
        for host in documents.all::<HostObservation>() {
            if host.fence < assigned || host.fence.0 > *fence {
                let obeyed = host.fence.0;
                broken.push(format!(
                    "{} obeyed fence {obeyed}, {} of {fence} was given",
                    host.host, assigned.0
                ));
            }
        }
    }
    if !leases.iter().any(|(name, ..)| name == ROLLOUTS) {
        broken.push("nobody has the lease on rollouts".to_owned());
    }
    broken
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_with_who_holds_it_and_not_after() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let guard = tandem_kit::files::lock_exclusive(&root.join("server.lock")).unwrap().unwrap();
        let own = Held { file: "server.lock".into(), process: nix::unistd::getpid().as_raw() };
        let seen = held(&root);
        assert!(seen.contains(&own), "{seen:?}");
        assert_eq!(of_nobody(&root, &seen), [""; 0]);
        assert_eq!(
            of_nobody(&root, &BTreeSet::new()),
            ["server.lock is locked by nobody who could be found"]
        );
        drop(guard);
        assert!(!held(&root).contains(&own));
        assert_eq!(of_nobody(&root, &BTreeSet::new()), [""; 0]);
    }

    #[test]
    fn each_role_has_locks_of_its_own() {
        let may = |words: &str, file: &str| may_hold(words, Path::new(file));
        assert!(may("/b/tandem up --http x", "lock") && may("/b/tandem up", "tandem.sqlite3-shm"));
        assert!(
            !may("/b/tandem runner --data x", "server.lock") && !may("/b/tandem runner", "tandem.sqlite3")
        );
        let shim = "/b/tandem shim /d/runner/instances/i7";
        assert!(may(shim, "runner/instances/i7/shim.lock") && !may(shim, "runner/instances/i8/shim.lock"));
        assert!(!may("sh -c cat heir /d", "lock"));
    }
}
