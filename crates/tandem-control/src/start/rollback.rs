//! `rollback`: an earlier release again.

use std::sync::Arc;

use tandem_types::problem::Problem;
use tandem_types::release::{Release, ReleaseStatus};
use tandem_types::{ReleaseNumber, keys};

use super::Ask;
use crate::handle::Handle;
use crate::housekeeping;
use crate::place::Place;
use crate::problem;

impl Handle {
    pub(super) fn ask_rollback(
        &self,
        place: &Place,
        release: Option<ReleaseNumber>,
        ask: Ask,
    ) -> Result<Ask, Problem> {
        let current = self.environment(place)?.current.ok_or_else(|| problem::nothing_runs(place))?;
        let to = match release {
            Some(number) => self.check_target(place, number, current)?,
            None => self.previous_good(place, current)?,
        };
        Ok(Ask { to: Some(to), ..ask })
    }

    /// A release that was asked for by its number.
    fn check_target(
        &self,
        place: &Place,
        number: ReleaseNumber,
        current: ReleaseNumber,
    ) -> Result<ReleaseNumber, Problem> {
        let key = keys::release(&place.app, &place.environment, number);
        let release = self.shared.value::<Release>(&key);
        let release = release.ok_or_else(|| problem::release_not_found(place, number))?;
        let hint = format!("tandem releases {}", place.arguments());
        if number == current {
            let title = format!("{number} of {place} serves already");
            return Err(Problem::new(409, "same_release", title).hint(hint));
        }
        if release.took_traffic.is_none() {
            let title =
                format!("{number} of {place} never took traffic: there is nothing to go back to in it");
            return Err(Problem::new(409, "never_served", title).hint(hint));
        }
        if !self.is_build_kept(&release) {
            let title = format!("the build of {number} is no longer kept");
            return Err(Problem::new(410, "build_gone", title).hint(hint));
        }
        Ok(number)
    }

    /// The release that served before the current one and was not rolled back from.
    fn previous_good(&self, place: &Place, current: ReleaseNumber) -> Result<ReleaseNumber, Problem> {
        let prefix = keys::releases(&place.app, &place.environment);
        let releases: Vec<Arc<Release>> =
            self.shared.look(|mirror| mirror.list(&prefix).map(|(_, release)| release.value).collect());
        let good = releases.into_iter().filter(|release| {
            release.number != current
                && release.status == ReleaseStatus::Superseded
                && release.took_traffic.is_some()
                && self.is_build_kept(release)
        });
        let last = good.max_by_key(|release| (release.lost_traffic, release.number));
        last.map(|release| release.number).ok_or_else(|| {
            let title = format!("{place} has no earlier release to go back to");
            Problem::new(409, "nothing_to_roll_back_to", title)
                .hint(format!("tandem releases {}", place.arguments()))
        })
    }

    /// Whether the parts of the release's build are still here.
    pub(crate) fn is_build_kept(&self, release: &Release) -> bool {
        self.shared.look(|mirror| housekeeping::kept_builds(mirror, &release.app).contains(&release.build))
    }
}
