//! Volumes: where they are, who uses them, and who carried them in or out. What is in them is the runners' affair.

use std::collections::{BTreeMap, BTreeSet};

use tandem_rules::placement;
use tandem_store::Transaction;
use tandem_types::build::Build;
use tandem_types::environment::Environment;
use tandem_types::problem::Problem;
use tandem_types::release::Release;
use tandem_types::volume::{VolumeFound, VolumeImported, VolumeLine};
use tandem_types::{AppName, EnvironmentName, HostName, ReleaseNumber, keys};

use crate::handle::Handle;
use crate::mirror::Mirror;
use crate::place::Place;
use crate::problem;
use crate::ps::LogSource;
use crate::shared::cause;
use crate::world;

/// A volume and the environment that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePlace {
    /// The environment.
    pub place: Place,
    /// The volume's name.
    pub name: String,
}

/// Where a volume is, and as whom its files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeHost {
    /// The runner that has it.
    pub runner: LogSource,
    /// User and group of the environment.
    pub uid: u32,
}

/// App, environment and name of a volume.
type Key = (AppName, EnvironmentName, String);

impl Handle {
    /// The runner that has an environment's volumes: where it runs, or ran last, as for every instance with a volume.
    ///
    /// # Errors
    /// `app_not_found`, `environment_not_found`; `no_runner` where none reports; `runner_unreachable` where that one does not
    /// report, or is on another machine.
    pub fn volume_host(&self, place: &Place) -> Result<VolumeHost, Problem> {
        let environment = self.environment(place)?;
        let runners = self.runners();
        let live: Vec<_> =
            runners.iter().filter(|found| found.live).map(|found| found.host.clone()).collect();
        let assigned = self.shared.look(|mirror| world::assigned(mirror, place));
        let home = placement::home(&assigned, &live).ok_or_else(|| {
            Problem::new(503, "no_runner", "no runner reports, and volumes lie with the runners")
                .hint("tandem status")
        })?;
        match runners.into_iter().find(|runner| runner.host == home) {
            Some(runner) if runner.live && runner.here => Ok(VolumeHost { runner, uid: environment.uid }),
            runner => {
                let is_elsewhere = runner.is_some_and(|runner| !runner.here);
                let why = if is_elsewhere { "is on another machine" } else { "does not report" };
                Err(volumes_unreachable(&home, why))
            }
        }
    }

    /// Whether a release of its environment declares a volume of this name.
    #[must_use]
    pub fn declares_volume(&self, at: &VolumePlace) -> bool {
        self.declared_names(&at.place).contains(&at.name)
    }

