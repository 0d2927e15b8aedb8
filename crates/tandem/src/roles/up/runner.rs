//! The runner, inside `tandem up` or alone: it knows the API's socket and the data folder, nothing else of this process.

use std::collections::BTreeSet;
use std::time::Duration;

use tandem_kit::api::Server;
use tandem_kit::clock::Clock;
use tandem_kit::drain::{self, Trigger};
use tandem_kit::paths::DataDir;
use tandem_kit::tasks::{Kind, Tasks};
use tandem_runner::{Config, EndMode};
use tokio::sync::watch;

use super::machine;
use crate::failure::{Failure, chain_of};

/// Longest wait for a runner that leaves its instances alone.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for instances to stop. Each has a limit of its own, after which it is killed; this one is only there so
/// that the process ends whatever happens.
const STOP_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// A runner at work.
pub(in crate::roles) struct Runner {
    end: watch::Sender<EndMode>,
    trigger: Trigger,
    tasks: Tasks,
}

impl Runner {
    /// Takes over what runs on this host and goes on by what the server says. Apps do not get to the closed ports.
    pub(in crate::roles) async fn start(
        data: &DataDir,
        server: Server,
        (closed_ports, clock): (watch::Receiver<BTreeSet<u16>>, &Clock),
    ) -> Result<Self, Failure> {
        // Not its path: the file may be replaced or gone by the time the next shim starts.
        let binary = std::path::PathBuf::from("/proc/self/exe");
        let (end, end_mode) = watch::channel(EndMode::Leave);
        let config = Config {
            host: machine::host_name(data)?,
            data: data.clone(),
            server,
            binary,
            closed_ports,
            end: end_mode,
            clock: clock.clone(),
        };
        let runner = tandem_runner::Runner::build(config).await;
        let runner = runner.map_err(|error| Failure::new(format!("failed to {}", chain_of(&error))))?;
        let (trigger, drain) = drain::channel();
        let tasks = Tasks::new(drain.clone());
        tasks.spawn("runner", Kind::Component, runner.run(drain));
        Ok(Self { end, trigger, tasks })
    }

    /// Waits until it fails, which it never does by itself.
    pub(in crate::roles) async fn failed(&self) -> Failure {
        self.tasks.drain().requested().await;
        let failure = self.tasks.failure().map(|failure| format!("{}: {}", failure.task, failure.message));
        Failure::new("the runner failed").detail(failure.unwrap_or_default())
    }

    /// Ends it; instances go on.
    pub(in crate::roles) async fn leave(self) {
        self.trigger.fire();
        tell_laggards(&self.tasks.join(LEAVE_LIMIT).await);
    }

    /// Stops every instance, each within its own stop time, and ends.
    pub(in crate::roles) async fn stop_all(self) {
        self.end.send_replace(EndMode::StopAll);
        self.trigger.fire();
        tell_laggards(&self.tasks.join(STOP_LIMIT).await);
    }
}

fn tell_laggards(laggards: &[&str]) {
    if !laggards.is_empty() {
        tracing::warn!("did not end in time: {}", laggards.join(", "));
    }
}
