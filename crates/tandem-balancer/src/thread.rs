//! What one serving thread has to itself: its clock of ticks, its tasks, its kept connections, its dice.
//!
//! Nothing here is shared, so nothing is locked. Limits in seconds are checked on ticks of half a second for all
//! connections together: a timer per connection or request would cost more than the request's routing.

use std::cell::{Cell, RefCell, RefMut};
use std::future::Future;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;
use tandem_kit::clock::Clock;
use tandem_kit::tasks::{Kind, Tasks};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::serve::{Activity, Pipes, Socket, WaitLimits};
use crate::shared::Shared;
use crate::tick::{TICK, Tick};
use crate::upstream::Pool;
use tandem_record::Recorder;

/// Bytes that are read at a time.
const SCRATCH: usize = 64 * 1024;

/// The context of a serving thread.
#[derive(Debug)]
pub(crate) struct Thread {
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Kept connections to instances.
    pub pool: Pool,
    /// Pipes that long bodies go through.
    pub pipes: Pipes,
    /// What was seen of requests.
    pub recorder: Rc<Recorder>,
    limits: WaitLimits,
    number: usize,
    tasks: Tasks,
    tick: Tick,
    random: Cell<u64>,
    ended: Cell<bool>,
    connections: RefCell<Slab<(Arc<Activity>, RawFd)>>,
    scratch: RefCell<Box<[u8]>>,
    /// The time as `Date` has it, and the tick for which it was made.
    date: RefCell<(u32, Rc<str>)>,
}

impl Thread {
    /// A thread's context; threads are numbered from 0, and a seed starts the dice.
    pub(crate) fn new(
        shared: Arc<Shared>,
        limits: WaitLimits,
        tasks: Tasks,
        (number, seed): (usize, u64),
    ) -> Rc<Self> {
        Rc::new(Self {
            recorder: Rc::new(Recorder::new(Arc::clone(&shared.records), number)),
            shared,
            pool: Pool::new(limits.kept),
            pipes: Pipes::default(),
            limits,
            number,
            tasks,
            tick: Tick::default(),
            random: Cell::new(seed | 1),
            ended: Cell::new(false),
            connections: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            date: RefCell::new((0, "".into())),
        })
    }

    /// Its number among the threads.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The current tick.
    pub(crate) fn now(&self) -> u32 {
        self.tick.now()
    }

    /// Its clock of ticks.
    pub(crate) fn tick(&self) -> &Tick {
        &self.tick
    }

    /// The tasks of this thread.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Starts a task on this thread that is waited for when the process ends. None when the thread has ended already:
    /// what is dropped then cannot begin anything.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + 'static,
    ) -> Option<AbortHandle> {
        (!self.ended.get()).then(|| self.tasks.spawn_local(name, Kind::Work, future))
    }

    /// No task begins after this.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.pool.clear();
        self.recorder.drain();
    }

    /// 64 random bits, good enough for choices and ids (the splitmix64 sequence).
    pub(crate) fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Memory to read into, for as long as nothing is waited for.
    pub(crate) fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// The time as `Date` has it (RFC 9110, 5.6.7), half a second old at most.
    pub(crate) fn date(&self) -> Rc<str> {
        let mut date = self.date.borrow_mut();
        if date.0 != self.now() {
            let now = Clock::system().now();
            let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
            *date = (self.now(), text.unwrap_or_default().into());
        }
        Rc::clone(&date.1)
    }

    /// Watches over a connection's limits until the returned place is dropped; its socket must be open until then.
    pub(crate) fn watch_over(self: &Rc<Self>, activity: Arc<Activity>, socket: RawFd) -> Watched {
        if self.tasks.drain().is_requested() {
            activity.finish();
        }
        let number = self.connections.borrow_mut().insert((activity, socket));
        Watched { thread: Rc::clone(self), number }
    }

    /// Lets ticks pass, enforces limits and drops kept connections that are too old, for ever.
    pub(crate) async fn run_ticks<T>(self: Rc<Self>) -> T {
        let started = Instant::now();
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            let passed = started.elapsed().as_millis() / TICK.as_millis();
            self.tick.set(u32::try_from(passed + 1).unwrap_or(u32::MAX));
            for (_, (activity, socket)) in self.connections.borrow().iter() {
                activity.check(&self.limits, || Socket::look_at(*socket));
            }
            self.pool.sweep(self.now());
            self.recorder.tick();
        }
    }

    /// Has the connection closed that waits longest for its next request; says whether there is one.
    pub(crate) fn close_idle(&self) -> bool {
        let connections = self.connections.borrow();
        let idle =
            connections.iter().filter_map(|(_, (activity, _))| Some((activity.idle_since()?, activity)));
        let longest = idle.min_by_key(|(since, _)| *since);
        longest.map(|(_, activity)| activity.finish()).is_some()
    }

    /// Has those with a request under way look again at what became of its instance.
    pub(crate) fn wake_busy(&self) {
        for (_, (activity, _)) in self.connections.borrow().iter() {
            activity.look_again();
        }
    }

    /// Asks every connection to finish its request and close.
    pub(crate) fn finish_connections(&self) {
        for (_, (activity, _)) in self.connections.borrow().iter() {
            activity.finish();
        }
    }
}

/// A connection's place under its thread's watch.
#[derive(Debug)]
pub(crate) struct Watched {
    thread: Rc<Thread>,
    number: usize,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.thread.connections.borrow_mut().remove(self.number);
    }
}
