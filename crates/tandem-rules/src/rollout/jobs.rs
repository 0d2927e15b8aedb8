//! `Smoking` and `Releasing`: commands that run once in the new build before anything of it serves.
//!
//! The release phase is assigned in the same transaction that writes its number into the rollout, and never again:
//! nobody can tell whether half a migration may be repeated. An end that nobody knows is a failure.

use tandem_types::assignment::{AssignedJob, JobKind};
use tandem_types::instance::JobState;
use tandem_types::rollout::RolloutState;
use tandem_types::{JobId, Span, defaults};

use super::problems;
use super::step::{Flow, Step};
use crate::world::later;

/// Time beyond a command's own budget in which its runner tells how it ended.
const REPORT_SLACK: Span = Span::seconds(60);

impl Step<'_> {
    pub(super) fn smoking(&mut self) -> Flow {
        let Some(command) = self.spec().and_then(|spec| spec.smoke.clone()) else {
            "nothing to do".clone_into(&mut self.note);
            return Flow::Next(RolloutState::Releasing);
        };
        let Some(id) = self.rollout.smoke_job else {
            self.rollout.smoke_job = self.assign(JobKind::Smoke, command, defaults::SMOKE_TIMEOUT);
            return Flow::Wait;
        };
        self.follow(id, JobKind::Smoke, defaults::SMOKE_TIMEOUT)
    }

    pub(super) fn releasing(&mut self) -> Flow {
        let Some(release) = self.spec().and_then(|spec| spec.release.clone()) else {
            "nothing to do".clone_into(&mut self.note);
            return Flow::Next(RolloutState::Starting);
        };
        let Some(id) = self.rollout.release_job else {
            self.rollout.release_job = self.assign(JobKind::Release, release.command, release.timeout);
            return Flow::Wait;
        };
        self.follow(id, JobKind::Release, release.timeout)
    }

    fn assign(&mut self, kind: JobKind, command: String, timeout: Span) -> Option<JobId> {
        let to = self.to();
        // The place of the first instance: a release phase needs the volumes.
        let has_volumes = self.spec().is_some_and(|spec| !spec.volumes.is_empty());
        let web = tandem_types::ProcessType::web();
        let host = crate::placement::place(self.draft.world, &web, 1, has_volumes)?.host;
        let build = self.draft.build_of(to)?;
        let memory_bytes = build.spec.processes.values().map(|process| process.memory_bytes).max();
        let job = AssignedJob {
            id: JobId(0),
            kind,
            release: to,
            build: build.number,
            command,
            timeout: Some(timeout),
            memory_bytes: memory_bytes.unwrap_or(defaults::MEMORY_BYTES).max(defaults::MEMORY_BYTES),
            canceled: false,
            session: None,
        };
        Some(self.draft.start_job(&host, job))
    }

    fn follow(&mut self, id: JobId, kind: JobKind, timeout: Span) -> Flow {
        let job = self.draft.world.job(id, self.draft.now);
        let (state, tail) = match job {
            Some(job) => (Some(&job.state), job.log_tail.as_slice()),
            None => (None, [].as_slice()),
        };
        match state {
            Some(JobState::Ended { exit }) if exit.code == Some(0) => Flow::Next(match kind {
                JobKind::Smoke => RolloutState::Releasing,
                JobKind::Release | JobKind::Run => RolloutState::Starting,
            }),
            None | Some(JobState::Waiting | JobState::Running) => {
                let budget = Span::millis(timeout.as_millis() + REPORT_SLACK.as_millis());
                if self.lasted(budget) {
                    return Flow::Fail(problems::job_silent(kind, self.to()));
                }
                Flow::Wait
            }
            Some(state) => Flow::Fail(problems::job_failed(kind, self.to(), state, tail)),
        }
    }

    /// Cancels what runs of the two, and says whether both have ended. A release phase that a rollback pushed aside
    /// runs to its end.
    pub(super) fn end_jobs(&mut self) -> bool {
        let spare = self.rollout.abort.as_ref().is_some_and(|cause| cause.action == super::PREEMPTED);
        let jobs: Vec<_> = self.rollout.smoke_job.into_iter().chain(self.rollout.release_job).collect();
        let mut ended = true;
        for id in jobs {
            let left = spare && self.rollout.release_job == Some(id);
            let mut limit = Span::seconds(30);
            for job in self.draft.assignments.values_mut().flat_map(|a| &mut a.jobs).filter(|j| j.id == id) {
                job.canceled |= !left;
                if left {
                    let own = job.timeout.map_or(0, Span::as_millis);
                    limit = Span::millis(own + REPORT_SLACK.as_millis());
                }
            }
            let open = matches!(
                self.draft.world.job(id, self.draft.now).map(|job| &job.state),
                None | Some(JobState::Waiting | JobState::Running)
            );
            if open {
                let end = later(self.watched_since(), limit);
                self.draft.wake_at(end);
                ended &= self.draft.now >= end;
            }
        }
        ended
    }
}
