//! What one instance or job should be: everything its actor needs, taken out of the assignment that names it.
//!
//! An assignment speaks of a whole environment; an actor lives and dies with one id. So each gets its own part,
//! which is also what is written beside the instance, so that a runner that was killed knows what it adopts
//! before any server answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tandem_types::assignment::{AssignedBuild, AssignedInstance, AssignedJob, Assignment};
use tandem_types::{AppName, BuildNumber, EnvironmentName};

/// The environment an instance or job belongs to, and what all of its siblings share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The app.
    pub(crate) app: AppName,
    /// The environment.
    pub(crate) environment: EnvironmentName,
}

impl Place {
    /// The environment that an assignment is about.
    pub(crate) fn of(assignment: &Assignment) -> Self {
        Self { app: assignment.app.clone(), environment: assignment.environment.clone() }
    }
}

impl std::fmt::Display for Place {
    /// As folders and document keys are named: a name has no dot, so the pair is told apart.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.app, self.environment)
    }
}

/// What one instance should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// Whose it is.
    pub(crate) place: Place,
    /// User and group id it runs under.
    pub(crate) uid: u32,
    /// `Host` of its probes.
    pub(crate) host_header: String,
    /// The build it runs.
    pub(crate) build: Arc<AssignedBuild>,
    /// Which, how, and what it should be doing.
    pub(crate) instance: AssignedInstance,
}

/// What one job should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobIntent {
    /// Whose it is.
    pub(crate) place: Place,
    /// User and group id it runs under.
    pub(crate) uid: u32,
    /// The build it runs in.
    pub(crate) build: Arc<AssignedBuild>,
    /// Which, and what it runs.
    pub(crate) job: AssignedJob,
}

/// The intents of an assignment's instances. Those whose build the assignment does not hold are left out
/// and named, since nothing can be started for them.
pub(crate) fn instances(assignment: &Assignment) -> (Vec<Intent>, Vec<BuildNumber>) {
    let place = Place::of(assignment);
    let mut missing = Vec::new();
    let intents = assignment.instances.iter().filter_map(|instance| {
        let Some(build) = assignment.builds.get(&instance.build) else {
            missing.push(instance.build);
            return None;
        };
        Some(Intent {
            place: place.clone(),
            uid: assignment.uid,
            host_header: assignment.host_header.clone(),
            build: Arc::new(build.clone()),
            instance: instance.clone(),
        })
    });
    (intents.collect(), missing)
}

/// The intents of an assignment's jobs, with the builds that are missing as in [`instances`].
pub(crate) fn jobs(assignment: &Assignment) -> (Vec<JobIntent>, Vec<BuildNumber>) {
    let place = Place::of(assignment);
    let mut missing = Vec::new();
    let intents = assignment.jobs.iter().filter_map(|job| {
        let Some(build) = assignment.builds.get(&job.build) else {
            missing.push(job.build);
            return None;
        };
        let build = Arc::new(build.clone());
        Some(JobIntent { place: place.clone(), uid: assignment.uid, build, job: job.clone() })
    });
    (intents.collect(), missing)
}
