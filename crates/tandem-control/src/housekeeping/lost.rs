//! Builds that must be here and of which files are gone: those of a snapshot from another time that was put back, or what
//! a damaged disk lost. Nobody can bring them back but who deploys the same source again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tandem_types::build::Build;
use tandem_types::release::Release;
use tandem_types::{Digest, keys};

use super::forgetting;
use crate::mirror::Mirror;
use crate::place::Place;

/// Trees of which the last sweep found listings to be gone.
#[derive(Debug, Default)]
pub(crate) struct LostTrees(Mutex<BTreeSet<Digest>>);

impl LostTrees {
    /// What a sweep found.
    pub(super) fn tell(&self, lacking: Vec<Digest>) {
        let lacking: BTreeSet<_> = lacking.into_iter().collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for root in lacking.difference(&known) {
            tracing::error!(
                "the tree {} is needed, and parts of it are gone; `tandem status` says whose",
                root.short()
            );
        }
        *known = lacking;
    }

    /// Whose files are gone, for `status`.
    pub(crate) fn problems(&self, mirror: &Mirror) -> Vec<String> {
        let lost = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if lost.is_empty() {
            return Vec::new();
        }
        let mut problems = Vec::new();
        for app in forgetting::apps(mirror) {
            let prefix = keys::builds(&app);
            let builds = mirror.list::<Build>(&prefix).map(|(_, build)| build.value);
            let lacking = builds.filter(|build| build.subtrees.iter().any(|part| lost.contains(&part.tree)));
            problems.extend(lacking.map(|build| problem(mirror, &build)));
        }
        problems
    }
}

fn problem(mirror: &Mirror, build: &Build) -> String {
    let mut releases = Vec::new();
    for environment in mirror.environments().filter(|environment| environment.app == build.app) {
        let place = Place { app: environment.app.clone(), environment: environment.name.clone() };
        let prefix = keys::releases(&place.app, &place.environment);
        let of_build =
            mirror.list::<Release>(&prefix).filter(|(_, release)| release.value.build == build.number);
        releases.extend(of_build.map(|(_, release)| format!("{} of {place}", release.value.number)));
    }
    let needed = if releases.is_empty() { String::new() } else { format!(" ({})", releases.join(", ")) };
    format!("files of the build {} of {}{needed} are gone: deploy its source again", build.number, build.app)
}
