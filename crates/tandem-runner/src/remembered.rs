//! What the runner's records tell of what should run, for whoever puts an older store back: it must not stop what the
//! store has forgotten.
//!
//! Reads files and asks no process but one: whether the shim of a release phase still answers. Config is told in the
//! open, as it lies in the runtime folder; whoever gets it seals it.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::path::Path;

use tandem_kit::paths::DataDir;
use tandem_kit::{env, files};
use tandem_sandbox::shim::Secrets;
use tandem_types::assignment::{AssignedBuild, Assignment, JobKind};
use tandem_types::{AppName, EnvironmentName, Fence, JobId, ReleaseNumber};

use crate::environment::HABITS;
use crate::folders::{Folders, Unit};
use crate::instance::Record;
use crate::intent::Intent;
use crate::job::read_intent;

/// Variables that only the host sets.
const HOSTS: [&str; 4] = ["PATH", "TMPDIR", "HOME", "PORT"];
/// Beginning of the names of variables that Tandem sets.
const OWN: &str = "TANDEM_";

/// See the module.
#[derive(Clone, Default)]
pub struct Remembered {
    /// What each environment's instances were told last, without jobs. Fences are not told: they are another life's.
    pub assignments: Vec<Assignment>,
    /// Config of releases as their instances were given it, in the open.
    pub configs: BTreeMap<(AppName, EnvironmentName, ReleaseNumber), BTreeMap<String, String>>,
    /// The greatest id of an instance that left a folder or a log.
    pub greatest_instance: u64,
    /// The greatest id of a job that left a folder or a log.
    pub greatest_job: u64,
    /// A release phase that runs at this moment.
    pub release_phase: Option<(AppName, EnvironmentName, JobId)>,
}

impl std::fmt::Debug for Remembered {
    /// Leaves config out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remembered").field("assignments", &self.assignments).finish_non_exhaustive()
    }
}

/// Reads all records of a data folder. One that cannot be read is of an instance that nobody could take over either.
///
/// # Errors
/// The runner's folder cannot be opened.
pub fn remembered(data: &DataDir) -> Result<Remembered, files::Error> {
    let folders = Folders::open(data)?;
    let mut remembered = Remembered::default();
    let mut assignments = BTreeMap::new();
    for unit in units(&folders.instances()) {
        remembered.note(unit);
        let Ok(Some(record)) = Record::read(&folders.unit(unit)) else { continue };
        if let Ok(Some(values)) = Secrets::read(&folders.secret(unit)) {
            let Intent { place, build, instance, .. } = &record.intent;
            let key = (place.app.clone(), place.environment.clone(), instance.release);
            remembered
                .configs
                .entry(key)
                .or_insert_with(|| config_of(values, build, instance.release, place.app.as_str()));
        }
        assign(&mut assignments, record.intent);
    }
    for unit in units(&folders.jobs()) {
        remembered.note(unit);
        remembered.note_release_phase(&folders, unit);
    }
    for place in entries(&folders.logs()) {
        units(&folders.logs().join(place)).for_each(|unit| remembered.note(unit));
    }
    remembered.assignments = assignments.into_values().collect();
    Ok(remembered)
}

impl Remembered {
    fn note(&mut self, unit: Unit) {
        match unit {
            Unit::Instance(id) => self.greatest_instance = self.greatest_instance.max(id.0),
            Unit::Job(id) => self.greatest_job = self.greatest_job.max(id.0),
        }
    }

    fn note_release_phase(&mut self, folders: &Folders, unit: Unit) {
        let Ok(Some(intent)) = read_intent(&folders.unit(unit)) else { return };
        if intent.job.kind == JobKind::Release && UnixStream::connect(folders.socket(unit)).is_ok() {
            self.release_phase = Some((intent.place.app, intent.place.environment, intent.job.id));
        }
    }
}

fn assign(assignments: &mut BTreeMap<String, Assignment>, intent: Intent) {
    let Intent { place, uid, host_header, build, instance } = intent;
    let assignment = assignments.entry(place.to_string()).or_insert_with(|| Assignment {
        app: place.app,
        environment: place.environment,
        fence: Fence::default(),
        uid,
        host_header,
        builds: BTreeMap::new(),
        instances: Vec::new(),
        jobs: Vec::new(),
    });
    assignment.builds.insert(instance.build, (*build).clone());
    assignment.instances.push(instance);
}

/// What remains of an instance's environment without what the build, the host and Tandem put in: the inverse of
/// [`crate::environment::compose`].
fn config_of(
    values: BTreeMap<String, String>,
    build: &AssignedBuild,
    release: ReleaseNumber,
    app: &str,
) -> BTreeMap<String, String> {
    let of_release = format!("{app}@{release}");
    let is_config = |name: &String, value: &String| {
        let is_habit = HABITS.iter().any(|(habit, usual)| habit == name && usual == value);
        let is_own = name.starts_with(OWN) || HOSTS.contains(&name.as_str());
        let is_told = name == env::SENTRY_RELEASE && *value == of_release;
        !is_habit && !is_own && !is_told && build.environment.get(name) != Some(value)
    };
    values.into_iter().filter(|(name, value)| is_config(name, value)).collect()
}

/// Instances and jobs that have something in a folder; logs may be files.
fn units(folder: &Path) -> impl Iterator<Item = Unit> {
    let name = |name: String| Unit::parse(name.strip_suffix(".log").unwrap_or(&name));
    entries(folder).into_iter().filter_map(name)
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Name, compose};
    use crate::testing::build;
    use tandem_types::InstanceId;

    #[test]
    fn config_is_found_again_in_the_environment_of_an_instance() {
        let own = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let build = AssignedBuild { environment: own(&[("A", "build"), ("B", "build")]), ..build() };
        let config = own(&[("B", "config"), ("SECRET_KEY", "s3cret"), ("LANG", "de_AT.UTF-8")]);
        let mut told = config.clone();
        told.extend(own(&[("TANDEM_APP", "shop"), ("SENTRY_RELEASE", "shop@r7")]));
        let environment = compose(told, &build, Name::Instance(InstanceId(7)), Some(20_001));
        assert_eq!(config_of(environment, &build, ReleaseNumber(7), "shop"), config);
    }
}
