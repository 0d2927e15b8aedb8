//! One-off commands: assigned once, followed to the end, and never begun again.

use std::sync::Arc;

use tandem_types::assignment::{AssignedJob, JobKind};
use tandem_types::document::Cause;
use tandem_types::instance::{Exit, JobObservation, JobState};
use tandem_types::session::{Session, SessionSpec};
use tandem_types::{BuildNumber, JobId, ReleaseNumber, Timestamp};

use crate::draft::Change;
use crate::rollout::tests::simulation::Simulation;
use crate::upkeep;
use crate::world::World;

fn session(id: u64) -> Session {
    let cause = Cause {
        actor: "unix:ann".to_owned(),
        action: "run.start".to_owned(),
        reason: String::new(),
        subject: String::new(),
    };
    Session {
        id: JobId(id),
        app: "guestbook".parse().unwrap(),
        environment: "production".parse().unwrap(),
        release: ReleaseNumber(1),
        build: BuildNumber(1),
        command: "pg_dump".to_owned(),
        cause,
        spec: SessionSpec { pids: 512, ..SessionSpec::default() },
        timeout: None,
        host: None,
        canceled: None,
        state: JobState::Waiting,
        created: Timestamp::UNIX_EPOCH,
        started: None,
        finished: None,
    }
}

/// A settled installation with one release, and a session in it.
fn world(session: Session) -> (Simulation, World) {
    let simulation = Simulation::deployed(&[("web", 1)], 1);
    let mut world = simulation.world();
    world.sessions = vec![Arc::new(Session { created: simulation.now, ..session })];
    (simulation, world)
}

fn plan(simulation: &Simulation, world: &World) -> (Option<Session>, Vec<AssignedJob>) {
    let (mut session, mut jobs) = (None, Vec::new());
    for assignment in world.assignments.values() {
        jobs.extend(assignment.jobs.clone());
    }
    for change in upkeep::plan(world, simulation.now).changes {
        match change {
            Change::Session(changed) => session = Some(*changed),
            Change::Assignment(_, assignment) => jobs = assignment.jobs,
            _ => {}
        }
    }
    (session, jobs)
}

/// The world after a plan was written.
fn written(world: &World, session: &Session, jobs: &[AssignedJob]) -> World {
    let mut next = world.clone();
    next.sessions = vec![Arc::new(session.clone())];
    for assignment in next.assignments.values_mut() {
        assignment.jobs = jobs.to_vec();
    }
    next
}

fn told(world: &World, state: JobState) -> World {
    let mut next = world.clone();
    for report in next.observations.values_mut() {
        let mut host = (*report.value).clone();
        host.jobs =
            vec![JobObservation { id: JobId(9), state: state.clone(), started: None, log_tail: Vec::new() }];
        report.value = Arc::new(host);
    }
    next
}

#[test]
fn a_command_is_assigned_once_and_leaves_with_its_end() {
    let (simulation, first) = world(session(9));
    let (begun, jobs) = plan(&simulation, &first);
    let begun = begun.expect("it is assigned");
    assert!(begun.host.is_some() && !begun.is_over());
    assert_eq!(jobs.iter().map(|job| (job.id, job.kind)).collect::<Vec<_>>(), [(JobId(9), JobKind::Run)]);
    let second = written(&first, &begun, &jobs);
    assert_eq!(plan(&simulation, &second), (None, jobs.clone()), "nothing to do but to wait");
    let exit = Exit { code: Some(3), signal: None, out_of_memory: false, at: simulation.now };
    let third = told(&second, JobState::Ended { exit: exit.clone() });
    let (ended, jobs) = plan(&simulation, &third);
    let ended = ended.expect("its end is written down");
    assert_eq!((ended.state, ended.finished), (JobState::Ended { exit }, Some(simulation.now)));
    assert_eq!(jobs, []);
}

#[test]
fn one_that_no_assignment_names_any_more_is_never_begun_again() {
    let lost = Session { host: Some("a".parse().unwrap()), state: JobState::Running, ..session(9) };
    let (simulation, first) = world(lost);
    let (ended, jobs) = plan(&simulation, &first);
    assert!(matches!(ended.expect("it is over").state, JobState::Unknown { .. }));
    assert_eq!(jobs, []);
}

#[test]
fn one_that_is_canceled_before_it_began_does_not_begin_and_later_is_told_to_end() {
    let cause = session(9).cause;
    let (simulation, first) = world(Session { canceled: Some(cause.clone()), ..session(9) });
    let (ended, jobs) = plan(&simulation, &first);
    assert!(matches!(ended.expect("it is over").state, JobState::NotStarted { .. }));
    assert_eq!(jobs, []);
    let (simulation, first) = world(session(9));
    let (begun, jobs) = plan(&simulation, &first);
    let running = written(&first, &Session { canceled: Some(cause), ..begun.unwrap() }, &jobs);
    let (_, jobs) = plan(&simulation, &running);
    assert!(jobs.iter().all(|job| job.canceled) && jobs.len() == 1);
}

#[test]
fn a_build_that_is_gone_is_told() {
    let (simulation, first) = world(Session { build: BuildNumber(77), ..session(9) });
    let (ended, _) = plan(&simulation, &first);
    assert!(matches!(ended.expect("it is over").state, JobState::NotStarted { .. }));
}

#[test]
fn one_whose_host_is_silent_does_not_begin_when_it_comes_back() {
    let (simulation, first) = world(session(9));
    let (begun, jobs) = plan(&simulation, &first);
    let waiting = written(&first, &begun.expect("it is assigned"), &jobs);
    let silent = |after: Timestamp| upkeep::plan(&waiting, after);
    let until = crate::world::later(simulation.now, tandem_types::defaults::SESSION_BEGINS_WITHIN);
    let expired = |plan: crate::rollout::Plan| {
        plan.changes.into_iter().find_map(|change| match change {
            Change::Session(session) => Some(*session),
            _ => None,
        })
    };
    let before = crate::world::later(simulation.now, tandem_types::Span::minutes(4));
    let plan = silent(before);
    assert!(plan.look_again.is_some_and(|look| look <= until), "{:?}", plan.look_again);
    assert_eq!(expired(plan), None);
    let expired = expired(silent(until)).expect("it expires");
    assert_eq!(expired.canceled.expect("it is canceled").action, "run.expire");
    assert_eq!(expired.state, JobState::Waiting, "its host may have begun it");
}
