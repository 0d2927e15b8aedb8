//! `Reverting`: the traffic goes back to what served before, in an epoch of its own.

use std::collections::BTreeSet;

use tandem_types::InstanceId;
use tandem_types::assignment::Desired;
use tandem_types::rollout::RolloutState;

use super::shifting::Answer;
use super::starting::gate_limit;
use super::step::{Flow, Step};

impl Step<'_> {
    pub(super) fn reverting(&mut self) -> Flow {
        if self.has_gone_back() {
            return if self.committed() { Flow::Next(RolloutState::Cleaning) } else { Flow::Wait };
        }
        let old = self.pool_before();
        if old.is_empty() && !self.draft.pool().is_empty() {
            return self.wait_for_old_instances();
        }
        if self.leads_nowhere_else(&old) {
            return self.take_back();
        }
        let prepared = self.draft.routing.prepared.as_ref().filter(|_| self.holds_slot());
        let members = prepared.map(|table| self.draft.world.members(table));
        let members: Option<BTreeSet<_>> = members.map(|all| all.into_iter().map(|m| m.instance).collect());
        if members.as_ref() != Some(&old) {
            self.prepare_return(&old);
            return Flow::Wait;
        }
        match self.prepared() {
            Answer::Yes => {
                self.commit();
                self.take_back()
            }
            Answer::NotYet | Answer::Refused(_) => Flow::Wait,
        }
    }

    /// Whether what served before can serve again.
    pub(super) fn can_go_back(&self) -> bool {
        if self.draft.pool().is_empty() && self.incoming_web().is_empty() {
            return self.rollout.from.is_some() && self.rollout.from != self.rollout.to;
        }
        self.rollout.from.is_some() && !self.pool_before().is_empty()
    }

    /// The instances that served before and would serve now: healthy ones only.
    fn pool_before(&self) -> BTreeSet<InstanceId> {
        let incoming: BTreeSet<_> = self.rollout.incoming.iter().copied().collect();
        let left = self.draft.pool().into_iter().chain(self.outgoing_web());
        let usable = |id: &InstanceId| {
            let stops = self.draft.instance(*id).is_none_or(|i| i.desired == Desired::Stop);
            !incoming.contains(id) && !stops && self.draft.is_ready(*id)
        };
        left.filter(usable).collect()
    }

    fn prepare_return(&mut self, pool: &BTreeSet<InstanceId>) {
        let Some(from) = self.rollout.from else { return };
        for id in pool {
            self.draft.set_desired(*id, Desired::Run);
        }
        self.withdraw();
        self.prepare(from, &pool.iter().copied().collect::<Vec<_>>());
    }

    /// Whether the table leads to these instances already, as where an app takes no requests at all.
    fn leads_nowhere_else(&self, pool: &BTreeSet<InstanceId>) -> bool {
        let Some(from) = self.rollout.from else { return true };
        let routes = self.draft.routes(from, pool);
        let (app, environment) = (&self.rollout.app, &self.rollout.environment);
        crate::table::leads_alike(&self.draft.routing.serving, app, environment, &routes)
    }

    /// The epoch of the return is committed: only then is there an epoch in the rollout that no slot holds.
    fn has_gone_back(&self) -> bool {
        self.rollout.epoch.is_some() && !self.holds_slot()
    }

    fn take_back(&mut self) -> Flow {
        self.unshift();
        let incoming: Vec<_> = self.rollout.incoming.clone();
        for id in incoming.into_iter().filter(|id| !self.is_web(*id)).collect::<Vec<_>>() {
            self.draft.set_desired(id, Desired::Stop);
        }
        if let Some(from) = self.rollout.from {
            self.draft.fill_workers(from);
        }
        if self.rollout.epoch.is_none() { Flow::Next(RolloutState::Cleaning) } else { Flow::Wait }
    }

    /// The old instances failed too. Better to stay than to serve nobody.
    fn wait_for_old_instances(&mut self) -> Flow {
        if !self.lasted(gate_limit()) {
            return Flow::Wait;
        }
        self.withdraw();
        self.warn("did not go back: no instance of the release before is healthy".to_owned());
        Flow::Next(RolloutState::Completed)
    }
}
