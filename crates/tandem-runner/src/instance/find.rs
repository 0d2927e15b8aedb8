//! Taking over what an earlier process of the runner left: a shim that lives, an end that was not seen, or nothing.

use std::time::Duration;

use tandem_kit::error::chain;
use tandem_kit::points::{self, Effect};
use tandem_sandbox::cgroup::Group;
use tandem_sandbox::shim::{Adopted, ExitRecord, ShimHandle, adopt};
use tandem_types::instance::{Exit, InstanceState};

use super::actor::{Actor, Phase};
use super::running::Run;
use crate::gate::Gate;
use crate::spec;

/// Wait before a shim that lives and does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(1);

impl Actor {
    /// Looks into the folder; the report that follows is the first true one of this process.
    pub(crate) async fn find(&mut self) -> Phase {
        if !spec::is_in(&self.folder) {
            return Phase::Launch;
        }
        match adopt(&self.folder).await {
            Ok(Adopted::Live(shim)) => {
                points::reached(Effect::InstanceFound).await;
                self.take_over(shim).await
            }
            Ok(Adopted::Ended(record)) => self.ended(record, None).await,
            Ok(Adopted::Gone { ran: false }) => Phase::Launch,
            Ok(Adopted::Gone { ran: true }) => {
                let record = self.unknown_end();
                self.ended(record, None).await
            }
            Err(error) => self.ask_again(no_answer(&error)).await,
        }
    }

    async fn take_over(&mut self, shim: ShimHandle) -> Phase {
        match shim.status().await {
            Ok(status) if status.child_pid.is_none() => self.take_over_ended(shim).await,
            Ok(status) => {
                let gate = if self.record.passed { Gate::passed_before() } else { Gate::closed() };
                let age = spec::age(&status, self.context.clock.now());
                let run = Run::new(shim, gate, (age, self.context.budget));
                self.port = spec::cached_port(&self.folder);
                self.guard_port().await;
                self.began(&status, age);
                self.report(run.gate.state());
                Phase::Running(Box::new(run))
            }
            Err(error) => self.ask_again(no_answer(&error)).await,
        }
    }

    /// Its shim still lives to tell of an end that came while no runner was here.
    async fn take_over_ended(&mut self, shim: ShimHandle) -> Phase {
        match tokio::time::timeout(AGAIN, shim.wait_exit()).await {
            Ok(Ok(record)) => self.ended(record, Some(shim)).await,
            Ok(Err(error)) => self.ask_again(no_answer(&error)).await,
            Err(_) => self.ask_again("it ended, and what it left is still being cleared".to_owned()).await,
        }
    }

    /// A shim that does not answer may be one that is overloaded: nothing is killed for it, but where it should
    /// end anyway.
    async fn ask_again(&mut self, reason: String) -> Phase {
        let state = if self.record.passed { InstanceState::Unhealthy } else { InstanceState::Starting };
        self.report_because(state, reason);
        if self.orders.unless_ended(tokio::time::sleep(AGAIN)).await.is_some() {
            return Phase::Find;
        }
        self.sweep_group().await;
        Phase::Stopped
    }

    /// Kills whatever is left in the control group.
    pub(super) async fn sweep_group(&self) {
        let group = Group::open(&self.context.folders.cgroup_parent, &self.id().to_string());
        if let Err(error) = group.sweep().await {
            self.warn("could not end what is left", &error);
        }
    }

    /// For a process that went without a word: its shim was killed, or the machine went down.
    pub(super) fn unknown_end(&self) -> ExitRecord {
        let at = self.context.clock.now();
        let exit = Exit { code: None, signal: None, out_of_memory: false, at };
        let ran = self.since.map(|since| since.elapsed().as_millis());
        let ran_ms = ran.map(|ran| u64::try_from(ran).unwrap_or(u64::MAX));
        let started = self.line.started.unwrap_or(at);
        ExitRecord { started, exit, timed_out: false, dropped_lines: 0, ran_ms }
    }
}

fn no_answer(error: &tandem_sandbox::shim::Error) -> String {
    format!("its shim does not answer: {}", chain(error))
}
