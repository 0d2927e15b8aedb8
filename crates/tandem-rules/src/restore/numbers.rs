//! Numbers go on above all that may have been given out since the snapshot.
//!
//! What left a trace is counted exactly. Beyond it some are left out: a number that somebody saw and that left no trace must
//! not come to mean something else, and a gap shows in every list where history was lost.

use tandem_types::{BuildNumber, InstanceId, JobId, ReleaseNumber, RolloutNumber, defaults};

use super::{Documents, Evidence, Place, Work};

/// Left out of what people read: releases, rollouts, builds.
const NAMES_LEFT_OUT: u64 = 10;
/// Left out of the ids of instances and jobs: some dozens are given at each deploy.
const IDS_LEFT_OUT: u64 = 10_000;
/// Left out of user ids: one is given for each environment of an app. There are 30,000.
const UIDS_LEFT_OUT: u32 = 100;
/// Epochs left out; a deploy uses one or two.
pub(super) const EPOCHS_LEFT_OUT: u64 = 10_000;

pub(super) fn raise(work: &mut Work<'_>, restored: &Documents) {
    let evidence = work.evidence;
    let places: Vec<Place> = work.documents.environments.keys().cloned().collect();
    for place in &places {
        let since = rollouts_since(restored, evidence, place);
        let releases = greatest_release(work, place).max(was_next_release(restored, place) + since);
        let rollouts = greatest_rollout(work, place);
        if let Some(environment) = work.documents.environments.get_mut(place) {
            environment.next_release = ReleaseNumber(releases + 1 + NAMES_LEFT_OUT);
            environment.next_rollout = RolloutNumber(rollouts + 1 + NAMES_LEFT_OUT);
        }
    }
    let apps: Vec<_> = work.documents.apps.keys().cloned().collect();
    for name in apps {
        let own = places.iter().filter(|place| place.0 == name);
        // Each rollout makes one build at most.
        let since: u64 = own.map(|place| rollouts_since(restored, evidence, place)).sum();
        let was_next = restored.apps.get(&name).map_or(0, |app| app.next_build.0);
        let documents = [&work.documents, &evidence.found];
        let known = documents.into_iter().flat_map(|all| all.builds.keys());
        let known = known.filter(|(app, _)| *app == name).map(|(_, build)| build.0).max().unwrap_or(0);
        let found = evidence.found.apps.get(&name).map_or(0, |app| app.next_build.0);
        if let Some(app) = work.documents.apps.get_mut(&name) {
            let greatest = known.max(was_next + since).max(found);
            app.next_build = BuildNumber(greatest + 1 + NAMES_LEFT_OUT);
        }
    }
    raise_installation(work);
}

fn raise_installation(work: &mut Work<'_>) {
    let evidence = work.evidence;
    let running = evidence.running.iter().flat_map(|one| &one.instances).map(|instance| instance.id.0);
    let instance = running.max().unwrap_or(0).max(evidence.instance);
    let uid = work.documents.environments.values().map(|environment| environment.uid).max().unwrap_or(0);
    let Some(installation) = &mut work.documents.installation else { return };
    let mut known = installation.clone();
    if let Some(found) = &evidence.found.installation {
        known.next_instance = known.next_instance.max(found.next_instance);
        known.next_job = known.next_job.max(found.next_job);
        known.next_uid = known.next_uid.max(found.next_uid);
    }
    installation.next_instance = InstanceId(known.next_instance.0.max(instance) + 1 + IDS_LEFT_OUT);
    installation.next_job = JobId(known.next_job.0.max(evidence.job) + 1 + IDS_LEFT_OUT);
    let uid = known.next_uid.max(uid.max(evidence.uid).saturating_add(1));
    // Near the end of them, to have none left would be worse than a gap that is too small.
    let left_out = UIDS_LEFT_OUT.min(defaults::LAST_UID.saturating_sub(uid) / 10);
    installation.next_uid = uid.saturating_add(left_out);
}

/// At most so many rollouts were begun since the snapshot, as far as their stories tell.
fn rollouts_since(restored: &Documents, evidence: &Evidence, place: &Place) -> u64 {
    let next = restored.environments.get(place).map_or(1, |environment| environment.next_rollout.0);
    let last = evidence.rollouts.get(place).map_or(0, |number| number.0);
    (last + 1).saturating_sub(next)
}

fn was_next_release(restored: &Documents, place: &Place) -> u64 {
    restored.environments.get(place).map_or(0, |environment| environment.next_release.0)
}

fn greatest_release(work: &Work<'_>, (app, name): &Place) -> u64 {
    let documents = [&work.documents, &work.evidence.found];
    let known = documents.into_iter().flat_map(|all| all.releases.keys());
    let known = known.filter(|(a, e, _)| (a, e) == (app, name)).map(|(_, _, number)| number.0).max();
    let found = work.evidence.found.environments.get(&(app.clone(), name.clone()));
    known.unwrap_or(0).max(found.map_or(0, |found| found.next_release.0))
}

fn greatest_rollout(work: &Work<'_>, place: &Place) -> u64 {
    let documents = [&work.documents, &work.evidence.found];
    let next = documents.into_iter().filter_map(|all| all.environments.get(place));
    let next = next.map(|environment| environment.next_rollout.0).max().unwrap_or(0);
    let keys = documents.into_iter().flat_map(|all| all.rollouts.keys());
    let known = keys.filter(|(a, e, _)| (a, e) == (&place.0, &place.1)).map(|(_, _, number)| number.0).max();
    let told = work.evidence.rollouts.get(place).map_or(0, |number| number.0);
    next.max(known.unwrap_or(0)).max(told)
}
