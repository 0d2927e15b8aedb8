//! While it runs: the gate, its probes, its CPU weight, and the end that comes from either side.

use std::sync::Arc;

use tandem_kit::points::{self, Effect};
use tandem_kit::probe::{Purpose, Question};
use tandem_sandbox::shim::{self, ExitRecord, ShimHandle};
use tandem_types::instance::InstanceState;
use tandem_types::{Span, defaults};
use tokio::time::{Duration, Instant};

use super::actor::{Actor, Phase};
use super::launch::weight;
use super::owner::{self, Reason};
use crate::gate::Gate;
use crate::intent::Intent;
use crate::order::Order;
use crate::probe::{Target, probe};

/// An instance without a port is ready when it ran for this long.
const ALIVE: Duration = Duration::from_secs(1);
/// An app that does not listen after this time may listen elsewhere.
const BOOT: Duration = Duration::from_secs(2);
/// While an instance has not passed, its last lines are read again this often.
const TAIL_INTERVAL: Duration = Duration::from_secs(5);
/// Answers in a row that no waiting changes after which nobody waits any more: two seconds, for an app that loads its settings
/// in pieces.
const LASTING: u32 = 20;
/// Set by builds for Django projects, and by whoever has one.
const DJANGO: &str = "DJANGO_SETTINGS_MODULE";

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
    /// When its last lines are read again.
    tail: Instant,
    /// What the last traceback in its log ended with, when they were read.
    error: Option<String>,
    /// Answers in a row that no waiting changes.
    lasting: u32,
}

impl Run {
    /// A process that has run for this long, with what is left of its budget to pass the gate.
    pub(super) fn new(shim: ShimHandle, gate: Gate, (age, budget): (Span, Span)) -> Self {
        let now = Instant::now();
        let since = now.checked_sub(age.as_duration()).unwrap_or(now);
        let overdue = since + budget.as_duration();
        let tail = overdue.min(since + TAIL_INTERVAL);
        Self { shim, gate, since, next: now, overdue, tail, error: None, lasting: 0 }
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
    Looked(Result<(), Reason>),
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
            let target = self.target(&run, &order.intent);
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

    fn target(&self, run: &Run, intent: &Arc<Intent>) -> Option<Target> {
        let (host, health) = (intent.host_header.clone(), intent.instance.spec.health.clone());
        let purpose = if run.gate.has_passed() { Purpose::Watch } else { Purpose::Gate };
        let is_django = intent.build.environment.contains_key(DJANGO);
        self.port.map(|port| Target { port, question: Question { host, health, purpose }, is_django })
    }

    async fn looked(&mut self, run: &mut Run, seen: Result<(), Reason>) {
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
            self.line.found.exposed = match self.port {
                Some(port) => owner::exposed(&run.shim, port).await,
                None => None,
            };
        }
        let state = run.gate.state();
        run.lasting = if seen.as_ref().is_err_and(|reason| reason.is_lasting) { run.lasting + 1 } else { 0 };
        let is_hopeless = run.lasting == LASTING && !run.gate.has_passed();
        let tail_is_old = !run.gate.has_passed() && Instant::now() >= run.tail;
        if tail_is_old || is_hopeless || (state == InstanceState::Unhealthy && before != state) {
            run.tail = Instant::now() + TAIL_INTERVAL;
            run.error = self.attach_tail().await;
        }
        if let Err(reason) = seen {
            self.explain(run, reason);
        }
        self.report(state);
    }

    /// Puts into the report to come why it is not ready.
    fn explain(&mut self, run: &Run, reason: Reason) {
        let error = run.error.as_ref().map(|error| format!("; the last error in its log: {error}"));
        self.line.detail = Some(reason.text + &error.unwrap_or_default());
        self.line.found.advice = reason.advice;
        self.line.found.lasting = run.lasting >= LASTING && !run.gate.has_passed();
    }
}

/// Waits until it is time, and looks whether all is well. Dropped before it is done, it looks again when called again.
async fn look(run: &Run, target: Option<&Target>) -> Result<(), Reason> {
    let Some(target) = target else {
        if run.gate.has_passed() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(run.since + ALIVE).await;
        return Ok(());
    };
    tokio::time::sleep_until(run.next).await;
    let answer = probe(target).await;
    // An instance that is in its pool had the port to itself when it came there; asking again each second for
    // all would cost more than the probes.
    if answer.is_ok() && run.gate.state() == InstanceState::Ready {
        return Ok(());
    }
    let should_listen = run.since.elapsed() >= BOOT;
    owner::judge(&run.shim, target, answer, should_listen).await
}
