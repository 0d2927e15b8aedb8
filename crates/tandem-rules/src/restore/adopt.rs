//! What runs and is not in the snapshot gets its documents: those that can still be read of the damaged store, else ones
//! that are put together from what the runner and the balancer know.

use std::collections::BTreeMap;

use tandem_types::app::{App, AppSpec};
use tandem_types::assignment::{AssignedBuild, Assignment};
use tandem_types::build::Build;
use tandem_types::document::Cause;
use tandem_types::environment::{Config, Environment};
use tandem_types::release::{Release, ReleaseStatus};
use tandem_types::routing::Table;
use tandem_types::{BuildNumber, Digest, ReleaseNumber, RolloutNumber};

use super::Work;
use crate::table;

/// Who the documents say made them.
pub(super) const ACTOR: &str = "system:restore";
/// Where an app's own files are in its instances.
const APP: &str = "/app/";

impl Work<'_> {
    /// The environment and its app, with what people set since the snapshot where that can still be read.
    pub(super) fn ensure_environment(&mut self, running: &Assignment, serving: &Table) {
        let place = (running.app.clone(), running.environment.clone());
        let found = self.evidence.found.environments.get(&place);
        let newer = self.newer_config(running, serving);
        match (self.documents.environments.get_mut(&place), found) {
            (Some(environment), Some(found)) => {
                environment.config.clone_from(&found.config);
                environment.scale.clone_from(&found.scale);
            }
            // A release has the config that its environment had when it was made.
            (Some(environment), None) => environment.config = newer.unwrap_or(environment.config.clone()),
            (None, found) => {
                let made = || {
                    let (app, name) = (running.app.clone(), running.environment.clone());
                    Environment::new(app, name, running.uid, self.now)
                };
                let mut environment = found.cloned().unwrap_or_else(made);
                if found.is_none() {
                    environment.config = newer.unwrap_or_default();
                }
                self.documents.environments.insert(place, environment);
            }
        }
        let made = || App {
            name: running.app.clone(),
            created: self.now,
            next_build: BuildNumber(1),
            destroying: None,
        };
        let app = self.evidence.found.apps.get(&running.app).cloned();
        self.documents.apps.entry(running.app.clone()).or_insert_with(|| app.unwrap_or_else(made));
    }

    /// Config of the release that serves, else of the newest, where the snapshot does not know it.
    fn newer_config(&self, running: &Assignment, serving: &Table) -> Option<Config> {
        let own =
            |route: &&tandem_types::routing::Route| table::belongs(route, &running.app, &running.environment);
        let current = serving.routes.iter().find(own).map(|route| route.pool.release);
        let newest = running.instances.iter().map(|instance| instance.release).max();
        let key = (running.app.clone(), running.environment.clone(), current.or(newest)?);
        let config = self.evidence.configs.get(&key).cloned();
        config.filter(|_| !self.documents.releases.contains_key(&key))
    }

    /// Every release that runs, with its build, and what has become of those that do not serve any more.
    pub(super) fn ensure_releases(
        &mut self,
        running: &Assignment,
        (current, serving): (Option<ReleaseNumber>, &Table),
    ) {
        let mut builds: BTreeMap<ReleaseNumber, BuildNumber> = BTreeMap::new();
        builds.extend(running.instances.iter().map(|instance| (instance.release, instance.build)));
        for (number, build) in builds {
            self.ensure_build(running, (build, serving));
            self.ensure_release(running, (number, build));
        }
        let now = self.now;
        let own = |release: &&mut Release| {
            (&release.app, &release.environment) == (&running.app, &running.environment)
        };
        for release in self.documents.releases.values_mut().filter(own) {
            if Some(release.number) == current {
                if release.status != ReleaseStatus::Current {
                    release.status = ReleaseStatus::Current;
                    release.took_traffic = Some(now);
                }
            } else if release.status == ReleaseStatus::Current {
                release.status = ReleaseStatus::Superseded;
                release.lost_traffic = Some(now);
            } else if release.status == ReleaseStatus::Pending {
                release.status = ReleaseStatus::Failed;
            }
        }
    }

    fn ensure_release(&mut self, running: &Assignment, (number, build): (ReleaseNumber, BuildNumber)) {
        let key = (running.app.clone(), running.environment.clone(), number);
        if self.documents.releases.contains_key(&key) {
            return;
        }
        let found = self.evidence.found.releases.get(&key).cloned();
        let config = || {
            let given = self.evidence.configs.get(&key).cloned();
            let place = (running.app.clone(), running.environment.clone());
            let next = self.documents.environments.get(&place);
            given.or_else(|| next.map(|environment| environment.config.clone())).unwrap_or_default()
        };
        let made = || Release {
            app: running.app.clone(),
            environment: running.environment.clone(),
            number,
            build,
            config: config(),
            cause: Cause {
                actor: ACTOR.to_owned(),
                action: "store.restore".to_owned(),
                reason: "it ran when the store was restored".to_owned(),
                subject: format!("{}/{}", running.app, running.environment),
            },
            message: "found running when the store was restored".to_owned(),
            created: self.now,
            rollout: RolloutNumber(0),
            status: ReleaseStatus::Superseded,
            took_traffic: Some(self.now),
            lost_traffic: Some(self.now),
        };
        let release = found.unwrap_or_else(made);
        self.documents.releases.insert(key, release);
    }

    fn ensure_build(&mut self, running: &Assignment, (number, serving): (BuildNumber, &Table)) {
        let key = (running.app.clone(), number);
        if self.documents.builds.contains_key(&key) {
            return;
        }
        let Some(assigned) = running.builds.get(&number) else { return };
        let digest = assigned.subtrees.first().map_or(Digest([0; 32]), |subtree| subtree.tree);
        let made = || Build {
            subtrees: assigned.subtrees.clone(),
            spec: spec(running, (number, assigned), serving),
            interpreter: assigned.interpreter.clone(),
            warnings: vec!["put together from what ran when the store was restored".to_owned()],
            ..Build::new(running.app.clone(), number, digest, self.now)
        };
        let build = self.evidence.found.builds.get(&key).cloned().unwrap_or_else(made);
        self.documents.builds.insert(key, build);
    }
}

/// What runs, as far as instances and routes tell. The release phase is behind it, and the next deploy brings its own.
fn spec(running: &Assignment, (number, build): (BuildNumber, &AssignedBuild), serving: &Table) -> AppSpec {
    let own = running.instances.iter().filter(|instance| instance.build == number);
    let processes = own.map(|instance| (instance.process.clone(), instance.spec.clone())).collect();
    let routes = || serving.routes.iter().filter(|r| table::belongs(r, &running.app, &running.environment));
    let folder = |trees: &[Digest]| {
        let subtree = build.subtrees.iter().find(|subtree| Some(&subtree.tree) == trees.first())?;
        subtree.mount.strip_prefix(APP).map(str::to_owned)
    };
    let folders = routes().flat_map(|route| &route.static_folders);
    let folders = folders.filter_map(|found| Some((found.prefix.clone(), folder(&found.trees)?)));
    let mut domains: Vec<_> = routes().map(|route| route.domain.clone()).collect();
    domains.sort();
    domains.dedup();
    AppSpec {
        root: build.root.clone(),
        processes,
        static_folders: folders.collect(),
        volumes: build.volumes.clone(),
        domains,
        https: routes().find_map(|route| route.https),
        path: build.path.clone(),
        environment: build.environment.clone(),
        ..AppSpec::default()
    }
}
