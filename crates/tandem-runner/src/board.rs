//! What is, as everybody in the runner sees it: builds that are checked out, instances and jobs.
//!
//! Actors write their own line, the reporter sends the whole, actors that wait for a build and log readers that wait for
//! an instance watch it. It is a watch channel: readers see the latest state, never a queue of old ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_types::instance::{
    HostObservation, InstanceObservation, JobObservation, StageFailure, StagedBuild,
};
use tandem_types::{AppName, BuildNumber, Fence, InstanceId, JobId};
use tokio::sync::watch;

use crate::host::Host;

/// A build of an app.
pub(crate) type BuildKey = (AppName, BuildNumber);

/// Everything there is to report.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sheet {
    /// Builds whose trees are all here.
    pub(crate) staged: BTreeSet<BuildKey>,
    /// Why a build could not be checked out the last time.
    pub(crate) failures: BTreeMap<BuildKey, String>,
    /// Instances that have an actor.
    pub(crate) instances: BTreeMap<InstanceId, InstanceObservation>,
    /// Jobs that have an actor.
    pub(crate) jobs: BTreeMap<JobId, JobObservation>,
    /// Highest fence obeyed.
    pub(crate) fence: Fence,
}

impl Sheet {
    /// The report that a server gets.
    pub(crate) fn observation(&self, host: &Host) -> HostObservation {
        let staged =
            self.staged.iter().map(|(app, build)| StagedBuild { app: app.clone(), build: *build }).collect();
        let failure = |((app, build), reason): (&BuildKey, &String)| StageFailure {
            app: app.clone(),
            build: *build,
            reason: reason.clone(),
        };
        HostObservation {
            host: host.name.clone(),
            boot_id: host.boot_id.clone(),
            started: host.started,
            api: host.api.clone(),
            isolation: host.isolation,
            staged,
            stage_failures: self.failures.iter().map(failure).collect(),
            instances: self.instances.values().cloned().collect(),
            jobs: self.jobs.values().cloned().collect(),
            fence: self.fence,
        }
    }
}

/// A handle on the sheet. Writing what is there already wakes nobody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<watch::Sender<Sheet>>);

impl Board {
    /// Follows the sheet; the first state counts as unseen.
    pub(crate) fn watch(&self) -> watch::Receiver<Sheet> {
        let mut receiver = self.0.subscribe();
        receiver.mark_changed();
        receiver
    }

    /// Looks at the sheet as it is.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&Sheet) -> T) -> T {
        read(&self.0.borrow())
    }

    /// Writes the line of an instance.
    pub(crate) fn put_instance(&self, line: &InstanceObservation) {
        self.edit(|sheet| replace(&mut sheet.instances, line.id, line));
    }

    /// Wipes the line of an instance.
    pub(crate) fn drop_instance(&self, id: InstanceId) {
        self.edit(|sheet| sheet.instances.remove(&id).is_some());
    }

    /// Writes the line of a job.
    pub(crate) fn put_job(&self, line: &JobObservation) {
        self.edit(|sheet| replace(&mut sheet.jobs, line.id, line));
    }

    /// Wipes the line of a job.
    pub(crate) fn drop_job(&self, id: JobId) {
        self.edit(|sheet| sheet.jobs.remove(&id).is_some());
    }

    /// Writes which fence is obeyed.
    pub(crate) fn put_fence(&self, fence: Fence) {
        self.edit(|sheet| std::mem::replace(&mut sheet.fence, fence) != fence);
    }

    /// A build is here, or could not be brought here.
    pub(crate) fn put_stage(&self, build: BuildKey, outcome: Result<(), String>) {
        self.edit(|sheet| match outcome {
            Ok(()) => sheet.failures.remove(&build).is_some() | sheet.staged.insert(build),
            Err(reason) => {
                let staged = sheet.staged.remove(&build);
                staged | (sheet.failures.insert(build, reason.clone()) != Some(reason))
            }
        });
    }

    /// Forgets all builds but these.
    pub(crate) fn keep_builds(&self, keep: impl Fn(&BuildKey) -> bool) {
        self.edit(|sheet| {
            let before = sheet.staged.len() + sheet.failures.len();
            sheet.staged.retain(|build| keep(build));
            sheet.failures.retain(|build, _| keep(build));
            before != sheet.staged.len() + sheet.failures.len()
        });
    }

    fn edit(&self, edit: impl FnOnce(&mut Sheet) -> bool) {
        self.0.send_if_modified(edit);
    }
}

fn replace<Id: Ord, T: PartialEq + Clone>(lines: &mut BTreeMap<Id, T>, id: Id, line: &T) -> bool {
    if lines.get(&id) == Some(line) {
        return false;
    }
    lines.insert(id, line.clone());
    true
}

#[cfg(test)]
mod tests {
    use tandem_types::instance::JobState;

    use super::*;
    use crate::host::testing::host;

    fn line(state: JobState) -> JobObservation {
        JobObservation { id: JobId(1), state, started: None, log_tail: Vec::new() }
    }

    fn build(number: u64) -> BuildKey {
        ("guestbook".parse().expect("it is a name"), BuildNumber(number))
    }

    #[test]
    fn only_what_differs_wakes_the_readers() {
        let board = Board::default();
        let mut reader = board.watch();
        assert!(reader.has_changed().expect("the board lives"), "a new reader has not seen anything");
        reader.mark_unchanged();
        board.put_job(&line(JobState::Running));
        assert!(reader.has_changed().expect("the board lives"));
        reader.mark_unchanged();
        board.put_job(&line(JobState::Running));
        board.put_fence(Fence(0));
        board.drop_job(JobId(2));
        assert!(!reader.has_changed().expect("the board lives"));
    }

    #[test]
    fn a_build_is_staged_or_failed_but_never_both() {
        let board = Board::default();
        board.put_stage(build(1), Err("no space".to_owned()));
        board.put_stage(build(2), Ok(()));
        board.put_stage(build(1), Ok(()));
        board.put_stage(build(2), Err("digest mismatch".to_owned()));
        let report = board.look(|sheet| sheet.observation(&host()));
        assert_eq!(report.staged.iter().map(|staged| staged.build).collect::<Vec<_>>(), [BuildNumber(1)]);
        assert_eq!(report.stage_failures[0].reason, "digest mismatch");
        board.keep_builds(|key| *key == build(1));
        assert!(board.look(|sheet| sheet.failures.is_empty()));
    }
}
