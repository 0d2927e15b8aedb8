//! What a round of forgetting drops of one app: releases that nobody needs and builds that no release names.
//!
//! The transaction expects every environment of the app as it was read. Whatever begins to need a release or a build
//! meanwhile writes its environment, so that one of the two is refused and looks again.

use std::collections::BTreeSet;

use tandem_rules::retention;
use tandem_store::Transaction;
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::environment::Environment;
use tandem_types::release::Release;
use tandem_types::{AppName, BuildNumber, ReleaseNumber, Timestamp, keys};

use crate::mirror::{Mirror, Versioned};
use crate::place::Place;
use crate::shared::cause;

/// Documents dropped of one app in one round: a transaction must not hold up a rollback.
const MOST: usize = 100;

/// All apps.
pub(crate) fn apps(mirror: &Mirror) -> BTreeSet<AppName> {
    mirror.environments().map(|environment| environment.app.clone()).collect()
}

/// The next round; none: there is nothing to drop.
pub(crate) fn transaction(
    mirror: &Mirror,
    app: &AppName,
    (listed, now): (usize, Timestamp),
) -> Option<Transaction> {
    let cause = cause("system:housekeeping", "release.forget", "", &Place::production(app.clone()));
    let cause = tandem_types::document::Cause { subject: app.to_string(), ..cause };
    let mut transaction = Transaction::new(cause);
    let mut needed: BTreeSet<_> = assigned(mirror, app).map(|(_, build)| build).collect();
    let mut room = MOST;
    for environment in mirror.environments().filter(|environment| environment.app == *app) {
        let key = keys::environment(app, &environment.name);
        let stored: Versioned<Environment> = mirror.get(&key)?;
        transaction = transaction.check(key, stored.unchanged());
        let prefix = keys::releases(app, &environment.name);
        let releases: Vec<_> = mirror.list::<Release>(&prefix).map(|(_, release)| release).collect();
        let values = releases.iter().map(|release| &*release.value);
        let forgotten = retention::forgotten_releases(values, &named(mirror, &environment), (listed, now));
        let forgotten: BTreeSet<_> = forgotten.into_iter().take(room).collect();
        room -= forgotten.len();
        for release in releases {
            let number = release.value.number;
            if forgotten.contains(&number) {
                let key = keys::release(app, &environment.name, number);
                transaction = transaction.delete(key, release.unchanged());
            } else {
                needed.insert(release.value.build);
            }
        }
    }
    needed
        .extend(mirror.unfinished(&format!("{}/", keys::app(app))).filter_map(|rollout| rollout.value.build));
    let builds = keys::builds(app);
    let builds = mirror.list::<Build>(&builds).filter(|(_, build)| !needed.contains(&build.value.number));
    let transaction =
        builds.take(room).fold(transaction, |all, (key, build)| all.delete(key, build.unchanged()));
    (!transaction.writes.is_empty()).then_some(transaction)
}

/// Releases that something names: the serving one, warm ones, assigned ones, those of unfinished rollouts.
fn named(mirror: &Mirror, environment: &Environment) -> BTreeSet<ReleaseNumber> {
    let (app, name) = (&environment.app, &environment.name);
    let prefix = keys::rollouts(app, name);
    let rollouts = mirror.unfinished(&prefix).flat_map(|rollout| [rollout.value.from, rollout.value.to]);
    let warm = environment.warm.iter().map(|warm| warm.release);
    let named = rollouts.flatten().chain(warm).chain(environment.current);
    named.chain(assigned(mirror, app).map(|(release, _)| release)).collect()
}

/// Releases and builds of assigned instances, jobs and trees of the app. A number of another environment keeps one release
/// too many, which does no harm.
fn assigned<'m>(
    mirror: &'m Mirror,
    app: &'m AppName,
) -> impl Iterator<Item = (ReleaseNumber, BuildNumber)> + 'm {
    let own = mirror.list::<Assignment>(keys::HOSTS).map(|(_, found)| found.value);
    own.filter(move |assignment| assignment.app == *app).flat_map(|assignment| {
        let instances = assignment.instances.iter().map(|instance| (instance.release, instance.build));
        let jobs = assignment.jobs.iter().map(|job| (job.release, job.build));
        let trees = assignment.builds.keys().map(|build| (ReleaseNumber(0), *build));
        instances.chain(jobs).chain(trees).collect::<Vec<_>>()
    })
}
