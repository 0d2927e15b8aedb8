//! The documents of a whole store as values, and what two states of them differ in.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use tandem_types::api::Installation;
use tandem_types::app::App;
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::document::{Document, Kind, kind_name};
use tandem_types::environment::Environment;
use tandem_types::release::Release;
use tandem_types::rollout::Rollout;
use tandem_types::routing::RoutingDocument;
use tandem_types::session::Session;
use tandem_types::{
    AppName, BuildNumber, EnvironmentName, HostName, JobId, ReleaseNumber, RolloutNumber, keys,
};

use super::Place;
use crate::draft::Change;

/// All documents that a restore has to do with. Of others, and of what cannot be understood, nothing is in here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Documents {
    pub(crate) apps: BTreeMap<AppName, App>,
    pub(crate) environments: BTreeMap<Place, Environment>,
    pub(crate) releases: BTreeMap<(AppName, EnvironmentName, ReleaseNumber), Release>,
    pub(crate) builds: BTreeMap<(AppName, BuildNumber), Build>,
    pub(crate) rollouts: BTreeMap<(AppName, EnvironmentName, RolloutNumber), Rollout>,
    pub(crate) sessions: BTreeMap<(AppName, EnvironmentName, JobId), Session>,
    pub(crate) assignments: BTreeMap<(HostName, AppName, EnvironmentName), Assignment>,
    pub(crate) installation: Option<Installation>,
    pub(crate) routing: Option<RoutingDocument>,
}

impl Documents {
    /// Takes a document in. One of a key that is there already takes its place.
    pub fn add(&mut self, document: &Document) {
        if let Some(app) = value::<App>(document) {
            self.apps.insert(app.name.clone(), app);
        } else if let Some(environment) = value::<Environment>(document) {
            let place = (environment.app.clone(), environment.name.clone());
            self.environments.insert(place, environment);
        } else if let Some(release) = value::<Release>(document) {
            let key = (release.app.clone(), release.environment.clone(), release.number);
            self.releases.insert(key, release);
        } else if let Some(build) = value::<Build>(document) {
            self.builds.insert((build.app.clone(), build.number), build);
        } else if let Some(rollout) = value::<Rollout>(document) {
            let key = (rollout.app.clone(), rollout.environment.clone(), rollout.number);
            self.rollouts.insert(key, rollout);
        } else if let Some(session) = value::<Session>(document) {
            let key = (session.app.clone(), session.environment.clone(), session.id);
            self.sessions.insert(key, session);
        } else if let Some(assignment) = value::<Assignment>(document) {
            let host = document.key.strip_prefix(keys::HOSTS).and_then(|rest| rest.split('/').next());
            if let Some(host) = host.and_then(|host| host.parse().ok()) {
                let key = (host, assignment.app.clone(), assignment.environment.clone());
                self.assignments.insert(key, assignment);
            }
        } else if let Some(installation) = value::<Installation>(document) {
            self.installation = Some(installation);
        } else if let Some(routing) = value::<RoutingDocument>(document) {
            self.routing = Some(routing);
        }
    }

    /// What has to be written so that `before` becomes this. Nothing is ever deleted.
    pub(crate) fn changes_from(self, before: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        changes.extend(news(self.apps, &before.apps).map(|(_, app)| Change::App(Box::new(app))));
        let environments = news(self.environments, &before.environments);
        changes.extend(environments.map(|(_, one)| Change::Environment(Box::new(one))));
        changes.extend(news(self.builds, &before.builds).map(|(_, one)| Change::Build(Box::new(one))));
        changes.extend(news(self.releases, &before.releases).map(|(_, one)| Change::Release(Box::new(one))));
        changes.extend(news(self.rollouts, &before.rollouts).map(|(_, one)| Change::Rollout(Box::new(one))));
        changes.extend(news(self.sessions, &before.sessions).map(|(_, one)| Change::Session(Box::new(one))));
        let assignments = news(self.assignments, &before.assignments);
        changes.extend(assignments.map(|((host, ..), one)| Change::Assignment(host, Box::new(one))));
        if self.installation != before.installation {
            changes.extend(self.installation.map(|one| Change::Installation(Box::new(one))));
        }
        if self.routing != before.routing {
            changes.extend(self.routing.map(|one| Change::Routing(Box::new(one))));
        }
        changes
    }
}

/// The body, where the document is of this kind, in whatever version.
fn value<T: Kind + DeserializeOwned>(document: &Document) -> Option<T> {
    if kind_name(&document.kind) != kind_name(T::KIND) {
        return None;
    }
    serde_json::from_value(document.body.clone()).ok()
}

fn news<K: Ord, V: PartialEq>(
    after: BTreeMap<K, V>,
    before: &BTreeMap<K, V>,
) -> impl Iterator<Item = (K, V)> {
    after.into_iter().filter(|(key, value)| before.get(key) != Some(value))
}
