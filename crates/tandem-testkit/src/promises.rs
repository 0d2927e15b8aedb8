//! What Tandem promises whatever was killed, asked of a living installation: [`broken`] names what does not hold.
//!
//! The same questions after each fault: did every rollout end and does what serves agree with it, does only that run
//! which should, did nothing die by itself, did a release phase run twice, is anything left without an owner, is every lock
//! held by who is meant to have it, is every acknowledged transaction there and none by half.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use tandem_types::assignment::{Assignment, Desired};
use tandem_types::build::Build;
use tandem_types::document::JournalEntry;
use tandem_types::environment::Environment;
use tandem_types::instance::{HostObservation, InstanceState};
use tandem_types::release::{Release, ReleaseStatus};
use tandem_types::rollout::{Rollout, RolloutState};
use tandem_types::routing::RoutingDocument;
use tandem_types::{InstanceId, ReleaseNumber};

use crate::documents::{self, Documents, journal};
use crate::installation::Installation;
use crate::locks;
use crate::wait::{self, within};

/// Group of all shims, which have no limits.
const SHIMS: &str = "shims";
/// What a process that is neither an app's nor a shim says of itself; the last one is the harness' own.
const ROLES: [&str; 5] = [" up ", " server ", " runner ", " balancer ", " heir "];

/// Time between two looks at an installation that is not yet as it should be.
const AGAIN: Duration = Duration::from_millis(100);

/// How an installation stood before the fault.
#[derive(Debug, Clone)]
pub struct Before {
    journal: Vec<JournalEntry>,
    /// The processes of each instance, by id and start.
    instances: BTreeMap<String, BTreeSet<(i32, u64)>>,
}

impl Before {
    /// How it stands now.
    #[must_use]
    pub fn look(installation: &Installation) -> Self {
        Self { journal: journal(installation), instances: instances(installation) }
    }
}

/// Waits until every promise holds, for at most `limit`, and returns what does not. Of instances in `killed` the death is
/// no surprise.
#[must_use]
pub fn broken(
    installation: &Installation,
    (before, killed): (&Before, &BTreeSet<String>),
    limit: Duration,
) -> Vec<String> {
    let mut found = Vec::new();
    let _ = within(limit, || {
        found = look(installation, before, killed);
        if !found.is_empty() {
            // A look costs what other cases need.
            wait::pass(AGAIN);
        }
        found.is_empty().then_some(())
    });
    found
}

/// Processes of each instance that is in a control group of its own.
fn instances(installation: &Installation) -> BTreeMap<String, BTreeSet<(i32, u64)>> {
    let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for process in installation.traces().processes() {
        if let Some(unit) = process.unit.filter(|unit| unit.starts_with('i')) {
            found.entry(unit).or_default().insert((process.id.as_raw(), process.started));
        }
    }
    found
}

fn look(installation: &Installation, before: &Before, killed: &BTreeSet<String>) -> Vec<String> {
    let documents = Documents::read(installation);
    let assignments: Vec<Assignment> = documents.all();
    let mut broken = unfinished(&documents);
    broken.extend(environments(&documents, &assignments));
    broken.extend(not_as_they_should(&documents, &assignments));
    if !broken.is_empty() {
        // What follows is asked of what has settled, and costs far more.
        return broken;
    }
    broken.extend(documents::broken(&before.journal, &journal(installation), &documents));
    broken.extend(release_phases(installation, &documents));
    let assigned = || assignments.iter().flat_map(|assignment| &assignment.instances);
    let owners: BTreeSet<String> = assigned().map(|instance| instance.id.to_string()).collect();
    // One that must be alone is stopped for its successor, and started again where that does not come up.
    let lasting = assigned().filter(|instance| !instance.spec.singleton);
    let lasting: BTreeSet<String> = lasting.map(|instance| instance.id.to_string()).collect();
    broken.extend(died(before, killed, &lasting, &instances(installation)));
    broken.extend(without_owner(installation, &owners));
    broken.extend(aside(installation));
    broken.extend(locks::broken(installation, &documents));
    broken
}

fn unfinished(documents: &Documents) -> Vec<String> {
    let rollouts: Vec<Rollout> = documents.all();
    let open = rollouts.iter().filter(|rollout| !rollout.state.is_final());
    open.map(|rollout| format!("{} is still {:?}", rollout.number, rollout.state)).collect()
}

