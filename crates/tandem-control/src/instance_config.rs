//! The environment variables of a release, for a host that runs it and for nobody else.

use std::collections::BTreeMap;

use tandem_kit::env;
use tandem_types::api::InstanceConfig;
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::problem::Problem;
use tandem_types::release::Release;
use tandem_types::session::Session;
use tandem_types::{HostName, JobId, ReleaseNumber, keys};

use crate::handle::Handle;
use crate::place::Place;
use crate::problem;

impl Handle {
    /// What instances of the release find in their environment: what the build sets, then config, then what Tandem
    /// sets. Only a host to which the release is assigned is told.
    ///
    /// # Errors
    /// `release_not_found`; `not_assigned`; `internal` where a value cannot be opened.
    pub async fn instance_config(
        &self,
        host: &HostName,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<InstanceConfig, Problem> {
        let key = keys::release(&place.app, &place.environment, release);
        self.read_anew([&key, &keys::assignment(host, &place.app, &place.environment)]).await?;
        let found = self.shared.value::<Release>(&key);
        let found = found.ok_or_else(|| problem::release_not_found(place, release))?;
        if !self.is_assigned(host, place, release) {
            let title = format!("{release} of {place} is not assigned to {host}");
            return Err(Problem::new(403, "not_assigned", title));
        }
        let build = self.shared.value::<Build>(&keys::build(&place.app, found.build));
        let mut environment = build.map_or_else(BTreeMap::new, |build| build.spec.environment.clone());
        for (name, sealed) in &found.config.values {
            environment.insert(name.clone(), self.open_value(name, sealed)?);
        }
        for (name, value) in [
            (env::TANDEM_APP, place.app.to_string()),
            (env::TANDEM_ENVIRONMENT, place.environment.to_string()),
            (env::TANDEM_RELEASE, release.to_string()),
            (env::TANDEM_BUILD, found.build.to_string()),
        ] {
            environment.insert(name.to_owned(), value);
        }
        // An app that tells releases apart in its own way says so in its config.
        environment
            .entry(env::SENTRY_RELEASE.to_owned())
            .or_insert_with(|| format!("{}@{release}", place.app));
        Ok(InstanceConfig { environment })
    }

    /// Whether a job that is about to begin still is to. A runner that hung, or whose connection was slow, begins by a word
    /// that is older than its withdrawal.
    ///
    /// # Errors
    /// `not_assigned`; `job_canceled`.
    pub async fn check_job(&self, host: &HostName, place: &Place, id: JobId) -> Result<(), Problem> {
        let key = keys::assignment(host, &place.app, &place.environment);
        let session = keys::session(&place.app, &place.environment, id);
        self.read_anew([&key, &session]).await?;
        let assignment = self.shared.value::<Assignment>(&key);
        let job = assignment.iter().flat_map(|assignment| &assignment.jobs).find(|job| job.id == id);
        let job = job.ok_or_else(|| {
            Problem::new(403, "not_assigned", format!("{id} of {place} is not assigned to {host}"))
        })?;
        // Who ends a one-off command says so there first, and is told from then on that it does not begin any more.
        let given_up =
            self.shared.value::<Session>(&session).is_some_and(|session| session.canceled.is_some());
        if job.canceled || given_up {
            return Err(Problem::new(410, "job_canceled", format!("{id} was ended before it began")));
        }
        Ok(())
    }

    /// The runner asks as soon as it is told of its assignment, and it may be told before our mirror is.
    async fn read_anew(&self, keys: [&str; 2]) -> Result<(), Problem> {
        for key in keys {
            let read = self.shared.refresh(key).await;
            read.map_err(|error| problem::store("read what is assigned", &error))?;
        }
        Ok(())
    }

    fn is_assigned(&self, host: &HostName, place: &Place, release: ReleaseNumber) -> bool {
        let key = keys::assignment(host, &place.app, &place.environment);
        let Some(assignment) = self.shared.value::<Assignment>(&key) else { return false };
        assignment.instances.iter().any(|instance| instance.release == release)
            || assignment.jobs.iter().any(|job| job.release == release)
    }
}
