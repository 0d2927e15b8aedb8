//! One pass over one environment: plan, write, look again, until there is nothing to do but to wait.
//!
//! A pass holds nothing between two looks, so it may be cut off at any await and begun anew.

use std::sync::Arc;

use tandem_kit::points::{self, Point};
use tandem_rules::rollout::{self, Built, Plan};
use tandem_rules::{destroy, upkeep};
use tandem_store::Error;
use tandem_types::assignment::Assignment;
use tandem_types::build::Build;
use tandem_types::document::Lease;
use tandem_types::environment::Sealed;
use tandem_types::event::Event;
use tandem_types::problem::Problem;
use tandem_types::rollout::{Rollout, RolloutState};
use tandem_types::{BuildNumber, JobId, Timestamp};

use super::builds::{Builds, Order, Origin};
use super::followers::{Followers, Job};
use super::static_files::StaticFiles;
use super::{apply, farewell};
use crate::observing::Observing;
use crate::place::Place;
use crate::problem;
use crate::shared::Shared;
use crate::world::{Gathered, Surroundings, gather};

/// Looks in one pass; a plan that is never satisfied would be a defect, and must not starve the rest.
const MOST_LOOKS: usize = 100;

/// See the module.
pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) builds: Builds,
    pub(super) followers: Followers,
    pub(super) static_files: StaticFiles,
    pub(super) observing: Arc<Observing>,
}

/// What a look came to.
enum Look {
    /// Something was written, or somebody else did: look again.
    Changed,
    /// Nothing to do, at the latest until then.
    Quiet(Option<Timestamp>),
}

impl Engine {
    /// Brings the environment as far as it goes now. Returns when to look again at the latest.
    ///
    /// # Errors
    /// The store fails, or the lease is lost.
    pub(super) async fn pass(&self, place: &Place, lease: &Lease) -> Result<Option<Timestamp>, Error> {
        for _ in 0..MOST_LOOKS {
            let Some(gathered) = self.gather(place, lease).await else {
                self.builds.keep_only(place, &[]);
                self.followers.forget(place);
                return Ok(None);
            };
            if let Look::Quiet(until) = self.look(place, &gathered, lease).await? {
                return Ok(until);
            }
        }
        tracing::warn!("{place} is planned again and again without coming to rest");
        Ok(Some(self.shared.now()))
    }

    async fn gather(&self, place: &Place, lease: &Lease) -> Option<Gathered> {
        let around = Surroundings {
            hosts: self.shared.hosts.clone(),
            fence: lease.fence,
            observing_since: self.observing.since(),
        };
        let mut gathered = self.shared.look(|mirror| gather(mirror, place, &around))?;
        self.static_files.fill_in(&self.shared, &mut gathered.world).await;
        Some(gathered)
    }

    async fn look(&self, place: &Place, gathered: &Gathered, lease: &Lease) -> Result<Look, Error> {
        let mut until: Option<Timestamp> = None;
        let mut building = Vec::new();
        for rollout in &gathered.world.rollouts {
            self.tell(rollout).await;
            let plan = self.plan(place, gathered, rollout);
            self.tell_waiting(rollout, &plan, gathered);
            if !plan.changes.is_empty() {
                return self.write(place, (gathered, &plan), lease).await;
            }
            building.extend(plan.build.map(|_| rollout.number));
            until = earliest(until, plan.look_again);
        }
        self.builds.keep_only(place, &building);
        if gathered.world.app.destroying.is_some() {
            return self.destroy(place, gathered, lease).await;
        }
        let plan = upkeep::plan(&gathered.world, self.shared.now());
        if !plan.changes.is_empty() {
            return self.write(place, (gathered, &plan), lease).await;
        }
        Ok(Look::Quiet(earliest(until, plan.look_again)))
    }