/// What serves is the release that the environment names, and that is what the last completed rollout brought.
fn environments(documents: &Documents, assignments: &[Assignment]) -> Vec<String> {
    let mut broken = Vec::new();
    let routing: Vec<RoutingDocument> = documents.all();
    for environment in documents.all::<Environment>() {
        let same = |app: &_, name: &_| *app == environment.app && *name == environment.name;
        let rollouts: Vec<Rollout> = documents.all();
        let completed = |rollout: &&Rollout| {
            same(&rollout.app, &rollout.environment) && rollout.state == RolloutState::Completed
        };
        let last = rollouts.iter().filter(completed).max_by_key(|rollout| rollout.number);
        let brought = last.and_then(|rollout| rollout.to);
        if brought != environment.current {
            broken.push(format!(
                "{:?} is current, the last completed rollout brought {brought:?}",
                environment.current
            ));
        }
        let releases: Vec<Release> = documents.all();
        let current = releases.iter().filter(|release| release.status == ReleaseStatus::Current);
        let current: Vec<_> = current.map(|release| release.number).collect();
        if current != environment.current.into_iter().collect::<Vec<_>>() {
            broken.push(format!("{current:?} say that they are current, {:?} is", environment.current));
        }
        let Some(release) = environment.current else { continue };
        let assignments: Vec<_> = assignments.iter().filter(|a| same(&a.app, &a.environment)).collect();
        broken.extend(staff(documents, (&environment, release), &assignments));
        let wanted: BTreeSet<InstanceId> =
            running(&assignments, release).filter(|i| i.process.is_web()).map(|i| i.id).collect();
        for routing in &routing {
            let routes =
                routing.serving.routes.iter().filter(|route| same(&route.pool.app, &route.pool.environment));
            for route in routes {
                let members: BTreeSet<_> = route.pool.members.iter().map(|member| member.instance).collect();
                if members != wanted || route.pool.release != release {
                    broken.push(format!(
                        "the table leads to {members:?} of {}, {wanted:?} of {release} run",
                        route.pool.release
                    ));
                }
            }
            if routing.prepared.is_some() {
                broken.push("an epoch is still prepared".to_owned());
            }
        }
    }
    broken
}

fn running<'a>(
    assignments: &'a [&Assignment],
    release: ReleaseNumber,
) -> impl Iterator<Item = &'a tandem_types::assignment::AssignedInstance> {
    let all = assignments.iter().flat_map(|assignment| &assignment.instances);
    all.filter(move |instance| instance.release == release && instance.desired == Desired::Run)
}

/// As many of each type as there should be.
fn staff(
    documents: &Documents,
    (environment, number): (&Environment, ReleaseNumber),
    assignments: &[&Assignment],
) -> Vec<String> {
    let release = documents.all::<Release>().into_iter().find(|release| release.number == number);
    let build = release.and_then(|release| {
        documents
            .all::<Build>()
            .into_iter()
            .find(|build| build.number == release.build && build.app == release.app)
    });
    let Some(build) = build else { return vec![format!("{number} serves and has no build")] };
    let mut broken = Vec::new();
    for (process, spec) in &build.spec.processes {
        let wanted = environment.scale.get(process).copied().unwrap_or(spec.instances) as usize;
        let found = running(assignments, number).filter(|instance| instance.process == *process).count();
        if found != wanted {
            broken.push(format!("{found} of {wanted} {process} of {number} should run"));
        }
    }
    broken
}

/// Every instance that should run is ready, and no other is there.
fn not_as_they_should(documents: &Documents, assignments: &[Assignment]) -> Vec<String> {
    let mut broken = Vec::new();
    let hosts: Vec<HostObservation> = documents.all();
    let seen: BTreeMap<_, _> =
        hosts.iter().flat_map(|host| &host.instances).map(|i| (i.id, i.state)).collect();
    let assigned: BTreeMap<_, _> =
        assignments.iter().flat_map(|a| &a.instances).map(|i| (i.id, i.desired)).collect();
    for (id, desired) in &assigned {
        let state = seen.get(id);
        if *desired == Desired::Stop || state != Some(&InstanceState::Ready) {
            broken.push(format!("{id} should {desired:?} and is {state:?}"));
        }
    }
    for (id, state) in seen.iter().filter(|(id, _)| !assigned.contains_key(id)) {
        broken.push(format!("{id} is {state:?}, and no assignment names it"));
    }
    for job in assignments.iter().flat_map(|assignment| &assignment.jobs) {
        broken.push(format!("{} is still assigned", job.id));
    }
    broken
}

