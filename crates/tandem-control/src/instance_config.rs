//! The environment variables of a release, for a host that runs it and for nobody else.

use std::collections::BTreeMap;

use tandem_kit::env;
use tandem_types::api::InstanceConfig;
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::problem::Problem;
use tandem_types::release::Release;
use tandem_types::{HostName, ReleaseNumber, keys};

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
        // The runner asks as soon as it is told of its assignment, and it may be told before our mirror is.
        for fresh in [&key, &keys::assignment(host, &place.app, &place.environment)] {
            self.shared
                .refresh(fresh)
                .await
                .map_err(|error| problem::store("read what is assigned", &error))?;
        }
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

    fn is_assigned(&self, host: &HostName, place: &Place, release: ReleaseNumber) -> bool {
        let key = keys::assignment(host, &place.app, &place.environment);
        let Some(assignment) = self.shared.value::<Assignment>(&key) else { return false };
        assignment.instances.iter().any(|instance| instance.release == release)
            || assignment.jobs.iter().any(|job| job.release == release)
    }
}
