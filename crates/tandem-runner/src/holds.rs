//! Environments whose processes are ended for a moment, so that one of their volumes can be exchanged.
//!
//! It has two steps. First nothing begins any more, and who holds is told which jobs had begun: those are never ended, so that
//! an open one is the time to refuse, while the app still runs. Then the instances end.
//!
//! A hold is this process's alone and lies nowhere: when the runner dies, everything runs again as it should, on whichever of
//! the two contents is in the volume's place. It turns what should run into what should be stopped and nothing else, so
//! that actors need not know of it.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::JobId;
use tandem_types::assignment::{AssignedJob, Desired};
use tokio::sync::watch;

use crate::intent::Place;
use crate::plan::{Present, Wanted};

/// What is held of one environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// Its holds, by number.
    holds: BTreeSet<u64>,
    /// Those of them that end what runs.
    ending: BTreeSet<u64>,
}

/// What had begun when a hold was heeded.
#[derive(Debug, Clone, Default, PartialEq)]
struct Heeded {
    /// The latest hold that is heeded.
    hold: u64,
    jobs: BTreeMap<JobId, AssignedJob>,
}

/// A handle on all holds, cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holds {
    held: watch::Sender<BTreeMap<Place, Held>>,
    heeded: watch::Sender<BTreeMap<Place, Heeded>>,
}

/// Keeps an environment from beginning anything; it goes on when this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    place: Place,
    number: u64,
    holds: Holds,
}

impl Holds {
    /// Begins nothing more in an environment. What runs goes on, until [`Hold::end`].
    pub(crate) fn hold(&self, place: &Place) -> Hold {
        let mut number = 0;
        self.held.send_modify(|held| {
            // Above every one that is held, and every one that was heeded and may still be told.
            let told = self.heeded.borrow().values().map(|heeded| heeded.hold).max();
            let last = held.values().filter_map(|held| held.holds.last().copied()).max();
            number = told.max(last).unwrap_or(0) + 1;
            held.entry(place.clone()).or_default().holds.insert(number);
        });
        Hold { place: place.clone(), number, holds: self.clone() }
    }

    /// Tells of changes.
    pub(crate) fn watch(&self) -> watch::Receiver<BTreeMap<Place, Held>> {
        self.held.subscribe()
    }

    /// Takes what is held out of what should run. Jobs that run are left to end: nobody could repeat them.
    pub(crate) fn apply(&self, wanted: &mut Wanted, present: &Present) {
        let held = self.held.borrow().clone();
        let told = |(place, held): (&Place, &Held)| {
            let heeded = Heeded { hold: *held.holds.last()?, jobs: present.jobs_of(place) };
            Some((place.clone(), heeded))
        };
        let heeded = held.iter().filter_map(told).collect();
        self.heeded.send_if_modified(|told| std::mem::replace(told, heeded) != *told);
        let ends = |place: &Place| held.get(place).is_some_and(|held| !held.ending.is_empty());
        for intent in wanted.instances.values_mut().filter(|intent| ends(&intent.place)) {
            intent.instance.desired = Desired::Stop;
        }
        wanted.jobs.retain(|id, intent| present.jobs.contains_key(id) || !held.contains_key(&intent.place));
    }
}

impl Hold {
    /// Waits until nothing begins any more, and returns the jobs that had begun before. They are not ended.
    pub(crate) async fn heeded(&self) -> BTreeMap<JobId, AssignedJob> {
        let mut heeded = self.holds.heeded.subscribe();
        let own = |told: &BTreeMap<Place, Heeded>| {
            told.get(&self.place)
                .filter(|heeded| heeded.hold >= self.number)
                .map(|heeded| heeded.jobs.clone())
        };
        let told = heeded.wait_for(|told| own(told).is_some()).await;
        told.ok().and_then(|told| own(&told)).unwrap_or_default()
    }

    /// Ends the instances of the environment.
    pub(crate) fn end(&self) {
        self.holds.held.send_modify(|held| {
            if let Some(held) = held.get_mut(&self.place) {
                held.ending.insert(self.number);
            }
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.held.send_modify(|all| {
            let Some(held) = all.get_mut(&self.place) else { return };
            held.holds.remove(&self.number);
            held.ending.remove(&self.number);
            if held.holds.is_empty() {
                all.remove(&self.place);
            }
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
        assert_eq!(held.instances, wanted.instances, "what runs goes on until it is to end");
        assert!(held.jobs.is_empty(), "a job that has not begun waits");
        second.end();
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
