//! What a run has started, written down before it can be lost: whoever finds this file knows what to end.
//!
//! Processes are known by id, start time and boot, which no other process ever has together; installations by their
//! data folder. The file is replaced whole at each addition, and goes when everything in it is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::leftovers::Traces;
use crate::program::{Outcome, Program, Running};
use anyhow::Context as _;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};
use serde::{Deserialize, Serialize};
use tandem_kit::files::{read_json, write_json};

/// The record of the run that is under way.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    entries: Mutex<Entries>,
}

/// What a run has started so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Entries {
    pub(crate) processes: Vec<Started>,
    pub(crate) installations: Vec<Traces>,
    pub(crate) group: Option<PathBuf>,
}

/// A process that can be told from every other one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) what: String,
    pub(crate) id: i32,
    /// In clock ticks since boot.
    pub(crate) start_time: u64,
    pub(crate) boot: String,
}

impl Record {
    /// A new record.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let record = Self { path: path.to_owned(), entries: Mutex::default() };
        record.change(|_| ())?;
        Ok(record)
    }

    /// Where a process is needed that [`Self::start`] can start: it waits for a line before it becomes the program
    /// that its arguments name. So nothing runs on unrecorded, however this process ends.
    #[must_use]
    pub fn gate() -> Program {
        Program::new("sh").arguments(["-c", "read -r go && exec \"$@\" </dev/null", "gate"]).hold_input()
    }

    /// Starts a program behind [`Self::gate`] beside this one.
    ///
    /// # Errors
    ///
    /// It ended before it was written down.
    pub fn start(&self, what: &str, gated: Program) -> anyhow::Result<Running> {
        let mut running = gated.start();
        self.add_process(what, running.id())?;
        running.let_go().with_context(|| format!("start {what}"))?;
        Ok(running)
    }

    /// Runs a program to its end. One that is not written down in time ends by itself.
    ///
    /// # Errors
    ///
    /// It cannot be written down.
    pub fn run(&self, what: &str, program: Program) -> anyhow::Result<Outcome> {
        let mut noted = Ok(());
        let outcome = program.run_noted(|id| noted = self.add_process(what, id));
        // A program that ended at once cannot be found any more, and need not be.
        noted.or_else(|error| if outcome.code.is_some() { Ok(()) } else { Err(error) })?;
        Ok(outcome)
    }

    /// Adds a process that runs, such as this one.
    ///
    /// # Errors
    ///
    /// It does not run, or the file cannot be written.
    pub fn add_process(&self, what: &str, id: Pid) -> anyhow::Result<()> {
        let started = Started::of(what, id).with_context(|| format!("find {what} among the processes"))?;
        self.change(|entries| {
            entries.processes.retain(Started::lives);
            entries.processes.push(started);
        })
    }

    /// Adds an installation, before it starts anything.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn add_installation(&self, traces: Traces) -> anyhow::Result<()> {
        self.change(|entries| entries.installations.push(traces))
    }

    /// Adds the control group.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn add_group(&self, group: &Path) -> anyhow::Result<()> {
        self.change(|entries| entries.group = Some(group.to_owned()))
    }

    fn change(&self, change: impl FnOnce(&mut Entries)) -> anyhow::Result<()> {
        let mut entries: MutexGuard<'_, _> = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut entries);
        write_json(&self.path, &*entries, 0o600).context("write down what runs")
    }
}

impl Entries {
    /// What the last run wrote; none where it took the record away itself, having ended everything.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        read_json(path).with_context(|| {
            let path = path.display();
            format!("read what the last run has started; end that by hand, then remove {path}")
        })
    }
}

impl Started {
    fn of(what: &str, id: Pid) -> Option<Self> {
        let (_, start_time) = stat(id.as_raw())?;
        Some(Self { what: what.to_owned(), id: id.as_raw(), start_time, boot: boot()? })
    }

    /// Whether that very process lives.
    pub(crate) fn lives(&self) -> bool {
        let same = |(state, start_time)| start_time == self.start_time && !matches!(state, b'Z' | b'X');
        stat(self.id).is_some_and(same) && boot().as_ref() == Some(&self.boot)
    }

    /// Kills it, where it lives, with the process group that it leads.
    pub(crate) fn end(&self) -> Result<(), Errno> {
        let id = Pid::from_raw(self.id);
        let ended = match getpgid(Some(id)) {
            _ if !self.lives() => Ok(()),
            Ok(group) if group == id => killpg(id, Signal::SIGKILL),
            _ => kill(id, Signal::SIGKILL),
        };
        // It may have ended since.
        ended.or_else(|error| if error == Errno::ESRCH { Ok(()) } else { Err(error) })
    }
}

impl std::fmt::Display for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}: {}", self.id, self.what)
    }
}

/// State and start time.
fn stat(id: i32) -> Option<(u8, u64)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name, which is in brackets and may hold anything: state is field 3, start time 22.
    let fields: Vec<_> = text.rsplit_once(") ")?.1.split(' ').collect();
    Some((fields.first()?.bytes().next()?, fields.get(19)?.parse().ok()?))
}

fn boot() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_written_by_an_earlier_program_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        assert!(Entries::read(&path).unwrap().is_none());
        let text = br#"{"processes":[{"what":"gunicorn","id":7,"start_time":9,"boot":"b"}]}"#;
        tandem_kit::files::write_atomic(&path, text, 0o600).unwrap();
        let entries = Entries::read(&path).unwrap().unwrap();
        assert_eq!(entries.processes[0].to_string(), "process 7: gunicorn");
        assert!(!entries.processes[0].lives(), "it belongs to another boot");
        tandem_kit::files::write_atomic(&path, b"{", 0o600).unwrap();
        assert!(Entries::read(&path).is_err());
    }

    #[test]
    fn a_process_is_written_down_before_its_program_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let record = Record::create(&path).unwrap();
        // The program itself reads the record, so it sees what was there when it began.
        let copy = folder.path().join("copy");
        let gated = Record::gate().arguments([Path::new("cp"), &path, &copy]);
        let mut running = record.start("a reader", gated).unwrap();
        assert!(running.wait(crate::wait::PATIENCE).success());
        let seen = Entries::read(&copy).unwrap().expect("the program has copied it");
        assert_eq!(seen.processes[0].id, running.id().as_raw());
    }
}
