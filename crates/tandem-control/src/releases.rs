//! `releases` and `release show`: what can be run and gone back to.

use std::sync::Arc;

use tandem_rules::config::differences;
use tandem_types::api::ReleaseDetail;
use tandem_types::build::Build;
use tandem_types::environment::Environment;
use tandem_types::problem::Problem;
use tandem_types::release::Release;
use tandem_types::{BuildNumber, ReleaseNumber, keys};

use crate::handle::Handle;
use crate::housekeeping;
use crate::mirror::Mirror;
use crate::place::Place;
use crate::problem;

impl Handle {
    /// All releases of an environment, the newest first.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`.
    pub fn releases(&self, place: &Place) -> Result<Vec<ReleaseDetail>, Problem> {
        let environment = self.environment(place)?;
        Ok(self.shared.look(|mirror| {
            let prefix = keys::releases(&place.app, &place.environment);
            let releases: Vec<Arc<Release>> = mirror.list(&prefix).map(|(_, found)| found.value).collect();
            let kept = housekeeping::kept_builds(mirror, &place.app);
            let before = std::iter::once(None).chain(releases.iter().map(Some));
            let each = releases.iter().zip(before);
            let mut details: Vec<_> = each
                .filter_map(|(release, before)| {
                    detail(mirror, &environment, (release, before), kept.contains(&release.build))
                })
                .collect();
            details.reverse();
            details
        }))
    }

    /// One release.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`, `release_not_found`.
    pub fn release(&self, place: &Place, number: ReleaseNumber) -> Result<ReleaseDetail, Problem> {
        let all = self.releases(place)?;
        let found = all.into_iter().find(|detail| detail.release.number == number);
        found.ok_or_else(|| problem::release_not_found(place, number))
    }
}

fn detail(
    mirror: &Mirror,
    environment: &Environment,
    (release, before): (&Arc<Release>, Option<&Arc<Release>>),
    build_kept: bool,
) -> Option<ReleaseDetail> {
    let build: Arc<Build> = build(mirror, release, release.build)?;
    let config_changes = match before {
        Some(before) => differences(&before.config, &release.config),
        None if release.number == ReleaseNumber(1) => release.config.values.keys().cloned().collect(),
        // The one before it is forgotten.
        None => Vec::new(),
    };
    let mut shown = (**release).clone();
    shown.config.values.values_mut().for_each(|sealed| sealed.ciphertext.clear());
    Some(ReleaseDetail {
        warm: environment.warm.iter().any(|warm| warm.release == release.number),
        can_roll_back: build_kept
            && release.took_traffic.is_some()
            && environment.current != Some(release.number),
        release: shown,
        build: (*build).clone(),
        config_changes,
    })
}

fn build(mirror: &Mirror, release: &Release, number: BuildNumber) -> Option<Arc<Build>> {
    mirror.value(&keys::build(&release.app, number))
}