/// The matrix' app writes its release into a volume in each release phase.
fn release_phases(installation: &Installation, documents: &Documents) -> Vec<String> {
    let file = installation.data().volumes().join("plain.production/data/releases");
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for release in text.lines() {
        *count.entry(release).or_default() += 1;
    }
    let twice = count.iter().filter(|(_, count)| **count > 1);
    let mut broken: Vec<_> =
        twice.map(|(release, count)| format!("the release phase of {release} ran {count} times")).collect();
    for rollout in documents.all::<Rollout>() {
        let Some(to) = rollout.to.filter(|_| rollout.release_job.is_some()) else { continue };
        let ran = count.contains_key(to.to_string().as_str());
        if rollout.state == RolloutState::Completed && !ran {
            broken.push(format!("{} is completed, the release phase of {to} never ran", rollout.number));
        }
    }
    broken
}

/// Instances that still should run must be the very processes that they were.
fn died(
    before: &Before,
    killed: &BTreeSet<String>,
    lasting: &BTreeSet<String>,
    now: &BTreeMap<String, BTreeSet<(i32, u64)>>,
) -> Vec<String> {
    let kept = before.instances.iter().filter(|(id, _)| lasting.contains(*id) && !killed.contains(*id));
    let lost = kept.filter(|(id, processes)| now.get(*id).is_none_or(|found| processes.is_disjoint(found)));
    lost.map(|(id, processes)| format!("{id} died: {processes:?} became {:?}", now.get(id))).collect()
}

/// Processes, control groups, folders, sockets, configs and mounts that belong to no instance.
fn without_owner(installation: &Installation, owners: &BTreeSet<String>) -> Vec<String> {
    let traces = installation.traces();
    let owned = |unit: &str| owners.contains(unit);
    let mut broken = Vec::new();
    for process in traces.processes() {
        let words = &process.words;
        let shim_of = words.split_once(" shim ").and_then(|(_, folder)| folder.rsplit('/').next());
        let fine = match (shim_of, process.unit.as_deref()) {
            (Some(unit), _) => owned(unit),
            (None, Some(unit)) => unit == SHIMS || owned(unit),
            (None, None) => ROLES.iter().any(|role| words.contains(role)),
        };
        if !fine {
            broken.push(process.to_string());
        }
    }
    let groups = traces.units().into_iter().filter(|unit| unit != SHIMS && !owned(unit));
    broken.extend(groups.map(|unit| format!("control group {unit}")));
    broken.extend(traces.mounts().into_iter().map(|line| format!("mount {line}")));
    let (runner, runtime) = (installation.data().runner(), installation.data().runtime().to_owned());
    for (folder, end) in [
        (runner.join("instances"), ""),
        (runner.join("jobs"), ""),
        (runtime.join("s"), ".sock"),
        (runtime.join("secrets"), ".json"),
    ] {
        for name in names(&folder) {
            if !name.strip_suffix(end).is_some_and(owned) {
                broken.push(format!("{}", folder.join(name).display()));
            }
        }
    }
    broken
}

/// Files that were written aside and never got their names, work folders of builds.
fn aside(installation: &Installation) -> Vec<String> {
    let data = installation.data();
    let mut broken = Vec::new();
    for folder in [data.runtime().to_owned(), data.root().to_owned()] {
        temporary(&folder, &mut broken);
    }
    for app in names(&data.build()) {
        let work = data.build().join(app).join("work");
        if work.exists() {
            broken.push(work.display().to_string());
        }
    }
    broken
}

/// Not into what apps write or what a build brought.
fn temporary(folder: &Path, found: &mut Vec<String>) {
    let aside = folder.file_name().is_some_and(|name| name == "aside");
    for name in names(folder) {
        let path = folder.join(&name);
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        let skipped = ["volumes", "trees", "home", "tools"].contains(&name.as_str());
        if aside || name.ends_with(".tmp") {
            found.push(path.display().to_string());
        } else if is_folder && !skipped {
            temporary(&path, found);
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
