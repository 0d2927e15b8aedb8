//! What is, as everybody in the runner sees it: builds that are checked out, instances and jobs.
//!
//! Actors write their own line, the reporter sends the whole, actors that wait for a build and log readers that wait for
//! an instance watch it. It is a watch channel: readers see the latest state, never a queue of old ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_types::assignment::AssignedBuild;
use tandem_types::instance::{
    HostObservation, InstanceObservation, JobObservation, StageFailure, StagedBuild,
};
use tandem_types::{AppName, BuildNumber, Digest, Fence, InstanceId, JobId};
use tokio::sync::watch;

use crate::host::Host;

/// A build of an app, with what it is made of: after an app was destroyed, the next one of its name begins at b1
/// again while instances of the old b1 may still be ending.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BuildKey {
    /// The app.
    pub(crate) app: AppName,
    /// Its number, as people and documents call it.
    pub(crate) number: BuildNumber,
    /// Its trees.
    pub(crate) trees: BTreeSet<Digest>,
}

impl BuildKey {
    /// The key of a build that an assignment or a record names.
    pub(crate) fn new(app: &AppName, number: BuildNumber, build: &AssignedBuild) -> Self {
        let trees = build.subtrees.iter().map(|subtree| subtree.tree).collect();
        Self { app: app.clone(), number, trees }
    }

    /// Whether the other one is called the same and is not the same.
    pub(crate) fn is_namesake(&self, other: &Self) -> bool {
        self.app == other.app && self.number == other.number && self.trees != other.trees
    }
}

/// Everything there is to report.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sheet {
    /// Builds whose trees are all here.
    pub(crate) staged: BTreeSet<BuildKey>,
    /// Builds in use whose name an assignment gives to another one: documents know builds by name, so of these
    /// nothing is told.
    pub(crate) superseded: BTreeSet<BuildKey>,
    /// Why a build could not be checked out the last time.
    pub(crate) failures: BTreeMap<BuildKey, String>,
    /// Instances that have an actor.
    pub(crate) instances: BTreeMap<InstanceId, InstanceObservation>,
    /// Jobs that have an actor.
    pub(crate) jobs: BTreeMap<JobId, JobObservation>,
    /// Highest fence obeyed.
    pub(crate) fence: Fence,
    /// Why packet rules do not keep instances apart.
    pub(crate) no_packet_rules: Option<String>,
}

impl Sheet {
    /// The report that a server gets.
    pub(crate) fn observation(&self, host: &Host) -> HostObservation {
        let told = |key: &BuildKey| !self.superseded.contains(key);
        let staged = self.staged.iter().filter(|key| told(key));
        let failures = self.failures.iter().filter(|(key, _)| told(key));
        let failure = |(key, reason): (&BuildKey, &String)| StageFailure {
            app: key.app.clone(),
            build: key.number,
            reason: reason.clone(),
        };
        HostObservation {
            host: host.name.clone(),
            boot_id: host.boot_id.clone(),
            started: host.started,
            api: host.api.clone(),
            isolation: host.isolation,
            isolation_gaps: self.no_packet_rules.iter().cloned().collect(),
            staged: staged.map(|key| StagedBuild { app: key.app.clone(), build: key.number }).collect(),
            stage_failures: failures.map(failure).collect(),
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

    /// Builds of which nothing is told.
    pub(crate) fn put_superseded(&self, superseded: BTreeSet<BuildKey>) {
        self.edit(|sheet| {
            let differs = sheet.superseded != superseded;
            sheet.superseded = superseded;
            differs
        });
    }

    /// Writes why packet rules do not keep instances apart; none where they do. True when that is news.
    pub(crate) fn put_packet_rules(&self, problem: Option<String>) -> bool {
        self.0.send_if_modified(|sheet| {
            let differs = sheet.no_packet_rules != problem;
            sheet.no_packet_rules = problem;
            differs
        })
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
        let app = "guestbook".parse().expect("it is a name");
        BuildKey { app, number: BuildNumber(number), trees: BTreeSet::new() }
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
    #[test]
    fn of_a_build_whose_name_is_anothers_now_nothing_is_told() {
        let board = Board::default();
        let old = BuildKey { trees: [Digest([1; 32])].into(), ..build(1) };
        board.put_stage(old.clone(), Ok(()));
        board.put_superseded([old].into());
        assert!(board.look(|sheet| sheet.observation(&host())).staged.is_empty());
        board.put_stage(BuildKey { trees: [Digest([2; 32])].into(), ..build(1) }, Ok(()));
        assert_eq!(board.look(|sheet| sheet.observation(&host())).staged.len(), 1);
    }
}
