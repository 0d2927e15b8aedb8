//! The actors of this process: started, told, counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tandem_kit::tasks::{Kind, Tasks};
use tandem_types::assignment::AssignedBuild;
use tandem_types::{InstanceId, JobId};
use tokio::sync::{mpsc, watch};

use super::strays;
use crate::board::BuildKey;
use crate::context::Context;
use crate::folders::Unit;
use crate::instance::{self, Record};
use crate::intent::{Intent, JobIntent};
use crate::job;
use crate::order::{Fate, Order, Orders, Wish};
use crate::plan::{Action, Holding, Present};
use crate::secrets;
use crate::traces::Traces;

/// All of them.
pub(super) struct Actors {
    context: Arc<Context>,
    tasks: Tasks,
    ended: mpsc::UnboundedSender<Unit>,
    instances: BTreeMap<InstanceId, watch::Sender<Order<Intent>>>,
    jobs: BTreeMap<JobId, watch::Sender<Order<JobIntent>>>,
    /// What no actor stands for and is being ended.
    swept: BTreeSet<Unit>,
}

/// Tells that an actor ended, however it did.
struct Farewell {
    unit: Unit,
    ended: mpsc::UnboundedSender<Unit>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        // Nobody listens any more when the runner ends, and then nobody needs to know.
        let _ = self.ended.send(self.unit);
    }
}

impl Actors {
    /// None yet.
    pub(super) fn new(context: Arc<Context>, tasks: Tasks, ended: mpsc::UnboundedSender<Unit>) -> Self {
        let (instances, jobs, swept) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { context, tasks, ended, instances, jobs, swept }
    }

    /// Gives everything that an earlier process left an actor, which looks at it before this returns.
    pub(super) async fn adopt(&mut self) {
        secrets::move_out(&self.context.folders);
        let found = strays::records(&self.context.folders);
        self.context.packet_rules.start(strays::ports(&self.context.folders, &found)).await;
        let instances = found.instances.into_iter().map(|record| {
            let order = unconfirmed(record.intent.clone());
            let (sender, orders) = Orders::channel(order);
            let mut actor = instance::Actor::new(Arc::clone(&self.context), orders, Some(record));
            async move {
                let phase = actor.find().await;
                (sender, actor, phase)
            }
        });
        let jobs = found.jobs.into_iter().map(|intent| {
            let (sender, orders) = Orders::channel(unconfirmed(intent));
            let mut actor = job::Actor::new(Arc::clone(&self.context), orders);
            async move {
                let phase = actor.find().await;
                (sender, actor, phase)
            }
        });
        let (instances, jobs) = join(join_all(instances), join_all(jobs)).await;
        for (sender, actor, phase) in instances {
            let id = sender.borrow().intent.instance.id;
            self.spawn(Unit::Instance(id), "instance", actor.run(phase));
            self.instances.insert(id, sender);
        }
        for (sender, actor, phase) in jobs {
            let id = sender.borrow().intent.job.id;
            self.spawn(Unit::Job(id), "job", actor.run(phase));
            self.jobs.insert(id, sender);
        }
    }

    /// What each was told last.
    pub(super) fn present(&self) -> Present {
        let mut present = Present {
            instances: self.instances.iter().map(|(id, orders)| (*id, holding(&orders.borrow()))).collect(),
            jobs: self.jobs.iter().map(|(id, orders)| (*id, holding(&orders.borrow()))).collect(),
        };
        for unit in &self.swept {
            match unit {
                Unit::Instance(id) => drop(present.instances.insert(*id, Holding::Leaving)),
                Unit::Job(id) => drop(present.jobs.insert(*id, Holding::Leaving)),
            }
        }
        present
    }

