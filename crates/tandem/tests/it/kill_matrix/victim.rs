//! Who is killed, and how it is found without asking anybody who may be held.

use std::collections::BTreeSet;

use nix::sys::signal::{Signal, kill};
use serde::Serialize;
use tandem_testkit::leftovers::Process;
use tandem_testkit::program::Running;

use super::world::World;

/// A part of Tandem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Victim {
    /// Server and runner, which are one process in `tandem up`; where roles run apart, the server alone.
    Server,
    /// The runner alone, where roles run apart.
    Runner,
    /// The balancer.
    Balancer,
    /// The shim of an instance that served before.
    ServingShim,
    /// The shim of an instance that was not there before.
    IncomingShim,
    /// The shim of a release phase or smoke check.
    JobShim,
    /// The program that a build runs.
    Builder,
    /// What keeps that program from the rest of the machine.
    BuildSandbox,
    /// The command line.
    Client,
    /// All of it at once, apps too, as when the power fails.
    Everything,
}

/// What was there before the case began.
pub(super) struct Known {
    /// Ids of all instances that had a process.
    pub(super) instances: BTreeSet<String>,
    /// Ids of those that served.
    pub(super) serving: BTreeSet<String>,
}

impl Known {
    pub(super) fn look(world: &World) -> Self {
        let units = world.installation().traces().units();
        Self {
            instances: units.into_iter().filter(|unit| unit.starts_with('i')).collect(),
            serving: world.serving(),
        }
    }
}

impl Victim {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Server,
        Self::Runner,
        Self::Balancer,
        Self::ServingShim,
        Self::IncomingShim,
        Self::JobShim,
        Self::Builder,
        Self::BuildSandbox,
        Self::Client,
        Self::Everything,
    ];
    /// All that may be there at a point of an installation of one `tandem up`.
    pub(super) const TOGETHER: [Self; 7] = [
        Self::Server,
        Self::Everything,
        Self::Balancer,
        Self::ServingShim,
        Self::IncomingShim,
        Self::JobShim,
        Self::Client,
    ];
    /// Those that only an installation with roles apart has.
    pub(super) const APART: [Self; 2] = [Self::Server, Self::Runner];
    /// Those that live between two points, and are held in another way.
    pub(super) const BUILD: [Self; 2] = [Self::Builder, Self::BuildSandbox];

    /// Kills it. Returns the instances that die with it; none where there is no such victim now.
    pub(super) fn kill(
        self,
        world: &mut World,
        client: &mut Running,
        known: &Known,
    ) -> Option<BTreeSet<String>> {
        match self {
            Self::Server | Self::Runner => {
                world.kill_role(self);
                return Some(BTreeSet::new());
            }
            Self::Everything => return Some(everything(world)),
            Self::Client if client.ended().is_some() => return None,
            Self::Client => {
                client.signal(Signal::SIGKILL);
                return Some(BTreeSet::new());
            }
            _ => {}
        }
        let processes = world.installation().traces().processes();
        let found = self.find(&processes, known)?;
        let _ = kill(found.id, Signal::SIGKILL);
        Some(shim_of(found).into_iter().collect())
    }

    /// All of the world's that are there now.
    pub(super) fn seen(world: &World, known: &Known, has_client: bool) -> Vec<Self> {
        let processes = world.installation().traces().processes();
        let is_there = |victim: &Self| match victim {
            Self::Server | Self::Runner | Self::Everything => true,
            Self::Client => has_client,
            _ => victim.find(&processes, known).is_some(),
        };
        world.victims().iter().copied().filter(is_there).collect()
    }

    /// Whether there is one.
    pub(super) fn is_there(self, world: &World, known: &Known) -> bool {
        self.find(&world.installation().traces().processes(), known).is_some()
    }

    /// Whether nobody but the test starts it again.
    pub(super) fn is_started_by_hand(self) -> bool {
        matches!(self, Self::Server | Self::Runner | Self::Everything)
    }

    /// Whether it may have been at work on a request that nobody can ask once more: an instance's go to another one.
    pub(super) fn may_lose_requests(self) -> bool {
        matches!(self, Self::Balancer | Self::Everything)
    }

    fn find<'p>(self, processes: &'p [Process], known: &Known) -> Option<&'p Process> {
        let mut build: Vec<_> = processes.iter().filter(|process| is_of_build(process)).collect();
        build.sort_by_key(|process| (process.started, process.id));
        match self {
            // Each one started the next.
            Self::BuildSandbox => build.first().copied().filter(|first| first.words.contains("bwrap")),
            Self::Builder => build.last().copied().filter(|last| last.words.contains("python")),
            _ => processes.iter().find(|process| self.is(process, known)),
        }
    }

    fn is(self, process: &Process, known: &Known) -> bool {
        let unit = shim_of(process);
        match self {
            Self::Balancer => process.words.contains(" balancer "),
            Self::ServingShim => unit.is_some_and(|unit| known.serving.contains(&unit)),
            Self::IncomingShim => {
                unit.is_some_and(|unit| unit.starts_with('i') && !known.instances.contains(&unit))
            }
            Self::JobShim => unit.is_some_and(|unit| unit.starts_with('j')),
            _ => false,
        }
    }
}

fn is_of_build(process: &Process) -> bool {
    process.unit.as_ref().is_some_and(|unit| unit.starts_with("build-"))
}

/// The instance or job that a process is the shim of.
fn shim_of(process: &Process) -> Option<String> {
    let (_, folder) = process.words.split_once(" shim ")?;
    folder.rsplit('/').next().map(str::to_owned)
}

fn everything(world: &mut World) -> BTreeSet<String> {
    world.kill_role(Victim::Server);
    let killed = world.installation().traces().kill_all();
    killed.iter().flat_map(|process| process.unit.clone().into_iter().chain(shim_of(process))).collect()
}
