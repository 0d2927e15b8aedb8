//! After an end that nobody asked for: tell it, wait, start again. For ever: an app whose database was away for an
//! hour comes back by itself.

use tandem_sandbox::shim::{ExitRecord, ShimHandle};
use tandem_types::instance::InstanceState;
use tokio::time::Instant;

use super::actor::{Actor, Phase};
use crate::spec;

impl Actor {
    /// Takes in how the process ended; its shim is let go.
    pub(super) async fn ended(&mut self, record: ExitRecord, shim: Option<ShimHandle>) -> Phase {
        if let Some(shim) = shim {
            self.dismiss(&shim).await;
        }
        self.line.pid = None;
        self.line.started = None;
        self.since = None;
        self.record.last_exit = Some(record.exit.clone());
        self.record.passed = false;
        self.keep_record();
        if self.orders.now().wants_end() {
            return Phase::Stopped;
        }
        let wait = self.backoff.ended(spec::ran(&record));
        self.attach_tail().await;
        let detail = format!("ended by itself ({}); starts again in {wait}", record.exit);
        self.report_because(InstanceState::Crashed, detail);
        Phase::Rest(Instant::now() + wait.as_duration())
    }

    /// Waits until it is time for the next start.
    pub(super) async fn rest(&mut self, until: Instant) -> Phase {
        if self.orders.unless_ended(tokio::time::sleep_until(until)).await.is_none() {
            return Phase::Stopped;
        }
        self.record.restarts += 1;
        self.keep_record();
        Phase::Launch
    }

    /// A shim that cannot be let go holds nothing but some memory; the next start replaces it.
    pub(super) async fn dismiss(&self, shim: &ShimHandle) {
        if let Err(error) = shim.dismiss().await {
            self.warn("could not dismiss the shim", &error);
        }
    }
}