    /// Does one thing of a plan.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::StartInstance(intent) => self.start_instance(intent),
            Action::ChangeInstance(intent) => tell(&self.instances, intent.instance.id, intent),
            Action::RemoveInstance(id) => leave(&self.instances, id),
            Action::StartJob(intent) => self.start_job(intent),
            Action::ChangeJob(intent) => tell(&self.jobs, intent.job.id, intent),
            Action::RemoveJob(id) => leave(&self.jobs, id),
        }
    }

    /// An actor has ended, or what was left of one.
    pub(super) fn forget(&mut self, unit: Unit) {
        let was_swept = self.swept.remove(&unit);
        match unit {
            // The line of one whose actor ended by a bug of ours: nobody else would wipe it.
            Unit::Instance(id) if was_swept => self.context.board.drop_instance(id),
            Unit::Job(id) if was_swept => self.context.board.drop_job(id),
            Unit::Instance(id) => {
                self.instances.remove(&id);
            }
            Unit::Job(id) => {
                self.jobs.remove(&id);
            }
        }
    }

    /// Tells all the same fate.
    pub(super) fn order_all(&self, fate: Fate) {
        self.instances.values().for_each(|orders| orders.send_modify(|order| order.fate = fate));
        self.jobs.values().for_each(|orders| orders.send_modify(|order| order.fate = fate));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.jobs.is_empty()
    }

    /// The longest time that an instance may take to end.
    pub(super) fn longest_stop(&self) -> Duration {
        let timeout = |orders: &watch::Sender<Order<Intent>>| {
            orders.borrow().intent.instance.spec.stop_timeout.as_duration()
        };
        self.instances.values().map(timeout).max().unwrap_or_default()
    }

    /// Builds that are in use, whether or not an assignment still names them.
    pub(super) fn builds(&self) -> impl Iterator<Item = (BuildKey, Arc<AssignedBuild>)> {
        let instances = self.instances.values().map(|orders| {
            let Intent { place, instance, build, .. } = &*orders.borrow().intent;
            (BuildKey::new(&place.app, instance.build, build), Arc::clone(build))
        });
        let jobs = self.jobs.values().map(|orders| {
            let JobIntent { place, job, build, .. } = &*orders.borrow().intent;
            (BuildKey::new(&place.app, job.build, build), Arc::clone(build))
        });
        instances.chain(jobs)
    }

    /// All that have an actor.
    pub(super) fn units(&self) -> impl Iterator<Item = Unit> {
        let instances = self.instances.keys().copied().map(Unit::Instance);
        instances.chain(self.jobs.keys().copied().map(Unit::Job))
    }

    /// Removes, aside, what no actor stands for: folders, groups, sockets, ports. An id is not given an actor while what
    /// is left of it is ended.
    pub(super) fn sweep(&mut self, traces: Traces) {
        self.context.ledger.keep_ports(|id| self.instances.contains_key(&id));
        let strays = traces.unknown(|unit| self.knows(unit));
        for unit in strays.units() {
            self.swept.insert(unit);
            let end = strays::end(self.context.folders.clone(), unit, strays.has_group(unit));
            self.spawn(unit, "stray-sweep", end);
        }
    }

    fn knows(&self, unit: Unit) -> bool {
        let has_actor = match unit {
            Unit::Instance(id) => self.instances.contains_key(&id),
            Unit::Job(id) => self.jobs.contains_key(&id),
        };
        has_actor || self.swept.contains(&unit)
    }

    fn start_instance(&mut self, intent: Intent) {
        let id = intent.instance.id;
        let folder = self.context.folders.unit(Unit::Instance(id));
        // One whose actor ended by a bug of ours: what it started is taken over.
        let record = Record::read(&folder).ok().flatten();
        let (sender, orders) = Orders::channel(confirmed(intent));
        let actor = instance::Actor::new(Arc::clone(&self.context), orders, record);
        self.spawn(Unit::Instance(id), "instance", actor.run(instance::Phase::Find));
        self.instances.insert(id, sender);
    }

    fn start_job(&mut self, intent: JobIntent) {
        let id = intent.job.id;
        let (sender, orders) = Orders::channel(confirmed(intent));
        let actor = job::Actor::new(Arc::clone(&self.context), orders);
        self.spawn(Unit::Job(id), "job", actor.run(job::Phase::Find));
        self.jobs.insert(id, sender);
    }

    /// A helper: dropped when the runner ends, its process goes on.
    fn spawn(&self, unit: Unit, name: &'static str, actor: impl Future<Output = ()> + Send + 'static) {
        let farewell = Farewell { unit, ended: self.ended.clone() };
        self.tasks.spawn(name, Kind::Helper, async move {
            let _farewell = farewell;
            actor.await;
        });
    }
}

fn confirmed<T>(intent: T) -> Order<T> {
    Order { intent: Arc::new(intent), confirmed: true, fate: Fate::Stay }
}

fn unconfirmed<T>(intent: T) -> Order<T> {
    Order { confirmed: false, ..confirmed(intent) }
}

fn holding<T: Wish>(order: &Order<T>) -> Holding<T> {
    match (order.fate, order.confirmed) {
        (Fate::Stay, true) => Holding::As(Arc::clone(&order.intent)),
        (Fate::Stay, false) => Holding::Adopted(Arc::clone(&order.intent)),
        (Fate::Halt | Fate::Leave, _) => Holding::Leaving,
    }
}

fn tell<Id: Ord, T>(orders: &BTreeMap<Id, watch::Sender<Order<T>>>, id: Id, intent: T) {
    if let Some(orders) = orders.get(&id) {
        orders.send_modify(|order| {
            *order = Order { fate: order.fate, ..confirmed(intent) };
        });
    }
}

fn leave<Id: Ord, T>(orders: &BTreeMap<Id, watch::Sender<Order<T>>>, id: Id) {
    if let Some(orders) = orders.get(&id) {
        orders.send_modify(|order| order.fate = Fate::Leave);
    }
}
