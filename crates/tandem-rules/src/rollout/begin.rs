//! How a rollout begins to act: what it replaces, what it reuses, and which state comes first.

use std::collections::{BTreeMap, BTreeSet};

use tandem_types::InstanceId;
use tandem_types::assignment::{AssignedInstance, Desired};
use tandem_types::release::{Release, ReleaseStatus};
use tandem_types::rollout::{RolloutKind, RolloutState};

use super::problems;
use super::step::{Flow, Step};
use crate::placement::Position;

impl Step<'_> {
    pub(super) fn begin(&mut self) -> Flow {
        match self.rollout.kind {
            RolloutKind::Deploy => self.begin_deploy(),
            RolloutKind::Rollback => self.begin_rollback(),
            RolloutKind::Config => self.begin_config(),
            RolloutKind::Scale => self.begin_scale(),
            RolloutKind::Restart => self.begin_restart(),
        }
    }

    fn begin_deploy(&mut self) -> Flow {
        let number = self.draft.app.next_build;
        self.draft.app.next_build = number.next();
        self.rollout.build = Some(number);
        Flow::Next(RolloutState::Building)
    }

    fn begin_rollback(&mut self) -> Flow {
        let to = self.to();
        if self.draft.environment.current == Some(to) {
            return self.nothing_to_do(&format!("{to} serves already"));
        }
        if self.draft.build_of(to).is_none() {
            return Flow::Fail(problems::build_gone(to));
        }
        self.replace_everything();
        self.warn_of_older_config();
        self.rollout.build = self.draft.build_of(to).map(|build| build.number);
        let wanted = self.positions().into_iter().filter(|place| place.process.is_web()).count();
        let reused = self.reuse_warm(wanted);
        // Half of them now is worth more than all of them later: upkeep adds the rest.
        if reused == 0 || reused * 2 < wanted {
            return Flow::Next(RolloutState::Staging);
        }
        let mut workers = self.open_positions();
        workers.retain(|place| !place.process.is_web());
        self.fill(&workers);
        self.record_skipped(RolloutState::Staging, "warm");
        self.record_skipped(RolloutState::Starting, "warm");
        Flow::Next(RolloutState::Preparing)
    }

    fn begin_config(&mut self) -> Flow {
        let Some(current) = self.draft.environment.current.and_then(|number| self.draft.release(number))
        else {
            return Flow::Fail(problems::nothing_runs(&self.rollout));
        };
        if crate::config::differences(&current.config, &self.draft.environment.config).is_empty() {
            let text = format!("{} has this config already", current.number);
            return self.nothing_to_do(&text);
        }
        let build = current.build;
        self.rollout.build = Some(build);
        self.make_release();
        self.replace_everything();
        Flow::Next(RolloutState::Staging)
    }

    fn begin_scale(&mut self) -> Flow {
        let Some(current) = self.draft.environment.current else {
            return Flow::Fail(problems::nothing_runs(&self.rollout));
        };
        self.same_release(current);
        for (process, want) in self.rollout.scale.clone() {
            let mut have: Vec<_> =
                self.running().filter(|i| i.process == process && i.release == current).collect();
            // Those that fail go first: scaling heals. One that nobody has seen yet is not known to fail.
            let fails = |id| self.draft.state(id).is_some() && !self.draft.is_ready(id);
            have.sort_by_key(|instance| (fails(instance.id), instance.index));
            let surplus = |(place, instance): &(usize, &AssignedInstance)| {
                *place >= want as usize || fails(instance.id)
            };
            let surplus: Vec<_> = have.into_iter().enumerate().filter(surplus).map(|(_, i)| i.id).collect();
            self.rollout.outgoing.extend(surplus);
        }
        if self.rollout.outgoing.is_empty() && self.positions().is_empty() {
            return self.nothing_to_do("nothing to do");
        }
        Flow::Next(RolloutState::Staging)
    }

    fn begin_restart(&mut self) -> Flow {
        let Some(current) = self.draft.environment.current else {
            return Flow::Fail(problems::nothing_runs(&self.rollout));
        };
        self.same_release(current);
        let chosen = self.rollout.processes.clone();
        let outgoing = self.running().filter(|i| chosen.is_empty() || chosen.contains(&i.process));
        self.rollout.outgoing = outgoing.map(|instance| instance.id).collect();
        Flow::Next(RolloutState::Staging)
    }

    fn same_release(&mut self, current: tandem_types::ReleaseNumber) {
        self.rollout.from = Some(current);
        self.rollout.to = Some(current);
        self.rollout.build = self.draft.build_of(current).map(|build| build.number);
    }

    fn nothing_to_do(&mut self, note: &str) -> Flow {
        note.clone_into(&mut self.note);
        Flow::Next(RolloutState::Completed)
    }

    /// Everything that runs now goes out when the new release is in.
    pub(super) fn replace_everything(&mut self) {
        self.rollout.from = self.draft.environment.current;
        self.rollout.outgoing = self.running().map(|instance| instance.id).collect();
    }

    /// Makes the release of this rollout's build and the environment's config.
    pub(super) fn make_release(&mut self) {
        let number = self.draft.environment.next_release;
        self.draft.environment.next_release = number.next();
        let release = Release {
            app: self.rollout.app.clone(),
            environment: self.rollout.environment.clone(),
            number,
            build: self.rollout.build.expect("a release is made of a build"),
            config: self.draft.environment.config.clone(),
            cause: self.rollout.cause.clone(),
            message: self.message(),
            created: self.draft.now,
            rollout: self.rollout.number,
            status: ReleaseStatus::Pending,
            took_traffic: None,
            lost_traffic: None,
        };
        self.draft.put_release(release);
        self.rollout.to = Some(number);
    }

    fn message(&self) -> String {
        let subject = || self.rollout.source.as_ref().and_then(|source| source.info.subject.clone());
        let said = Some(&self.rollout.cause.reason).filter(|reason| !reason.is_empty()).cloned();
        said.or_else(subject).unwrap_or_default()
    }

    /// Instances with their full share that no other rollout is bringing up.
    fn running(&self) -> impl Iterator<Item = &AssignedInstance> {
        let foreign: BTreeSet<_> = self.siblings().flat_map(|other| other.incoming.iter().copied()).collect();
        let own = move |id: InstanceId| !foreign.contains(&id) && !self.rollout.incoming.contains(&id);
        let instances = self.draft.instances().map(|(_, instance)| instance);
        instances.filter(move |instance| instance.desired == Desired::Run && own(instance.id))
    }

    /// Takes healthy instances of the target that are out of the pool, at most `wanted`, each number once before any comes
    /// twice: a release that was restarted shortly before it became warm has some twice. Says how many.
    fn reuse_warm(&mut self, wanted: usize) -> usize {
        let (to, pool) = (self.to(), self.draft.pool());
        let fits = |instance: &&AssignedInstance| {
            instance.release == to
                && instance.process.is_web()
                && instance.desired != Desired::Stop
                && !pool.contains(&instance.id)
                && self.draft.is_ready(instance.id)
        };
        let found = self.draft.instances().map(|(_, instance)| instance).filter(fits);
        let found: BTreeSet<_> = found.map(|instance| (instance.index, instance.id)).collect();
        let mut met = BTreeMap::<u32, usize>::new();
        let mut found: Vec<_> = found
            .into_iter()
            .map(|(index, id)| {
                let count = met.entry(index).or_default();
                *count += 1;
                (*count, index, id)
            })
            .collect();
        found.sort_unstable();
        found.truncate(wanted);
        for (.., id) in &found {
            self.draft.set_desired(*id, Desired::Run);
            self.rollout.incoming.push(*id);
            self.rollout.outgoing.retain(|other| other != id);
        }
        found.len()
    }

    /// A rollback brings its config back too; people should know which values that changes, and that the next release
    /// changes them again.
    fn warn_of_older_config(&mut self) {
        let (Some(from), Some(to)) = (self.rollout.from, self.rollout.to) else { return };
        let (Some(from), Some(to)) = (self.draft.release(from), self.draft.release(to)) else { return };
        let names = crate::config::differences(&to.config, &from.config);
        if names.is_empty() {
            return;
        }
        let next = crate::config::differences(&to.config, &self.draft.environment.config);
        let verb = if names.len() == 1 { "differs" } else { "differ" };
        let mut text =
            format!("config of {} comes back: {} {verb} from {}", to.number, names.join(", "), from.number);
        if !next.is_empty() {
            text += &format!("; the next deploy brings the newer {}", next.join(", "));
        }
        self.warn(text);
    }

    // Places to fill.

    /// Every place that this rollout fills, filled already or not.
    fn positions(&self) -> Vec<Position> {
        let to = self.to();
        let scale = self.rollout.kind == RolloutKind::Scale;
        let mut wanted = if scale { self.rollout.scale.clone() } else { self.draft.wanted(to) };
        let chosen = &self.rollout.processes;
        wanted.retain(|process, _| chosen.is_empty() || chosen.contains(process));
        let place = |(process, want): (&tandem_types::ProcessType, &u32)| {
            let kept = if scale { self.kept(process) } else { Vec::new() };
            self.draft.vacancies(to, (process, *want), &kept)
        };
        wanted.iter().flat_map(place).collect()
    }

    /// Numbers of the instances that a change of scale leaves alone.
    fn kept(&self, process: &tandem_types::ProcessType) -> Vec<u32> {
        let stays = |i: &&AssignedInstance| {
            i.process == *process && i.release == self.to() && !self.rollout.outgoing.contains(&i.id)
        };
        self.running().filter(stays).map(|instance| instance.index).collect()
    }

    /// Places that nothing fills yet and that may be filled now: a singleton waits for its predecessor's end.
    pub(super) fn open_positions(&self) -> Vec<Position> {
        let mut open = self.unfilled();
        open.retain(|place| !self.waits_for_predecessor(place));
        open
    }

    /// Places that nothing fills yet and that take no requests: singletons, once the gate is passed.
    pub(super) fn unfilled_workers(&self) -> Vec<Position> {
        let mut places = self.unfilled();
        places.retain(|place| !place.process.is_web());
        places
    }

    /// Places without an incoming instance. A reused instance may have any number: it fills one place of its type.
    fn unfilled(&self) -> Vec<Position> {
        let incoming: Vec<_> =
            self.rollout.incoming.iter().filter_map(|id| self.draft.instance(*id)).collect();
        let mut missing = BTreeMap::<_, usize>::new();
        let places = self.positions();
        for place in &places {
            *missing.entry(place.process.clone()).or_default() += 1;
        }
        for instance in &incoming {
            missing.entry(instance.process.clone()).and_modify(|count| *count = count.saturating_sub(1));
        }
        let taken = |place: &Position| {
            incoming.iter().any(|i| (&i.process, i.index) == (&place.process, place.index))
        };
        let mut open: Vec<_> = places.into_iter().filter(|place| !taken(place)).collect();
        open.retain(|place| {
            let left = missing.entry(place.process.clone()).or_default();
            std::mem::replace(left, left.saturating_sub(1)) > 0
        });
        open
    }

    fn waits_for_predecessor(&self, place: &Position) -> bool {
        self.draft.is_single(self.to(), &place.process)
            && self.draft.is_alive_elsewhere(&place.process, &self.rollout.incoming)
    }

    /// Assigns an instance to each place.
    pub(super) fn fill(&mut self, positions: &[Position]) {
        for position in positions {
            let started = self.draft.start(self.to(), position);
            self.rollout.incoming.extend(started);
        }
    }
}
