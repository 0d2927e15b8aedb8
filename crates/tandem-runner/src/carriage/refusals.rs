//! What is said where a volume cannot be carried, each with what to do about it.

use tandem_sandbox::tool::Streaming;
use tandem_types::assignment::{AssignedJob, JobKind};
use tandem_types::problem::Problem;

use super::Named;
use crate::intent::Place;
use crate::volumes::CUT;

/// Jobs that keep a volume from being exchanged, each with what ends it.
pub(super) fn in_use(named: &Named, jobs: &[AssignedJob]) -> Problem {
    let Place { app, environment } = &named.place;
    let at = format!("--app {app} --env {environment}");
    let named_job = |job: &AssignedJob| match job.kind {
        JobKind::Run => format!("{} ({})", job.id, job.command),
        JobKind::Release => format!("{} (the release phase)", job.id),
        JobKind::Smoke => format!("{} (a rollout's first look at the app)", job.id),
    };
    let ends = |job: &AssignedJob| match job.kind {
        JobKind::Run => format!("`tandem sessions --end {} {at}` ends {}", job.id, job.id),
        JobKind::Release | JobKind::Smoke => format!("`tandem rollout watch {at}` shows how far it is"),
    };
    let all: Vec<_> = jobs.iter().map(named_job).collect();
    let mut hints: Vec<_> = jobs.iter().map(ends).collect();
    hints.dedup();
    let have = if all.len() == 1 { "has" } else { "have" };
    let title = format!("{} of {app}/{environment} {have} the volume {} open", all.join(", "), named.name);
    Problem::new(409, "volume_in_use", title)
        .hint(format!("{}; nothing was changed, and nothing was stopped", hints.join(", ")))
}

/// There is no such volume.
pub(super) fn missing(named: &Named) -> Problem {
    Problem::new(404, "volume_not_found", format!("there is no volume {named}")).hint("tandem volume list")
}

/// An archive that did not come whole.
pub(super) fn broken(why: &str) -> Problem {
    Problem::new(400, "archive_cut", format!("the archive did not come whole: {why}"))
        .hint("nothing was changed; look whether what wrote the archive failed (in a pipe, its left side), and import it again")
}

/// What a worker said when it failed.
pub(super) async fn failed(code: &str, named: &Named, worker: Streaming) -> Problem {
    match worker.finish().await {
        Err(error) => refused(code, named, &error.to_string()),
        Ok(()) => refused(code, named, "it said nothing"),
    }
}

/// What a worker said, as a refusal.
pub(super) fn refused(code: &str, named: &Named, said: &str) -> Problem {
    // The worker's own line is behind how it ended.
    let why = said.rsplit_once("error: ").map_or(said, |(_, why)| why);
    if let Some(why) = why.strip_prefix(CUT) {
        return broken(why.trim_end());
    }
    Problem::new(422, code, format!("the volume {named}: failed to {why}")).hint("nothing was changed")
}
