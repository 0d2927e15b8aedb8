//! Which instances are missing, and where they go. Shared by rollouts and by upkeep.

use tandem_types::assignment::{AssignedInstance, Desired};
use tandem_types::{InstanceId, ProcessType, ReleaseNumber};

use crate::draft::Draft;
use crate::placement::{Position, place};

impl Draft<'_> {
    /// Places for instances of a process type until there are `want` of them: the lowest numbers that none of
    /// `kept` has. Two of those may have one number, and count as two.
    pub(crate) fn vacancies(
        &self,
        release: ReleaseNumber,
        (process, want): (&ProcessType, u32),
        kept: &[u32],
    ) -> Vec<Position> {
        let has_volumes = self.spec(release).is_some_and(|spec| !spec.volumes.is_empty());
        let missing = (want as usize).saturating_sub(kept.len());
        let free = (1..=u32::MAX).filter(|index| !kept.contains(index)).take(missing);
        free.filter_map(|index| place(self.world, process, index, has_volumes)).collect()
    }

    /// Whether a second instance of the type must never run, by the new build or by one that runs.
    pub(crate) fn is_single(&self, release: ReleaseNumber, process: &ProcessType) -> bool {
        let declared = |spec: &tandem_types::app::AppSpec| {
            spec.processes.get(process).is_some_and(|process| process.singleton)
        };
        self.spec(release).is_some_and(declared)
            || self.instances().any(|(_, other)| other.process == *process && other.spec.singleton)
    }

    /// Whether an instance of the type, other than those in `own`, has not ended yet.
    pub(crate) fn is_alive_elsewhere(&self, process: &ProcessType, own: &[InstanceId]) -> bool {
        let other = |instance: &AssignedInstance| instance.process == *process && !own.contains(&instance.id);
        self.instances().any(|(_, instance)| other(instance) && !self.is_stopped(instance.id))
    }

    /// Numbers of the release's instances of a type that should run.
    pub(crate) fn staff(&self, release: ReleaseNumber, process: &ProcessType) -> Vec<u32> {
        let counts = |instance: &&AssignedInstance| {
            instance.release == release && instance.process == *process && instance.desired == Desired::Run
        };
        self.instances().map(|(_, instance)| instance).filter(counts).map(|instance| instance.index).collect()
    }

    /// Starts what the release lacks of types that take no requests. A singleton only when no other is left.
    pub(crate) fn fill_workers(&mut self, release: ReleaseNumber) {
        for (process, want) in self.wanted(release) {
            let blocked = self.is_single(release, &process) && self.is_alive_elsewhere(&process, &[]);
            if process.is_web() || (blocked && self.staff(release, &process).is_empty()) {
                continue;
            }
            let kept = self.staff(release, &process);
            for position in self.vacancies(release, (&process, want), &kept) {
                self.start(release, &position);
            }
        }
    }
}
