//! `app destroy`: written into the app, which from then on leaves step by step (see [`tandem_rules::destroy`]), carried
//! out by the reconciler whether or not the caller stays. Volumes stay on the disk.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use tandem_rules::destroy;
use tandem_store::{Error, Transaction};
use tandem_types::app::App;
use tandem_types::destroy::{Destroying, Progress};
use tandem_types::document::Cause;
use tandem_types::environment::Environment;
use tandem_types::problem::Problem;
use tandem_types::{AppName, Fence, keys};

use super::is_running;
use crate::handle::Handle;
use crate::mirror::{Mirror, Versioned};
use crate::place::Place;
use crate::problem;
use crate::shared::{MOST_ATTEMPTS, Shared, cause};
use crate::start::busy;
use crate::world::{Surroundings, gather};

/// Longest time between two looks at what a destroy waits for: that somebody fell silent is no news.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Handle {
    /// Has an app destroyed: taken out of the routes, drained, stopped, and its releases and config forgotten. Its volumes
    /// stay on the disk. Returns once that is written down. An app that runs is destroyed only when that was confirmed;
    /// asking twice is the same as once.
    ///
    /// # Errors
    /// `app_not_found`, `rollout_in_progress`, `app_running`.
    pub async fn destroy_app(&self, actor: &str, name: &AppName, confirmed: bool) -> Result<(), Problem> {
        let place = Place::production(name.clone());
        let cause = Cause { subject: name.to_string(), ..cause(actor, "destroy.start", "", &place) };
        for _ in 0..MOST_ATTEMPTS {
            self.app(name)?;
            let Some(stored) = self.shared.get::<App>(&keys::app(name)) else { continue };
            if stored.value.destroying.is_some() {
                return Ok(());
            }
            self.check_idle(name, confirmed)?;
            match self.shared.commit(self.destroying(&stored, &cause)).await {
                Ok(_) => return Ok(()),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(problem::store("destroy the app", &error)),
            }
        }
        Err(busy(&place))
    }

    fn check_idle(&self, name: &AppName, confirmed: bool) -> Result<(), Problem> {
        let app = self.app(name)?;
        let under_way = app.environments.iter().find_map(|e| Some((e.name.clone(), e.rollout?)));
        if let Some((environment, rollout)) = under_way {
            let place = Place { app: name.clone(), environment };
            let title = format!("{rollout} of {place} is under way");
            return Err(Problem::new(409, "rollout_in_progress", title)
                .hint(format!("tandem rollout abort {rollout} {}", place.arguments())));
        }
        let runs = self.shared.look(|mirror| {
            let mut own = mirror.environments().filter(|environment| environment.app == *name);
            own.any(|environment| is_running(mirror, &environment))
        });
        if runs && !confirmed {
            let title = format!("{name} is running");
            return Err(Problem::new(409, "app_running", title)
                .hint(format!("tandem app destroy {name} --confirm {name}")));
        }
        Ok(())
    }

    /// The app as one that goes, and its environments as such that serve nothing any more. Writing them makes whatever
    /// was begun in one of them meanwhile conflict with this.
    fn destroying(&self, stored: &Versioned<App>, cause: &Cause) -> Transaction {
        let app = &*stored.value;
        let destroying =
            Destroying { cause: cause.clone(), since: self.shared.now(), environments: Default::default() };
        let going = App { destroying: Some(destroying), ..app.clone() };
        let transaction =
            Transaction::new(cause.clone()).put(keys::app(&app.name), &going, stored.unchanged());
        let environments: Vec<_> = self.shared.look(|mirror| {
            let own = mirror.environments().filter(|environment| environment.app == app.name);
            let keys = own.map(|environment| keys::environment(&app.name, &environment.name));
            keys.filter_map(|key| Some((mirror.get::<Environment>(&key)?, key))).collect()
        });
        environments.into_iter().fold(transaction, |all, (stored, key)| {
            let idle = Environment { current: None, warm: Vec::new(), ..(*stored.value).clone() };
            all.put(key, &idle, stored.unchanged())
        })
    }

    /// What the destruction of an app waits for, whenever that changes, until the app is gone.
    ///
    /// # Errors
    /// `app_not_found`; `app_not_destroying` where nobody asked for it.
    pub fn destroy_progress(
        &self,
        name: &AppName,
    ) -> Result<impl Stream<Item = Progress> + Send + use<>, Problem> {
        self.app(name)?;
        let app = self.shared.value::<App>(&keys::app(name)).filter(|app| app.destroying.is_some());
        let app = app.ok_or_else(|| {
            Problem::new(409, "app_not_destroying", format!("{name} is not being destroyed"))
                .hint(format!("tandem app show {name}"))
        })?;
        let follower = Follower { shared: Arc::clone(&self.shared), app, told: None };
        Ok(stream::unfold(follower, Follower::next))
    }
}

/// Follows the end of one app, and not of a namesake that came after it.
struct Follower {
    shared: Arc<Shared>,
    app: Arc<App>,
    told: Option<Progress>,
}

impl Follower {
    async fn next(mut self) -> Option<(Progress, Self)> {
        if self.told.as_ref().is_some_and(|told| told.destroyed) {
            return None;
        }
        let mut generation = self.shared.generation.subscribe();
        loop {
            generation.mark_unchanged();
            let progress = self.shared.look(|mirror| self.progress(mirror));
            if self.told.as_ref() != Some(&progress) {
                self.told = Some(progress.clone());
                return Some((progress, self));
            }
            let _ = tokio::time::timeout(LOOK_EVERY, generation.changed()).await;
        }
    }

    fn progress(&self, mirror: &Mirror) -> Progress {
        let name = &self.app.name;
        let same = |app: &Arc<App>| app.created == self.app.created && app.destroying.is_some();
        if !mirror.value::<App>(&keys::app(name)).is_some_and(|app| same(&app)) {
            return Progress { waiting_for: Vec::new(), destroyed: true };
        }
        let waiting_for = waiting_for(&self.shared, mirror, name);
        Progress { waiting_for, destroyed: false }
    }
}

/// What the destruction of an app waits for, over all its environments; nothing where it is not being destroyed.
pub(crate) fn waiting_for(shared: &Shared, mirror: &Mirror, app: &AppName) -> Vec<String> {
    let now = shared.now();
    let around =
        Surroundings { hosts: shared.hosts.clone(), fence: Fence(0), observing_since: shared.started };
    let own = mirror.environments().filter(|environment| environment.app == *app);
    let places = own.map(|environment| Place { app: app.clone(), environment: environment.name.clone() });
    let worlds = places.filter_map(|place| gather(mirror, &place, &around));
    worlds.flat_map(|gathered| destroy::progress(&gathered.world, now)).collect()
}
