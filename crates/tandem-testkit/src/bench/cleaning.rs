//! Ends and removes what a run has left, whether it came to its end, was killed, or went with the power.
//!
//! Only what the run's record names and what lies in `.bench`, which is the benchmark's own, is ever touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::program::Program;
use crate::wait::{PATIENCE, within};
use anyhow::Context as _;

use super::record::Entries;

/// Time a control group has to lose its last process, which was killed just before.
const EMPTY: Duration = Duration::from_secs(5);

/// The benchmark's own folder.
#[derive(Debug, Clone)]
pub struct BenchFolder(PathBuf);

/// What was there.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Processes and traces of installations that had to be ended.
    pub(crate) running: Vec<String>,
    /// What is still there.
    pub(crate) stuck: Vec<String>,
}

impl BenchFolder {
    /// The folder, made where it is missing.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn new(path: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path.canonicalize().context("find the benchmark's folder")?))
    }

    /// Held by whoever runs or cleans.
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// What the run has started.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.0.join("run.json")
    }

    /// Where the sites lie: the root of a file system of its own, where that may be.
    #[must_use]
    pub fn ground(&self) -> PathBuf {
        self.0.join("ground")
    }

    /// The file behind that file system.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.0.join("disk")
    }

    /// Sources and temporary files, whose growth is nobody's.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.0.join("scratch")
    }

    /// Ends and removes everything, and tells what there was. The record goes only when nothing is left.
    pub(crate) fn clean(&self) -> anyhow::Result<Found> {
        let mut found = Found::default();
        if let Some(entries) = Entries::read(&self.record())? {
            end(&entries, &mut found);
        }
        self.unmount(&mut found);
        if found.stuck.is_empty() {
            for path in [self.ground(), self.scratch(), self.disk(), self.record()] {
                remove(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
        Ok(found)
    }

    /// Takes the file system away; its users may need a moment to end.
    fn unmount(&self, found: &mut Found) {
        let mut last = String::new();
        let gone = within(PATIENCE, || {
            if !is_mounted(&self.ground()) {
                return Some(());
            }
            last = Program::new("umount").arguments([self.ground()]).run().stderr;
            None
        });
        if gone.is_none() {
            let (ground, why) = (self.ground().display().to_string(), last.trim().to_owned());
            found.stuck.push(format!("mount {ground}: {why} (`fuser -vm {ground}` names its users)"));
        }
    }
}

fn end(entries: &Entries, found: &mut Found) {
    for process in entries.processes.iter().filter(|process| process.lives()) {
        found.running.push(process.to_string());
        let ended = process.end();
        if ended.is_err() || within(PATIENCE, || (!process.lives()).then_some(())).is_none() {
            found.stuck.push(process.to_string());
        }
    }
    for traces in &entries.installations {
        let running = traces.present();
        if !running.is_empty() {
            found.running.extend(running);
            traces.clean();
            found.stuck.extend(traces.leftovers());
        }
    }
    let group = entries.group.as_ref().filter(|group| group.is_dir());
    if let Some(group) = group.filter(|group| within(EMPTY, || fs::remove_dir(group).ok()).is_none()) {
        found.stuck.push(format!("control group {}", group.display()));
    }
}

/// Whether something is mounted there or below.
fn is_mounted(folder: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    points.into_iter().any(|point| point.starts_with(folder))
}

fn remove(path: &Path) -> std::io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::record::Record;

    fn bench() -> (tempfile::TempDir, BenchFolder) {
        let folder = tempfile::tempdir().unwrap();
        let bench = BenchFolder::new(folder.path().join("bench")).unwrap();
        (folder, bench)
    }

    #[test]
    fn what_a_killed_run_started_is_ended_and_removed() {
        let (_folder, bench) = bench();
        let record = Record::create(&bench.record()).unwrap();
        let gated = Record::gate().arguments(["sh", "-c", "sleep 600 & wait"]);
        let mut running = record.start("a site", gated).unwrap();
        fs::create_dir_all(bench.ground().join("site")).unwrap();
        let found = bench.clean().unwrap();
        assert_eq!(found.running, [format!("process {}: a site", running.id())]);
        assert_eq!(found.stuck, Vec::<String>::new());
        assert!(running.wait(PATIENCE).code().is_none(), "it was killed");
        assert!(!bench.ground().exists() && !bench.record().exists());
        assert!(bench.clean().unwrap().running.is_empty(), "a second time finds nothing");
    }

    #[test]
    fn a_stranger_who_got_the_id_of_an_ended_process_is_left_alone() {
        let (_folder, bench) = bench();
        let mut stranger = Program::new("sleep").arguments(["600"]).start();
        let record = Record::create(&bench.record()).unwrap();
        record.add_process("the stranger", stranger.id()).unwrap();
        let mut entries = Entries::read(&bench.record()).unwrap().unwrap();
        entries.processes[0].start_time -= 1;
        tandem_kit::files::write_json(&bench.record(), &entries, 0o600).unwrap();
        assert!(bench.clean().unwrap().running.is_empty());
        assert!(stranger.ended().is_none());
    }

    #[test]
    fn a_program_that_leads_no_group_is_ended_alone() {
        let (_folder, bench) = bench();
        let record = Record::create(&bench.record()).unwrap();
        // The child shares the group of its parent, which must live on.
        let script = "sleep 600 & echo $! > \"$1\"; wait; read -r last";
        let file = bench.ground().with_file_name("child");
        let parent = Program::new("sh").arguments(["-c", script, "parent"]).arguments([&file]).hold_input();
        let mut parent = parent.start();
        let child = within(PATIENCE, || fs::read_to_string(&file).ok()?.trim().parse().ok()).unwrap();
        record.add_process("the child", nix::unistd::Pid::from_raw(child)).unwrap();
        assert_eq!(bench.clean().unwrap().running, [format!("process {child}: the child")]);
        assert!(parent.ended().is_none());
    }
}
