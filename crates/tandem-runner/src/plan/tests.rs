//! Tables of what should be, what is, and what follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use tandem_types::assignment::{Assignment, Desired, JobKind};
use tandem_types::document::Change;
use tandem_types::{BuildNumber, InstanceId, JobId};

use super::{Action, Holding, Present, Wanted, plan, wanted};
use crate::assignments::{Assignments, Fences};
use crate::intent::{Intent, JobIntent};
use crate::testing::{assignment, job, live, put, web};

fn wants(assignment: &Assignment) -> Wanted {
    let mut assignments = Assignments::new(Fences::default());
    for change in [Change::Reset, put(assignment), live()] {
        assignments.apply(change);
    }
    wanted(&assignments)
}

fn example() -> Assignment {
    Assignment {
        instances: vec![web(1, "one"), web(2, "two")],
        jobs: vec![job(1, JobKind::Release, "migrate")],
        ..assignment()
    }
}

/// What is after the actions were done.
fn after(mut present: Present, actions: Vec<Action>) -> Present {
    for action in actions {
        match action {
            Action::StartInstance(intent) | Action::ChangeInstance(intent) => {
                present.instances.insert(intent.instance.id, Holding::As(Arc::new(intent)));
            }
            Action::RemoveInstance(id) => {
                present.instances.insert(id, Holding::Leaving);
            }
            Action::StartJob(intent) | Action::ChangeJob(intent) => {
                present.jobs.insert(intent.job.id, Holding::As(Arc::new(intent)));
            }
            Action::RemoveJob(id) => {
                present.jobs.insert(id, Holding::Leaving);
            }
        }
    }
    present
}

type Edit = fn(&mut Assignment);

fn names(actions: &[Action]) -> Vec<String> {
    let name = |action: &Action| match action {
        Action::StartInstance(Intent { instance, .. }) => format!("start {}", instance.id),
        Action::ChangeInstance(Intent { instance, .. }) => {
            format!("change {} to {:?}", instance.id, instance.desired)
        }
        Action::RemoveInstance(id) => format!("remove {id}"),
        Action::StartJob(JobIntent { job, .. }) => format!("start {}", job.id),
        Action::ChangeJob(JobIntent { job, .. }) => format!("change {}, canceled: {}", job.id, job.canceled),
        Action::RemoveJob(id) => format!("remove {id}"),
    };
    actions.iter().map(name).collect()
}

fn running() -> Present {
    after(Present::default(), plan(&wants(&example()), &Present::default()))
}

#[test]
fn everything_named_is_started() {
    let actions = plan(&wants(&example()), &Present::default());
    assert_eq!(names(&actions), ["start i1", "start i2", "start j1"]);
}

#[test]
fn doing_a_plan_leaves_nothing_to_do() {
    assert_eq!(plan(&wants(&example()), &running()), []);
}

#[test]
fn only_what_differs_is_told() {
    let table: [(Edit, &[&str]); 7] = [
        (|_| (), &[]),
        (|a| a.instances[0].desired = Desired::Warm, &["change i1 to Warm"]),
        (|a| a.instances[1].desired = Desired::Stop, &["change i2 to Stop"]),
        (|a| a.host_header = "www.example.org".to_owned(), &["change i1 to Run", "change i2 to Run"]),
        (|a| a.jobs[0].canceled = true, &["change j1, canceled: true"]),
        (|a| a.instances.push(web(3, "three")), &["start i3"]),
        (|a| a.fence = tandem_types::Fence(7), &[]),
    ];
    for (edit, expected) in table {
        let mut edited = example();
        edit(&mut edited);
        assert_eq!(names(&plan(&wants(&edited), &running())), expected);
    }
}

#[test]
fn what_is_not_named_is_removed_before_anything_starts() {
    let next = Assignment { instances: vec![web(3, "three")], jobs: Vec::new(), ..assignment() };
    let actions = plan(&wants(&next), &running());
    assert_eq!(names(&actions), ["remove i1", "remove i2", "remove j1", "start i3"]);
}

#[test]
fn one_that_is_leaving_is_neither_removed_again_nor_called_back() {
    let leaving = Present {
        instances: BTreeMap::from([(InstanceId(1), Holding::Leaving), (InstanceId(9), Holding::Leaving)]),
        jobs: BTreeMap::from([(JobId(1), Holding::Leaving)]),
    };
    assert_eq!(names(&plan(&wants(&example()), &leaving)), ["start i2"]);
}

#[test]
fn what_was_adopted_is_confirmed_or_removed() {
    let adopted = |intent: &Intent| Holding::Adopted(Arc::new(intent.clone()));
    let wanted = wants(&example());
    let mut present = Present::default();
    present.instances.insert(InstanceId(1), adopted(&wanted.instances[&InstanceId(1)]));
    present.instances.insert(InstanceId(9), adopted(&wanted.instances[&InstanceId(2)]));
    let actions = plan(&wanted, &present);
    assert_eq!(names(&actions), ["remove i9", "change i1 to Run", "start i2", "start j1"]);
}

#[test]
fn an_environment_of_which_only_refused_documents_are_known_is_left_alone() {
    let known = Wanted { untouchable: ["guestbook.production".to_owned()].into(), ..Wanted::default() };
    assert_eq!(plan(&known, &running()), []);
}

#[test]
fn an_instance_whose_build_is_not_in_the_assignment_is_not_started() {
    let mut wrong = example();
    wrong.instances[0].build = BuildNumber(99);
    assert_eq!(names(&plan(&wants(&wrong), &Present::default())), ["start i2", "start j1"]);
}
