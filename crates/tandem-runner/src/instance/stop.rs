//! The end that was asked for: signal, wait, kill; then tell of it until nobody asks any more.

use std::time::Duration;

use nix::sys::signal::Signal;
use tandem_kit::points::{self, Effect};
use tandem_kit::tasks;
use tandem_sandbox::shim::{ExitRecord, ShimHandle};
use tandem_types::StopSignal;
use tandem_types::instance::InstanceState;

use super::actor::{Actor, Phase};
use crate::order::Fate;

/// Time beyond the instance's own after which a shim that was told to kill is helped.
const GRACE: Duration = Duration::from_secs(10);

impl Actor {
    /// Ends a running instance, whatever it takes.
    pub(super) async fn stop(&mut self, shim: ShimHandle) -> Phase {
        let spec = &self.record.intent.instance.spec;
        let (timeout, signal) = (spec.stop_timeout, number(spec.stop_signal));
        self.report_because(InstanceState::Stopping, format!("has {timeout} to end"));
        points::reached(Effect::StopSending).await;
        let stopped = async {
            shim.stop(signal, timeout).await?;
            shim.wait_exit().await
        };
        match tokio::time::timeout(timeout.as_duration() + GRACE, stopped).await {
            Ok(Ok(record)) => self.note_end(&record, &shim).await,
            Ok(Err(error)) => {
                self.warn("the shim could not stop it", &error);
                self.end_without_shim().await;
            }
            Err(_) => self.end_without_shim().await,
        }
        Phase::Stopped
    }

    async fn note_end(&mut self, record: &ExitRecord, shim: &ShimHandle) {
        points::reached(Effect::StopEnded).await;
        self.dismiss(shim).await;
        self.record.last_exit = Some(record.exit.clone());
    }

    async fn end_without_shim(&mut self) {
        self.sweep_group().await;
        self.record.last_exit = Some(self.unknown_end().exit);
    }

    /// Reports the end until there is an order to run again, which is the next phase, or to leave, which is none.
    pub(super) async fn stopped(&mut self) -> Option<Phase> {
        self.line.pid = None;
        self.line.started = None;
        self.record.passed = false;
        let intent = self.orders.now().intent;
        self.adopt_intent(&intent);
        self.keep_record();
        self.report(InstanceState::Stopped);
        self.orders.until(|order| order.fate != Fate::Stay || !order.wants_end()).await;
        (self.orders.now().fate == Fate::Stay).then_some(Phase::Launch)
    }

    /// Removes everything but its log. Also when the whole host halts: what begins again is a new process, not a crash.
    pub(super) async fn remove(self) {
        points::reached(Effect::InstanceLeaving).await;
        let (folders, unit) = (self.context.folders.clone(), self.unit());
        let log = folders.log(&self.record.intent.place, unit);
        tasks::blocking("instance-remove", move || {
            crate::removal::remove(&folders, unit);
            crate::logs::fold::fold(&log);
        })
        .await;
        self.context.ledger.take_back(self.id());
        self.context.packet_rules.release(self.id()).await;
        self.context.board.drop_instance(self.id());
    }
}

/// The kernel's number of a signal.
fn number(signal: StopSignal) -> i32 {
    let signal = match signal {
        StopSignal::Terminate => Signal::SIGTERM,
        StopSignal::Interrupt => Signal::SIGINT,
        StopSignal::Quit => Signal::SIGQUIT,
        StopSignal::HangUp => Signal::SIGHUP,
        StopSignal::User1 => Signal::SIGUSR1,
        StopSignal::User2 => Signal::SIGUSR2,
        StopSignal::WindowChange => Signal::SIGWINCH,
    };
    signal as i32
}
