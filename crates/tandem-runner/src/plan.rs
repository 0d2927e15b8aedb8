//! What to do so that what is becomes what should be. Pure: no clock, no disk, no process.
//!
//! [`wanted`] reads the obeyed assignments, [`plan`] compares them with what has an actor. Doing the actions and
//! planning again gives nothing to do, so the reconciler may plan after every event and lose none.
//! What an action takes (time-outs, back-off, the gate) is the actors' own affair.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tandem_types::assignment::{AssignedBuild, AssignedJob};
use tandem_types::{InstanceId, JobId};

use crate::assignments::Assignments;
use crate::board::BuildKey;
use crate::intent::{self, Intent, JobIntent, Place};

/// What should be, over all environments.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Wanted {
    /// Instances by id.
    pub(crate) instances: BTreeMap<InstanceId, Intent>,
    /// Jobs by id.
    pub(crate) jobs: BTreeMap<JobId, JobIntent>,
    /// Builds to check out.
    pub(crate) builds: BTreeMap<BuildKey, Arc<AssignedBuild>>,
    /// `<app>.<env>` of which nothing that can be obeyed is known: left as they are.
    pub(crate) untouchable: BTreeSet<String>,
}

/// Everything that has an actor.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Present {
    /// Instances by id.
    pub(crate) instances: BTreeMap<InstanceId, Holding<Intent>>,
    /// Jobs by id.
    pub(crate) jobs: BTreeMap<JobId, Holding<JobIntent>>,
}

impl Present {
    /// Jobs of an environment that have begun and are not leaving.
    pub(crate) fn jobs_of(&self, place: &Place) -> BTreeMap<JobId, AssignedJob> {
        let own = |(id, holding): (&JobId, &Holding<JobIntent>)| match holding {
            Holding::As(intent) | Holding::Adopted(intent) if intent.place == *place => {
                Some((*id, intent.job.clone()))
            }
            _ => None,
        };
        self.jobs.iter().filter_map(own).collect()
    }
}

/// What an actor was told last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Holding<T> {
    /// To be as this says.
    As(Arc<T>),
    /// Nothing yet: this is what an earlier process of the runner told it.
    Adopted(Arc<T>),
    /// To stop and go away.
    Leaving,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Give it an actor.
    StartInstance(Intent),
    /// Tell its actor what it should be now.
    ChangeInstance(Intent),
    /// Have its actor stop it and remove its folder.
    RemoveInstance(InstanceId),
    /// Give it an actor.
    StartJob(JobIntent),
    /// Tell its actor; all that changes of a job is that it is canceled.
    ChangeJob(JobIntent),
    /// Have its actor end it and remove its folder.
    RemoveJob(JobId),
}

/// Sums up the obeyed assignments. Where one names a build it does not hold, its instances and jobs are left out.
pub(crate) fn wanted(assignments: &Assignments) -> Wanted {
    let mut wanted =
        Wanted { untouchable: assignments.refused().map(str::to_owned).collect(), ..Wanted::default() };
    for assignment in assignments.obeyed() {
        let (instances, no_build) = intent::instances(assignment);
        let (jobs, no_build_for_job) = intent::jobs(assignment);
        for build in no_build.into_iter().chain(no_build_for_job) {
            tracing::error!(app.id = %assignment.app, build = %build, "the assignment names build {build} without saying what it is");
        }
        wanted.instances.extend(instances.into_iter().map(|intent| (intent.instance.id, intent)));
        wanted.jobs.extend(jobs.into_iter().map(|intent| (intent.job.id, intent)));
        wanted.builds.extend(assignment.builds.iter().map(|(number, build)| {
            (BuildKey::new(&assignment.app, *number, build), Arc::new(build.clone()))
        }));
    }
    wanted
}

/// What to do so that `present` becomes `wanted`. Removals come first: a singleton's successor must not overtake it
/// in the queue of things to do, and what is stopped gives its memory back.
pub(crate) fn plan(wanted: &Wanted, present: &Present) -> Vec<Action> {
    let mut actions = removals(wanted, present);
    actions.extend(changes(&wanted.instances, &present.instances, Action::ChangeInstance));
    actions.extend(changes(&wanted.jobs, &present.jobs, Action::ChangeJob));
    let new_instances = wanted.instances.iter().filter(|(id, _)| !present.instances.contains_key(id));
    actions.extend(new_instances.map(|(_, intent)| Action::StartInstance(intent.clone())));
    let new_jobs = wanted.jobs.iter().filter(|(id, _)| !present.jobs.contains_key(id));
    actions.extend(new_jobs.map(|(_, intent)| Action::StartJob(intent.clone())));
    actions
}

fn removals(wanted: &Wanted, present: &Present) -> Vec<Action> {
    let instances = present.instances.iter().filter_map(|(id, holding)| match holding {
        Holding::As(intent) | Holding::Adopted(intent) if !wanted.instances.contains_key(id) => {
            let known = !wanted.untouchable.contains(&intent.place.to_string());
            known.then_some(Action::RemoveInstance(*id))
        }
        _ => None,
    });
    let jobs = present.jobs.iter().filter_map(|(id, holding)| match holding {
        Holding::As(intent) | Holding::Adopted(intent) if !wanted.jobs.contains_key(id) => {
            let known = !wanted.untouchable.contains(&intent.place.to_string());
            known.then_some(Action::RemoveJob(*id))
        }
        _ => None,
    });
    instances.chain(jobs).collect()
}

/// Those that have an actor which was told something else, or nothing by this process. One that is leaving is not called back: its id comes
/// free when it is gone, and the next plan starts it anew.
fn changes<Id: Ord, T: PartialEq + Clone>(
    wanted: &BTreeMap<Id, T>,
    present: &BTreeMap<Id, Holding<T>>,
    action: impl Fn(T) -> Action,
) -> Vec<Action> {
    let differs = |id: &Id, intent: &T| match present.get(id) {
        Some(Holding::As(told)) => **told != *intent,
        Some(Holding::Adopted(_)) => true,
        Some(Holding::Leaving) | None => false,
    };
    wanted
        .iter()
        .filter(|(id, intent)| differs(id, intent))
        .map(|(_, intent)| action(intent.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
