//! While it runs: the gate, its probes, its CPU weight, and the end that comes from either side.

use std::sync::Arc;

use tandem_kit::points::{self, Effect};
use tandem_sandbox::shim::{self, ExitRecord, ShimHandle};
use tandem_types::instance::InstanceState;
use tandem_types::{Span, defaults};
use tokio::time::{Duration, Instant};

use super::actor::{Actor, Phase};
use super::launch::weight;
use super::owner;
use crate::gate::Gate;
use crate::intent::Intent;
use crate::order::Order;
use crate::probe::{Target, probe};

/// An instance without a port is ready when it ran for this long.
const ALIVE: Duration = Duration::from_secs(1);
/// An app that does not listen after this time may listen elsewhere.
const BOOT: Duration = Duration::from_secs(2);
/// While an instance is overdue, its last lines are read again this often.
const TAIL_INTERVAL: Duration = Duration::from_secs(5);

/// A living process.
pub(crate) struct Run {
    /// Its shim.
    pub(super) shim: ShimHandle,
    /// Whether it may take traffic.
    pub(super) gate: Gate,
    /// When it started.
    since: Instant,
    /// When it is probed next.
    next: Instant,
    /// When it should have passed the gate.
    overdue: Instant,
    /// When its last lines are read again, once it is overdue.
    tail: Instant,
}

impl Run {
    /// A process that has run for this long, with what is left of its budget to pass the gate.
    pub(super) fn new(shim: ShimHandle, gate: Gate, (age, budget): (Span, Span)) -> Self {
        let now = Instant::now();
        let since = now.checked_sub(age.as_duration()).unwrap_or(now);
        let overdue = since + budget.as_duration();
        Self { shim, gate, since, next: now, overdue, tail: overdue }
    }

    /// Whether it should have passed the gate by now.
    fn is_overdue(&self) -> bool {
        !self.gate.has_passed() && Instant::now() >= self.overdue
    }

    /// When to look again. One that is overdue is not looked at any more often than one that is ready.
    fn next_look(&self) -> Instant {
        let interval =
            if self.is_overdue() { defaults::PROBE_INTERVAL.as_duration() } else { self.gate.interval() };
        Instant::now() + interval
    }
}

enum Event {
    Ended(Result<ExitRecord, shim::Error>),
    Ordered(Order<Intent>),
    Looked(Result<(), String>),
}

impl Actor {
    /// Watches over it until it ends or should.
    pub(super) async fn running(&mut self, mut run: Run) -> Phase {
        let mut order = self.orders.now();
        self.weigh(&run, &order);
        // Asked once and waited for, so that a running instance costs its shim nothing.
        let shim = run.shim.clone();
        let mut exit = Box::pin(async move { shim.wait_exit().await });
        loop {
            if order.wants_end() {
                return Phase::Stop(run.shim);
            }
            let target = self.target(&order.intent);
            let event = tokio::select! {
                biased;
                ended = &mut exit => Event::Ended(ended),
                order = self.orders.next() => Event::Ordered(order),
                seen = look(&run, target.as_ref()) => Event::Looked(seen),
            };
            match event {
                Event::Ended(Ok(record)) => return self.ended(record, Some(run.shim)).await,
                Event::Ended(Err(error)) => {
                    self.warn("lost the shim", &error);
                    return Phase::Find;
                }
                Event::Ordered(next) => {
                    self.weigh(&run, &next);
                    order = next;
                }
                Event::Looked(seen) => self.looked(&mut run, seen).await,
            }
        }
    }

    /// Gives it the share of CPU that goes with what it should be doing.
    fn weigh(&mut self, run: &Run, order: &Order<Intent>) {
        if let Err(error) = run.shim.set_weight(weight(order.intent.instance.desired)) {
            self.warn("could not set the CPU weight", &error);
        }
        self.adopt_intent(&order.intent);
    }

    fn target(&self, intent: &Arc<Intent>) -> Option<Target> {
        let health = intent.instance.spec.health.clone();
        self.port.map(|port| Target { port, host_header: intent.host_header.clone(), health })
    }

    async fn looked(&mut self, run: &mut Run, seen: Result<(), String>) {
        let before = run.gate.state();
        run.gate.note(seen.is_ok());
        if self.port.is_none() && seen.is_ok() {
            // No port: being alive is all that is asked, and once is enough.
            run.gate.open();
        }
        run.next = run.next_look();
        if run.gate.has_passed() && !self.record.passed {
            points::reached(Effect::GatePassed).await;
            self.record.passed = true;
            self.keep_record();
        }
        let state = run.gate.state();
        let tail_is_old = run.is_overdue() && Instant::now() >= run.tail;
        if tail_is_old || (state == InstanceState::Unhealthy && before != state) {
            run.tail = Instant::now() + TAIL_INTERVAL;
            self.attach_tail().await;
        }
        self.line.detail = seen.err().or(self.line.detail.take());
        self.report(state);
    }
}

/// Waits until it is time, and looks whether all is well. Dropped before it is done, it looks again when called again.
async fn look(run: &Run, target: Option<&Target>) -> Result<(), String> {
    let Some(target) = target else {
        if run.gate.has_passed() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(run.since + ALIVE).await;
        return Ok(());
    };
    tokio::time::sleep_until(run.next).await;
    let answer = probe(target, defaults::PROBE_TIMEOUT).await;
    // An instance that is in its pool had the port to itself when it came there; asking again each second for
    // all would cost more than the probes.
    if answer.is_ok() && run.gate.state() == InstanceState::Ready {
        return Ok(());
    }
    let should_listen = run.since.elapsed() >= BOOT;
    owner::judge(&run.shim, target.port, answer, should_listen).await
}
