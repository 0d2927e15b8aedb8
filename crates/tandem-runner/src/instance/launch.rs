//! From an order to a living shim: build, leave to start, config, port, shim.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use tandem_kit::disk;
use tandem_kit::error::chain;
use tandem_kit::points::{self, Effect};
use tandem_sandbox::shim::{LaunchError, ShimHandle, ShimSpec, Status, launch};
use tandem_sandbox::{Limits, Weight};
use tandem_types::Span;
use tandem_types::assignment::Desired;
use tandem_types::instance::{Address, DISK_IS_LOW, InstanceState, TRIES_AGAIN};

use super::actor::{Actor, Phase};
use super::running::Run;
use crate::board::BuildKey;
use crate::environment::{self, Name};
use crate::gate::Gate;
use crate::intent::Intent;
use crate::logs::source::Source;
use crate::spec::{self, Process};
use crate::{config, logs};

impl Actor {
    /// Starts it, waiting for whatever is not there yet.
    pub(super) async fn launch(&mut self) -> Phase {
        let mut orders = self.orders.clone();
        let Some(environment) = orders.unless_ended(self.gather()).await else {
            return Phase::Stopped;
        };
        let intent = orders.now().intent;
        self.adopt_intent(&intent);
        let spec = match self.describe(environment).await {
            Ok(spec) => spec,
            Err(reason) => return self.not_started(reason).await,
        };
        self.record.passed = false;
        self.keep_record();
        self.guard_port().await;
        points::reached(Effect::InstanceLaunching).await;
        match launch(&self.context.binary, &self.folder, &spec).await {
            Ok(shim) => {
                points::reached(Effect::InstanceLaunched).await;
                self.launched(shim).await
            }
            Err(error @ LaunchError::NotStarted { .. }) => self.not_started(chain(&error)).await,
            Err(error) => {
                self.warn("the start is uncertain", &error);
                Phase::Find
            }
        }
    }

    /// Before it runs: nobody else should get to its port first.
    pub(super) async fn guard_port(&self) {
        if let Some(port) = self.port {
            self.context.packet_rules.guard(self.id(), port, self.record.intent.uid).await;
        }
    }

    async fn launched(&mut self, shim: ShimHandle) -> Phase {
        let Ok(status) = shim.status().await else {
            return Phase::Find;
        };
        let run = Run::new(shim, Gate::closed(), (Span::millis(0), self.context.budget));
        self.began(&status, Span::millis(0));
        self.line.log_tail.clear();
        self.report_because(InstanceState::Starting, "has just started");
        Phase::Running(Box::new(run))
    }

    /// Puts what is known of a living process into the report to come.
    pub(super) fn began(&mut self, status: &Status, age: Span) {
        let now = tokio::time::Instant::now();
        self.since = Some(now.checked_sub(age.as_duration()).unwrap_or(now));
        self.line.pid = Some(status.shim_pid);
        self.line.started = Some(status.started);
        self.line.address = self.port.map(|port| Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
    }

    /// Waits for the build, for leave to start, and for the config.
    async fn gather(&mut self) -> BTreeMap<String, String> {
        self.may_start().await;
        self.staged().await;
        if let Some(environment) = spec::cached_environment(&self.context.folders, self.unit()) {
            return environment;
        }
        let mut patience = config::Patience::new();
        loop {
            let intent = self.orders.now().intent;
            let context = &self.context;
            let (place, release) = (&intent.place, intent.instance.release);
            match config::fetch(context, place, release, None).await {
                Ok(config) => {
                    let name = Name::Instance(intent.instance.id);
                    return environment::compose(config, &intent.build, name, None);
                }
                Err(error) => {
                    let reason = format!("waits for its config: {}", chain(&error));
                    self.report_because(InstanceState::Waiting, reason);
                }
            }
            patience.wait().await;
        }
    }

    /// An instance that only an old record speaks for is not started again before the server had the time to say
    /// that it runs elsewhere now; one that must be alone waits for the server's word however long that takes.
    async fn may_start(&mut self) {
        if self.orders.now().confirmed {
            return;
        }
        self.report_because(InstanceState::Waiting, "waits for the server to confirm that it should run");
        let singleton = self.record.intent.instance.spec.singleton;
        let mut alone = self.context.alone.clone();
        let left_alone = async {
            if singleton || alone.wait_for(|alone| *alone).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.orders.until(|order| order.confirmed) => {}
            () = left_alone => {}
        }
    }

    async fn staged(&mut self) {
        let Intent { place, instance, build, .. } = &self.record.intent;
        let key = BuildKey::new(&place.app, instance.build, build);
        let mut board = self.context.board.watch();
        if board.borrow().staged.contains(&key) {
            return;
        }
        let reason = format!("waits for build {} to be checked out", instance.build);
        self.report_because(InstanceState::Waiting, reason);
        if board.wait_for(|sheet| sheet.staged.contains(&key)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn describe(&mut self, mut environment: BTreeMap<String, String>) -> Result<ShimSpec, String> {
        if self.record.intent.instance.process.is_web() {
            let port = self.take_port().map_err(|error| chain(&error))?;
            environment.insert(tandem_kit::env::PORT.to_owned(), port.to_string());
            self.port = Some(port);
        }
        let Intent { place, uid, build, instance, .. } = &self.record.intent;
        let source = Source::of_instance(&self.record.intent);
        logs::source::write(&self.context.folders.log(place, self.unit()), &source)
            .map_err(|error| chain(&error))?;
        let process = Process {
            unit: self.unit(),
            place,
            uid: *uid,
            build,
            command: &instance.spec.command,
            environment,
            limits: limits(&self.record.intent),
            kind: instance.process.as_str(),
            log: self.log_settings(),
        };
        spec::compose(&self.context, process).await.map_err(|error| chain(&error))
    }

    /// Its own port. Before it ever passed the gate nobody was sent there, so it may still be another one.
    fn take_port(&self) -> Result<u16, crate::ledger::PortError> {
        let ledger = &self.context.ledger;
        if self.line.last_exit.is_none() { ledger.free_port(self.id()) } else { ledger.port(self.id()) }
    }

    async fn not_started(&mut self, reason: String) -> Phase {
        let wait = self.backoff.ended(Span::millis(0));
        self.line.pid = None;
        self.line.started = None;
        self.since = None;
        let disk = disk::space(&self.context.folders.instances());
        let low = if disk.is_ok_and(|space| space.is_low()) { DISK_IS_LOW } else { "" };
        self.report_because(InstanceState::Crashed, format!("{reason}{low}{TRIES_AGAIN} in {wait}"));
        Phase::Rest(tokio::time::Instant::now() + wait.as_duration())
    }
}

fn limits(intent: &Intent) -> Limits {
    let spec = &intent.instance.spec;
    Limits {
        memory_bytes: Some(spec.memory_bytes),
        cpus: spec.cpus,
        pids: Some(spec.pids),
        weight: weight(intent.instance.desired),
    }
}

/// Share of CPU by what it should be doing.
pub(super) fn weight(desired: Desired) -> Weight {
    match desired {
        Desired::Warm => Weight::Lowest,
        Desired::Run | Desired::Stop => Weight::Normal,
    }
}
