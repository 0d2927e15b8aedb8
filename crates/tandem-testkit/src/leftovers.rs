//! What an installation left behind after `tandem down`: nothing, or the test fails.
//!
//! Everything is found by what only this installation can bear: the path of its data folder, its runtime folder
//! and its control group. So nothing of anybody else's is ever named or ended.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tandem_kit::paths::DataDir;

use crate::program::Program;
use crate::wait::{PATIENCE, eventually, within};

/// Where one installation could have left something. Whoever may be killed writes it down, for who cleans up then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Traces {
    data: PathBuf,
    runtime: PathBuf,
    cgroup: String,
}

impl Traces {
    /// The traces of a data folder.
    #[must_use]
    pub fn of(data: &DataDir) -> Self {
        let (data, cgroup) = (data.clone(), data.cgroup_name());
        Self { data: data.root().to_owned(), runtime: data.runtime().to_owned(), cgroup }
    }

    /// Everything that is still there, one thing a line; processes that are about to end are waited for.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let gone = |found: &mut Vec<String>| {
            *found = self.present();
            found.is_empty().then_some(())
        };
        // Ended processes, their groups and mounts go one after the other, not at once.
        let _ = within(std::time::Duration::from_secs(5), || gone(&mut found));
        found
    }

    /// Ends and removes everything that is still there, after a failed scenario.
    pub fn clean(&self) {
        let _ = within(PATIENCE, || {
            let processes = self.processes();
            for process in &processes {
                let _ = kill(process.id, Signal::SIGKILL);
            }
            processes.is_empty().then_some(())
        });
        for group in self.groups() {
            remove_group(&group);
        }
        for table in self.tables() {
            let _ = nft(&["delete", "table", "inet", &table]);
        }
        let _ = fs::remove_dir_all(&self.runtime);
    }

    /// Kills everything at once, Tandem's own and the apps, as when the power fails, and waits until all is dead; but not what
    /// waits to clean up behind the test. Returns who was killed.
    ///
    /// # Panics
    ///
    /// Where somebody does not die.
    #[must_use]
    pub fn kill_all(&self) -> Vec<Process> {
        let mut killed: Vec<Process> = Vec::new();
        eventually("everything is dead", || {
            let lives = self.processes().into_iter().filter(|process| !process.words.contains(" heir "));
            let lives: Vec<_> = lives.collect();
            for process in &lives {
                let _ = kill(process.id, Signal::SIGKILL);
            }
            let dead = lives.is_empty();
            killed.extend(lives);
            dead.then_some(())
        });
        killed
    }

    /// Processes of this installation, Tandem's own and the apps'.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let own = Pid::this();
        ids.map(Pid::from_raw).filter(|id| *id != own).filter_map(|id| self.process(id)).collect()
    }

    /// Everything that is there at this moment, one thing a line.
    #[must_use]
    pub fn present(&self) -> Vec<String> {
        let processes = self.processes().into_iter().map(|process| process.to_string());
        let groups = self.groups().into_iter().map(|group| format!("control group {}", group.display()));
        let mounts = self.mounts().into_iter().map(|line| format!("mount {line}"));
        let runtime = self.runtime.to_string_lossy().into_owned();
        let sockets = lines_with("/proc/net/unix", &runtime).into_iter().map(|line| format!("socket {line}"));
        let tables = self.tables().into_iter().map(|table| format!("packet rules {table}"));
        processes.chain(groups).chain(mounts).chain(sockets).chain(tables).collect()
    }

    fn process(&self, id: Pid) -> Option<Process> {
        let folder = PathBuf::from(format!("/proc/{id}"));
        let read = |name: &str| fs::read(folder.join(name)).ok();
        let words = String::from_utf8_lossy(&read("cmdline")?).replace('\0', " ").trim().to_owned();
        let groups = String::from_utf8_lossy(&read("cgroup")?).into_owned();
        // A process without a command line has ended and waits for its parent to notice.
        let ours = self.is_named_in(&words) || groups.lines().any(|line| self.is_group(line));
        let unit = groups.lines().find_map(|line| self.unit_of(line));
        let started = started(&String::from_utf8_lossy(&read("stat")?));
        (ours && !words.is_empty()).then_some(Process { id, words, unit, started })
    }

    /// The name below this installation's group in a line of `/proc/PID/cgroup`.
    fn unit_of(&self, line: &str) -> Option<String> {
        let (_, below) = line.split_once(&format!("/{}/", self.cgroup))?;
        below.split('/').next().map(str::to_owned)
    }

    /// Names of the groups right below this installation's, in any hierarchy.
    #[must_use]
    pub fn units(&self) -> BTreeSet<String> {
        let entries =
            self.groups().into_iter().filter_map(|group| fs::read_dir(group).ok()).flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Mounts of this installation that the whole machine sees.
    #[must_use]
    pub fn mounts(&self) -> Vec<String> {
        lines_with("/proc/self/mountinfo", &self.data.to_string_lossy())
    }

    fn is_named_in(&self, words: &str) -> bool {
        [&self.data, &self.runtime].iter().any(|path| words.contains(&*path.to_string_lossy()))
    }

    fn is_group(&self, line: &str) -> bool {
        let path = line.rsplit(':').next().unwrap_or_default();
        format!("{path}/").contains(&format!("/{}/", self.cgroup))
    }

    /// Tables of packet rules: for apps, and for builds.
    fn tables(&self) -> Vec<String> {
        let name = self.cgroup.replace('/', "_");
        let ours = [name.clone(), format!("{name}_build")];
        let listed = nft(&["list", "tables", "inet"]);
        let tables = listed.lines().filter_map(|line| line.strip_prefix("table inet "));
        tables.filter(|table| ours.iter().any(|ours| ours == table)).map(str::to_owned).collect()
    }

    /// The control group of this installation in every hierarchy where it is.
    fn groups(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let roots = fields.filter(|fields| fields.get(2).is_some_and(|kind| kind.starts_with("cgroup")));
        roots.map(|fields| Path::new(fields[1]).join(&self.cgroup)).filter(|group| group.is_dir()).collect()
    }
}

