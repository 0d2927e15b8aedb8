//! One-off commands: each is assigned once, as a job of its own, and followed to its end.
//!
//! Where it is assigned stands in its document from the same transaction on, so that it is never assigned again, whatever
//! dies. One whose job is in no assignment any more has an end that nobody knows.

use tandem_types::assignment::{AssignedJob, JobKind};
use tandem_types::document::Cause;
use tandem_types::instance::JobState;
use tandem_types::session::Session;
use tandem_types::{ProcessType, defaults};

use crate::draft::Draft;
use crate::placement;
use crate::world::later;

/// Takes every unfinished one as far as it goes now.
pub(crate) fn follow(draft: &mut Draft<'_>) {
    let world = draft.world;
    for session in &world.sessions {
        let mut session = (**session).clone();
        match &session.host {
            None => begin(draft, &mut session),
            Some(_) => look(draft, &mut session),
        }
        if session.is_over() {
            session.finished.get_or_insert(draft.now);
        }
        draft.sessions.insert(session.id, session);
    }
    let open = |id| draft.sessions.get(&id).is_some_and(|session: &Session| !session.is_over());
    for assignment in draft.assignments.values_mut() {
        assignment.jobs.retain(|job| job.kind != JobKind::Run || open(job.id));
    }
}

/// Asks all of them to end, and says whether they have.
pub(crate) fn end(draft: &mut Draft<'_>) -> bool {
    let world = draft.world;
    let mut ended = true;
    for assignment in draft.assignments.values_mut() {
        for job in assignment.jobs.iter_mut().filter(|job| job.kind == JobKind::Run) {
            job.canceled = true;
            let state = world.job(job.id, draft.now).map(|job| &job.state);
            ended &= state.is_some_and(|state| !matches!(state, JobState::Waiting | JobState::Running));
        }
    }
    ended
}

fn begin(draft: &mut Draft<'_>, session: &mut Session) {
    let not_started = |reason: &str| JobState::NotStarted { reason: reason.to_owned() };
    if session.canceled.is_some() {
        session.state = not_started("it was ended before it began");
        return;
    }
    let Some(build) = draft.build(session.build) else {
        session.state = not_started("its build is gone; type `tandem run` again");
        return;
    };
    let web = ProcessType::web();
    let memory = build.spec.processes.get(&web).map_or(defaults::MEMORY_BYTES, |spec| spec.memory_bytes);
    let has_volumes = !build.spec.volumes.is_empty();
    // Where there is no host now, one may come.
    let Some(place) = placement::place(draft.world, &web, 1, has_volumes) else {
        if expires(draft, session) {
            session.state =
                not_started(&format!("no host came for it within {}", defaults::SESSION_BEGINS_WITHIN));
        }
        return;
    };
    draft.name_build(&place.host, session.release);
    let job = AssignedJob {
        id: session.id,
        kind: JobKind::Run,
        release: session.release,
        build: session.build,
        command: session.command.clone(),
        timeout: session.timeout,
        memory_bytes: memory,
        canceled: false,
        session: Some(session.spec.clone()),
    };
    draft.assignment(&place.host).jobs.push(job);
    session.host = Some(place.host);
}

fn look(draft: &mut Draft<'_>, session: &mut Session) {
    let is_heard = draft.world.job(session.id, draft.now).is_some();
    // A host that is silent may come back much later. What it began before it fell silent it tells of then.
    if !is_heard
        && session.state == JobState::Waiting
        && session.canceled.is_none()
        && expires(draft, session)
    {
        session.canceled = Some(Cause {
            actor: "system:upkeep".to_owned(),
            action: "run.expire".to_owned(),
            reason: format!("its host was not heard of within {}", defaults::SESSION_BEGINS_WITHIN),
            subject: session.cause.subject.clone(),
        });
    }
    let canceled = session.canceled.is_some();
    let jobs = draft.assignments.values_mut().flat_map(|assignment| &mut assignment.jobs);
    let Some(job) = jobs.filter(|job| job.kind == JobKind::Run).find(|job| job.id == session.id) else {
        let reason = "its host was told to forget it before it told of its end".to_owned();
        session.state = JobState::Unknown { reason };
        return;
    };
    job.canceled |= canceled;
    let Some(seen) = draft.world.job(session.id, draft.now) else { return };
    session.state = seen.state.clone();
    session.started = seen.started.or(session.started);
}

/// Whether it has waited for too long to begin.
fn expires(draft: &mut Draft<'_>, session: &Session) -> bool {
    let until = later(session.created, defaults::SESSION_BEGINS_WITHIN);
    draft.wake_at(until);
    until <= draft.now
}

#[cfg(test)]
mod tests;