    /// The refusal of a volume that is not there and that no release declares, with the name that was most likely meant.
    #[must_use]
    pub fn volume_not_found(&self, at: &VolumePlace) -> Problem {
        let declared = self.declared_names(&at.place);
        let hint = match problem::nearest(&at.name, declared.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}? `tandem volume list` shows all"),
            None => "`tandem volume list` shows all; one that is new is declared under [volumes] in tandem.toml and deployed \
                     first"
                .to_owned(),
        };
        let title = format!("there is no volume {} of {}, and no release declares it", at.name, at.place);
        Problem::new(404, "volume_not_found", title).hint(hint)
    }

    fn declared_names(&self, place: &Place) -> BTreeSet<String> {
        self.shared.look(|mirror| {
            let prefix = keys::releases(&place.app, &place.environment);
            let releases = mirror.list::<Release>(&prefix);
            let builds = releases
                .filter_map(|(_, found)| mirror.value::<Build>(&keys::build(&place.app, found.value.build)));
            builds.flat_map(|build| build.spec.volumes.keys().cloned().collect::<Vec<_>>()).collect()
        })
    }

    /// Refuses to exchange a volume while a rollout of its environment goes on, which may be in the middle of a migration, and
    /// while a one-off command is open, which nobody ends but a person.
    ///
    /// # Errors
    /// `rollout_in_progress`, `volume_in_use`.
    pub fn admit_import(&self, at: &VolumePlace) -> Result<(), Problem> {
        let Place { app, environment } = &at.place;
        let prefix = keys::rollouts(app, environment);
        let under_way =
            self.shared.look(|mirror| mirror.unfinished(&prefix).next().map(|found| found.value.number));
        let Some(number) = under_way else { return self.ensure_no_session(at) };
        let title = format!(
            "{number} of {} goes on, and may be changing what is in the volume {}",
            at.place, at.name
        );
        let hint = format!(
            "`tandem rollout watch {number} {}` shows how far it is; then import",
            at.place.arguments()
        );
        Err(Problem::new(409, "rollout_in_progress", title).hint(hint))
    }

    fn ensure_no_session(&self, at: &VolumePlace) -> Result<(), Problem> {
        let open = self.sessions(&at.place)?.into_iter().filter(|session| !session.is_over());
        let open: Vec<_> = open.map(|session| (session.id, session.command)).collect();
        if open.is_empty() {
            return Ok(());
        }
        let named: Vec<_> = open.iter().map(|(id, command)| format!("{id} ({command})")).collect();
        let arguments = at.place.arguments();
        let ends = open.iter().map(|(id, _)| format!("`tandem sessions --end {id} {arguments}` ends {id}"));
        let ends: Vec<_> = ends.collect();
        let runs = if named.len() == 1 { "runs" } else { "run" };
        let title = format!("{} of {} still {runs}, with its volumes open", named.join(", "), at.place);
        Err(Problem::new(409, "volume_in_use", title)
            .hint(format!("{}; nothing was changed", ends.join(", "))))
    }

    /// Notes that somebody takes a volume's content out, before they have it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn note_export(&self, actor: &str, at: &VolumePlace, reason: &str) -> Result<(), Problem> {
        self.note_volume(actor, ("volume.export", &said(&at.name, reason)), at).await
    }

    /// Notes that a volume is about to get another content.
    ///
    /// # Errors
    /// The store fails.
    pub async fn note_import(&self, actor: &str, at: &VolumePlace, reason: &str) -> Result<(), Problem> {
        self.note_volume(actor, ("volume.import", &said(&at.name, reason)), at).await
    }

    /// Notes that it has it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn note_imported(
        &self,
        actor: &str,
        at: &VolumePlace,
        done: &VolumeImported,
    ) -> Result<(), Problem> {
        let what = format!("{} files, {} bytes", done.files, done.bytes);
        self.note_volume(actor, ("volume.imported", &said(&at.name, &what)), at).await
    }

    /// What a runner found, with the releases that use it.
    #[must_use]
    pub fn volume_lines(&self, host: &HostName, found: Vec<VolumeFound>) -> Vec<VolumeLine> {
        let declared = self.shared.look(declared);
        let line = |found: VolumeFound| {
            let VolumeFound { app, environment, name, seen } = found;
            let uses = declared.get(&(app.clone(), environment.clone(), name.clone()));
            let path = uses.and_then(|uses| uses.first()).map(|(_, path)| path.clone());
            let mut releases: Vec<_> = uses.into_iter().flatten().map(|(release, _)| *release).collect();
            releases.sort_unstable();
            VolumeLine { app, environment, name, path, releases, host: host.clone(), seen }
        };
        found.into_iter().map(line).collect()
    }

    /// The runners that may have volumes and report, whosever those are.
    #[must_use]
    pub fn volume_runners(&self) -> Vec<LogSource> {
        self.runners().into_iter().filter(|source| source.live).collect()
    }

    async fn note_volume(
        &self,
        actor: &str,
        (action, reason): (&str, &str),
        at: &VolumePlace,
    ) -> Result<(), Problem> {
        let note = Transaction::new(cause(actor, action, reason, &at.place)).noted();
        let noted = self.shared.commit(note).await;
        noted.map(drop).map_err(|error| problem::store("note who carries volumes", &error))
    }
}

/// A runner whose volumes cannot be carried from here.
#[must_use]
pub fn volumes_unreachable(host: &HostName, why: &str) -> Problem {
    Problem::new(502, "runner_unreachable", format!("the runner of {host} {why}, and volumes lie with it"))
        .hint(
            "volumes are carried by a runner on the server's own machine; from a runner on another one, copy \
         the folder DATA/volumes there. `tandem status` shows whether it is live",
        )
}

fn said(name: &str, reason: &str) -> String {
    if reason.is_empty() { name.to_owned() } else { format!("{name}: {reason}") }
}

/// Volume → releases that use it, the serving one first, and where they find it.
fn declared(mirror: &Mirror) -> BTreeMap<Key, Vec<(ReleaseNumber, String)>> {
    let mut all = BTreeMap::<Key, Vec<_>>::new();
    for environment in mirror.environments() {
        for release in in_use(&environment) {
            let Some(build) = build_of(mirror, &environment, release) else { continue };
            for (name, path) in &build.spec.volumes {
                let key = (environment.app.clone(), environment.name.clone(), name.clone());
                all.entry(key).or_default().push((release, path.clone()));
            }
        }
    }
    all
}

fn in_use(environment: &Environment) -> impl Iterator<Item = ReleaseNumber> {
    let warm = environment.warm.iter().map(|warm| warm.release);
    environment.current.into_iter().chain(warm)
}

fn build_of(
    mirror: &Mirror,
    environment: &Environment,
    release: ReleaseNumber,
) -> Option<std::sync::Arc<Build>> {
    let Environment { app, name, .. } = environment;
    let release = mirror.value::<Release>(&keys::release(app, name, release))?;
    mirror.value::<Build>(&keys::build(app, release.build))
}