/// A process of an installation.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its id.
    pub id: Pid,
    /// Its command line.
    pub words: String,
    /// The control group right below the installation's that it is in: an instance, a job, a build, or that of all shims.
    pub unit: Option<String>,
    /// When it started, in clock ticks since boot: with its id, no other process ever has the same.
    pub started: u64,
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}: {}", self.id, self.words)
    }
}

/// The 22nd field of `/proc/PID/stat`; the second one, in parentheses, may hold blanks.
fn started(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().nth(19).and_then(|field| field.parse().ok()).unwrap_or_default()
}

/// What nft says; nothing where it is missing or may not.
fn nft(arguments: &[&str]) -> String {
    let program = Path::new("/usr/sbin/nft");
    if !program.exists() {
        return String::new();
    }
    Program::new(program).arguments(arguments).run().stdout
}

fn lines_with(path: &str, text: &str) -> Vec<String> {
    let all = fs::read_to_string(path).unwrap_or_default();
    all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

/// Children first: a group with children cannot be removed.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_bears_the_data_folder_is_found_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let traces = Traces::of(&data);
        let file = folder.path().join("file");
        drop(fs::File::create(&file).unwrap());
        let mut running = Program::new("tail").arguments(["-f"]).arguments([&file]).start();
        let found = within(PATIENCE, || traces.processes().first().cloned()).expect("the program is found");
        assert_eq!(found.id, running.id());
        traces.clean();
        assert!(running.wait(PATIENCE).code().is_none(), "it was killed");
        assert_eq!(traces.leftovers(), Vec::<String>::new());
    }

    #[test]
    fn packet_rules_that_are_left_are_found_and_removed() {
        if !nix::unistd::Uid::effective().is_root() || !Path::new("/usr/sbin/nft").exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let traces = Traces::of(&data);
        let table = format!("{}_build", data.cgroup_name().replace('/', "_"));
        nft(&["add", "table", "inet", &table]);
        assert_eq!(traces.present(), [format!("packet rules {table}")]);
        traces.clean();
        assert_eq!(traces.leftovers(), Vec::<String>::new());
    }

    #[test]
    fn a_neighbor_whose_group_begins_alike_is_left_alone() {
        let traces = Traces { data: "/d".into(), runtime: "/r".into(), cgroup: "tandem/0123abcd".to_owned() };
        assert!(traces.is_group("0::/tandem/0123abcd/i7"));
        assert!(traces.is_group("4:memory:/outer/tandem/0123abcd"));
        assert!(!traces.is_group("0::/tandem/0123abcde/i7"));
        assert!(!traces.is_group("0::/user.slice"));
    }
}
