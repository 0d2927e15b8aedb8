//! Environments whose processes are ended for a moment, so that one of their volumes can be exchanged.
//!
//! A hold is this process's alone and lies nowhere: when the runner dies, everything runs again as it should, on whichever of
//! the two contents is in the volume's place. It turns what should run into what should be stopped and nothing else, so
//! that actors need not know of it.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::JobId;
use tandem_types::assignment::Desired;
use tokio::sync::watch;

use crate::intent::Place;
use crate::plan::{Present, Wanted};

/// A handle on all holds, cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holds {
    held: watch::Sender<BTreeMap<Place, u32>>,
    /// Jobs that had begun when the hold was heeded, by environment.
    jobs: watch::Sender<BTreeMap<Place, BTreeSet<JobId>>>,
}

/// Keeps an environment from running; it goes on when this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    place: Place,
    holds: Holds,
}

impl Holds {
    /// Ends what runs of an environment, and begins nothing in it.
    pub(crate) fn hold(&self, place: &Place) -> Hold {
        self.held.send_modify(|held| *held.entry(place.clone()).or_default() += 1);
        Hold { place: place.clone(), holds: self.clone() }
    }

    /// Tells of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<BTreeMap<Place, u32>> {
        self.held.subscribe()
    }

    /// Takes what is held out of what should run. Jobs that run are left to end: nobody could repeat them.
    pub(crate) fn apply(&self, wanted: &mut Wanted, present: &Present) {
        let held = self.held.borrow();
        let jobs = held.keys().map(|place| (place.clone(), present.jobs_of(place))).collect();
        self.jobs.send_if_modified(|told| std::mem::replace(told, jobs) != *told);
        for intent in wanted.instances.values_mut().filter(|intent| held.contains_key(&intent.place)) {
            intent.instance.desired = Desired::Stop;
        }
        wanted.jobs.retain(|id, intent| present.jobs.contains_key(id) || !held.contains_key(&intent.place));
    }
}

impl Hold {
    /// Waits until nothing begins any more, and returns the jobs that had begun before. They are not ended.
    pub(crate) async fn heeded(&self) -> BTreeSet<JobId> {
        let mut jobs = self.holds.jobs.subscribe();
        let told = jobs.wait_for(|jobs| jobs.contains_key(&self.place)).await;
        told.map(|jobs| jobs[&self.place].clone()).unwrap_or_default()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.held.send_modify(|held| {
            let Some(number) = held.get_mut(&self.place) else { return };
            *number -= 1;
            if *number == 0 {
                held.remove(&self.place);
            }
        });
        self.holds.jobs.send_modify(|jobs| {
            jobs.remove(&self.place);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::intent::{Intent, JobIntent};
    use crate::testing::{assignment, build, job, web};
    use tandem_types::assignment::JobKind;

    #[test]
    fn what_is_held_should_stop_until_it_is_let_go() {
        let place = Place::of(&assignment());
        let intent = Intent {
            place: place.clone(),
            uid: 70_000,
            host_header: String::new(),
            build: Arc::new(build()),
            instance: web(1, "true"),
        };
        let waiting = JobIntent {
            place: place.clone(),
            uid: 70_000,
            build: Arc::new(build()),
            job: job(2, JobKind::Smoke, "true"),
        };
        let mut wanted = Wanted::default();
        wanted.instances.insert(intent.instance.id, intent.clone());
        wanted.jobs.insert(waiting.job.id, waiting);
        let holds = Holds::default();
        let first = holds.hold(&place);
        let second = holds.hold(&place);
        drop(first);
        let mut held = wanted.clone();
        holds.apply(&mut held, &Present::default());
        assert_eq!(held.instances[&intent.instance.id].instance.desired, Desired::Stop);
        assert!(held.jobs.is_empty(), "a job that has not begun waits");
        drop(second);
        let mut free = wanted.clone();
        holds.apply(&mut free, &Present::default());
        assert_eq!(free, wanted);
    }
}