    /// Takes an environment of an app that is being destroyed one step further; the last one takes the app along.
    async fn destroy(&self, place: &Place, gathered: &Gathered, lease: &Lease) -> Result<Look, Error> {
        let plan = destroy::plan(&gathered.world, self.shared.now());
        if !plan.changes.is_empty() {
            return self.write(place, (gathered, &plan), lease).await;
        }
        if destroy::has_stopped(&gathered.world) {
            match farewell::delete_app(&self.shared, &place.app, lease).await {
                Ok(true) | Err(Error::Conflict { .. }) => return Ok(Look::Changed),
                Ok(false) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Look::Quiet(plan.look_again))
    }

    async fn write(
        &self,
        place: &Place,
        (gathered, plan): (&Gathered, &Plan),
        lease: &Lease,
    ) -> Result<Look, Error> {
        let transaction = apply::transaction(place, gathered, &plan.changes, lease);
        let entered = apply::entered(&gathered.world, &plan.changes);
        if let Some(state) = entered {
            points::reached(Point::Entering(state)).await;
        }
        match self.shared.commit(transaction).await {
            Ok(_) => {
                points::reached(apply::point_after(&plan.changes, entered)).await;
                if let Some(rollout) = apply::rollout(&plan.changes) {
                    self.tell(rollout).await;
                }
                Ok(Look::Changed)
            }
            Err(Error::Conflict { key }) => {
                tracing::debug!("{key} changed while {place} was planned; planning again");
                Ok(Look::Changed)
            }
            Err(error) => Err(error),
        }
    }

    /// Plans, with the result of the build where there is one; starts the build where there is none.
    fn plan(&self, place: &Place, gathered: &Gathered, rollout: &Arc<Rollout>) -> Plan {
        let (world, now) = (&gathered.world, self.shared.now());
        let plan = rollout::plan(world, rollout.number, now);
        let Some(build) = plan.build.filter(|_| plan.changes.is_empty()) else { return plan };
        let key = (place.clone(), rollout.number);
        match self.builds.result(&key) {
            None => match self.start_build(gathered, rollout, build) {
                Ok(()) => plan,
                Err(problem) => rollout::build_failed(world, rollout.number, problem, now),
            },
            Some(Err(problem)) => rollout::build_failed(world, rollout.number, problem, now),
            Some(Ok(build)) => match self.generated(gathered, &build) {
                Ok(generated) => rollout::built(world, rollout.number, Built { build, generated }, now),
                Err(problem) => rollout::build_failed(world, rollout.number, problem, now),
            },
        }
    }

    /// Starts the build unless it runs. One whose story cannot be kept is not begun: nobody could follow it.
    fn start_build(
        &self,
        gathered: &Gathered,
        rollout: &Rollout,
        number: BuildNumber,
    ) -> Result<(), Problem> {
        let Some(origin) = Origin::of(rollout) else { return Ok(()) };
        let place = place_of(rollout);
        let order = Order { app: place.app.clone(), number, origin, uid: gathered.world.environment.uid };
        let key = (place.app.clone(), place.environment.clone(), rollout.number);
        let log = self.shared.logs.log(&key, rollout.created).map_err(|error| {
            let hint = format!(
                "make room on the disk, or mend the owner of {}, then type `tandem deploy` again",
                self.shared.logs.path(&key).display()
            );
            Problem { code: "event_log_failed".to_owned(), ..problem::internal("begin the build", &error) }
                .hint(hint)
        })?;
        self.builds.ensure(&(place, rollout.number), order, log);
        Ok(())
    }

    /// Config that a first release gets because its framework does not start without: Django's `SECRET_KEY`.
    fn generated(&self, gathered: &Gathered, build: &Build) -> Result<Vec<(String, Sealed)>, Problem> {
        let is_django = build.spec.environment.contains_key("DJANGO_SETTINGS_MODULE");
        let has_key = gathered.world.environment.config.values.contains_key("SECRET_KEY");
        if !is_django || has_key || !gathered.world.releases.is_empty() {
            return Ok(Vec::new());
        }
        let seal = || -> Result<Sealed, Box<dyn std::error::Error>> {
            let mut random = [0_u8; 32];
            getrandom::fill(&mut random).map_err(|error| error.to_string())?;
            Ok(self.shared.keyring.seal(blake3::Hash::from_bytes(random).to_hex().as_str())?)
        };
        let sealed = seal().map_err(|error| problem::internal("make a secret key", &*error))?;
        Ok(vec![("SECRET_KEY".to_owned(), sealed)])
    }

    // The story.

    /// Brings the event log up to the document, behind the output of jobs that have ended.
    async fn tell(&self, rollout: &Rollout) {
        let place = place_of(rollout);
        let key = (place.app.clone(), place.environment.clone(), rollout.number);
        let log = match self.shared.logs.log(&key, rollout.created) {
            Ok(log) => log,
            Err(error) => return tracing::error!("failed to {error}"),
        };
        for (job, state, source) in [
            (rollout.smoke_job, RolloutState::Smoking, "smoke"),
            (rollout.release_job, RolloutState::Releasing, "release"),
        ] {
            match job {
                Some(id) if rollout.state == state => {
                    if let Some(api) = self.runner_of(&place, id) {
                        let place = place.clone();
                        self.followers.ensure(Job { id, place, source, api, log: log.clone() });
                    }
                }
                Some(id) => self.followers.settle(id).await,
                None => {}
            }
        }
        if let Err(error) = log.catch_up(rollout) {
            tracing::warn!("failed to {error}");
        }
        if log.is_finished() {
            self.shared.logs.close(&key);
        }
    }

    fn tell_waiting(&self, rollout: &Rollout, plan: &Plan, gathered: &Gathered) {
        let other = plan.waiting_for.and_then(|number| gathered.world.rollout(number));
        let Some(other) = other else { return };
        let event = Event::Waiting { rollout: other.number, actor: other.cause.actor.clone() };
        let key = (rollout.app.clone(), rollout.environment.clone(), rollout.number);
        let told = self.shared.logs.log(&key, rollout.created).and_then(|log| log.append_once(event));
        if let Err(error) = told {
            tracing::warn!("failed to {error}");
        }
    }

    fn runner_of(&self, place: &Place, job: JobId) -> Option<tandem_types::instance::Address> {
        self.shared.look(|mirror| {
            let hosts = crate::world::hosts(mirror);
            let (_, report) = hosts.iter().find(|(host, _)| {
                let key = tandem_types::keys::assignment(host, &place.app, &place.environment);
                let assignment = mirror.value::<Assignment>(&key);
                assignment.is_some_and(|assignment| assignment.jobs.iter().any(|other| other.id == job))
            })?;
            Some(report.value.api.clone())
        })
    }
}

pub(super) fn place_of(rollout: &Rollout) -> Place {
    Place { app: rollout.app.clone(), environment: rollout.environment.clone() }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
