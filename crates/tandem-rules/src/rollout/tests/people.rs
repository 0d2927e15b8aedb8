//! What people do to a simulated installation, and what tests ask of it.

use tandem_types::assignment::Desired;
use tandem_types::document::Cause;
use tandem_types::environment::Sealed;
use tandem_types::instance::InstanceState;
use tandem_types::rollout::{Rollout, RolloutKind, RolloutState, StepRecord};
use tandem_types::{ReleaseNumber, RolloutNumber};

use super::actors::Behavior;
use super::simulation::{Simulation, process};
use crate::rollout::{PREEMPTED, preempted_by_rollback, queued};

impl Simulation {
    // What people do.

    pub fn ask(&mut self, kind: RolloutKind, change: impl FnOnce(&mut Rollout)) -> RolloutNumber {
        if kind == RolloutKind::Rollback {
            let unfinished: Vec<_> = self.unfinished();
            for number in preempted_by_rollback(&unfinished) {
                self.abort_as(number, PREEMPTED);
            }
        }
        let number = self.environment.next_rollout;
        self.environment.next_rollout = number.next();
        let place = (self.app.name.clone(), self.environment.name.clone());
        let mut rollout = queued(place, number, (kind, cause("rollout.start")), self.now);
        change(&mut rollout);
        self.rollouts.insert(number, rollout);
        number
    }

    pub fn deploy(&mut self, behavior: Behavior) -> RolloutNumber {
        self.next_behaviors.push(behavior);
        self.ask(RolloutKind::Deploy, |_| {})
    }

    pub fn rollback(&mut self, release: u64) -> RolloutNumber {
        self.ask(RolloutKind::Rollback, |rollout| rollout.to = Some(ReleaseNumber(release)))
    }

    pub fn scale(&mut self, name: &str, count: u32) -> RolloutNumber {
        self.ask(RolloutKind::Scale, |rollout| rollout.scale = [(process(name), count)].into())
    }

    pub fn set_config(&mut self, name: &str, value: &str) -> RolloutNumber {
        let sealed = Sealed { ciphertext: format!("sealed {value}"), digest: value.to_owned() };
        self.environment.config.values.insert(name.to_owned(), sealed);
        self.ask(RolloutKind::Config, |_| {})
    }

    pub fn abort(&mut self, number: RolloutNumber) {
        self.abort_as(number, "rollout.abort");
    }

    fn abort_as(&mut self, number: RolloutNumber, action: &str) {
        let rollout = self.rollouts.get_mut(&number).unwrap();
        if !rollout.state.is_final() {
            rollout.abort = Some(cause(action));
        }
    }

    // What tests ask.

    pub fn state_of(&self, number: RolloutNumber) -> RolloutState {
        self.rollouts[&number].state
    }

    pub fn instances(&self, name: &str, desired: Desired) -> Vec<(ReleaseNumber, u32)> {
        let all = self.assignments.values().flat_map(|assignment| &assignment.instances);
        let fits = all.filter(|i| i.process == process(name) && i.desired == desired);
        let mut found: Vec<_> = fits.map(|instance| (instance.release, instance.index)).collect();
        found.sort();
        found
    }

    pub fn pool_releases(&self) -> Vec<ReleaseNumber> {
        let members = self.world().members(&self.routing.serving);
        let all = self.assignments.values().flat_map(|assignment| &assignment.instances);
        let mut found: Vec<_> = all
            .filter(|i| members.iter().any(|member| member.instance == i.id))
            .map(|instance| instance.release)
            .collect();
        found.sort();
        found
    }

    pub fn crash_instances(&mut self, release: u64, state: InstanceState) {
        for real in self.runners.iter_mut().flat_map(|runner| runner.instances.values_mut()) {
            if real.assigned.release == ReleaseNumber(release) && real.state == InstanceState::Ready {
                real.state = state;
                real.delay = 3;
            }
        }
        self.report();
    }

    /// An installation after that many good deploys.
    pub fn deployed(processes: &[(&str, u32)], times: u32) -> Self {
        let mut world = Self::new(processes);
        for _ in 0..times {
            let rollout = world.deploy(Behavior::default());
            world.settle();
            assert_eq!(world.state_of(rollout), RolloutState::Completed);
        }
        world
    }

    /// The steps of a rollout with their notes, one a line.
    pub fn steps(&self, rollout: RolloutNumber) -> String {
        let steps = &self.rollouts[&rollout].steps;
        let line = |step: &StepRecord| format!("{:?}: {}", step.state, step.note);
        let lines: Vec<_> = steps.iter().map(|step| line(step).trim_end_matches(": ").to_owned()).collect();
        lines.join("\n")
    }

    /// Ticks until the rollout is in that state.
    pub fn tick_until(&mut self, rollout: RolloutNumber, state: RolloutState) {
        for _ in 0..500 {
            if self.state_of(rollout) == state {
                return;
            }
            self.tick();
        }
        panic!("{rollout} never was {state:?}: {}", self.steps(rollout));
    }
}

fn cause(action: &str) -> Cause {
    Cause {
        actor: "unix:ana".to_owned(),
        action: action.to_owned(),
        reason: String::new(),
        subject: "guestbook/production".to_owned(),
    }
}
