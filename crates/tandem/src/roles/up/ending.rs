//! How `tandem up` ends, and what it leaves running.
//!
//! | end | apps | balancer |
//! |---|---|---|
//! | Ctrl-C, `tandem down` | stopped with their stop time | stopped last |
//! | SIGTERM, SIGHUP, failure of a part | go on | goes on |
//!
//! Apps stop before the balancer, so that requests in flight get their answers; the API is the last to go, since
//! everything else speaks to it.

use std::future::pending;

use tandem_kit::api::Client;
use tandem_types::api::Installation;
use tandem_types::document::Change;
use tandem_types::keys;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Parts;
use crate::exit::Exit;
use crate::failure::Failure;

/// Why it ends.
#[derive(Debug)]
pub(super) enum End {
    /// Stop everything.
    Stop,
    /// End alone.
    Leave,
    /// A part failed: end alone, and tell.
    Failed(Failure),
}

/// The signals that mean something here.
pub(in crate::roles) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on the signals do not end the process by themselves.
    pub(in crate::roles) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|e| Failure::chain("listen for signals", &e));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for one that ends a role which runs apart, and with it nothing else.
    pub(in crate::roles) async fn any(&mut self) {
        let _ = self.next().await;
    }

    async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.interrupt.recv() => End::Stop,
            _ = self.terminate.recv() => End::Leave,
            _ = self.hang_up.recv() => End::Leave,
        }
    }
}

/// Waits for a reason to end.
pub(super) async fn wait(signals: &mut Signals, parts: &Parts) -> End {
    tokio::select! {
        end = signals.next() => end,
        () = asked_down(&parts.client) => End::Stop,
        failure = parts.server.failed() => End::Failed(failure),
        failure = parts.runner.failed() => End::Failed(failure),
    }
}

/// `tandem down` leaves a mark in the store, so that it is not lost with a connection.
pub(in crate::roles) async fn asked_down(client: &Client) {
    let mut watch = client.watch(&[keys::INSTALLATION]);
    loop {
        let Change::Put { document } = watch.next().await else { continue };
        let installation = serde_json::from_value::<Installation>(document.body);
        if installation.is_ok_and(|installation| installation.down) {
            return;
        }
    }
}

/// Ends in the way asked for. A second Ctrl-C while things stop ends the process at once: what is not stopped yet
/// goes on, and `tandem down` stops it.
pub(super) async fn carry_out(end: End, parts: Parts, mut signals: Signals) -> Result<Exit, Failure> {
    let impatient = async {
        match signals.interrupt.recv().await {
            Some(()) => {}
            None => pending().await,
        }
    };
    tokio::select! {
        exit = end_parts(end, parts) => exit,
        () = impatient => Err(Failure::new("left before everything was stopped")
            .hint("`tandem down` stops what still runs")),
    }
}

async fn end_parts(end: End, parts: Parts) -> Result<Exit, Failure> {
    // While the lock is held: the next `tandem up` may write the same words.
    if let (Some(written), End::Stop | End::Leave) = (&parts.ready, &end) {
        written.remove();
    }
    match end {
        End::Stop => {
            tracing::info!("stopping the apps; Ctrl-C again leaves at once");
            parts.server.stop_control().await;
            parts.runner.stop_all().await;
            parts.balancer.stop().await;
            parts.server.end().await;
            if let Err(error) = parts.data.remove_runtime() {
                tracing::debug!("{}", crate::failure::chain_of(&error));
            }
            tracing::info!("everything is stopped");
            Ok(Exit::Done)
        }
        End::Leave => {
            tracing::info!("ending; apps and balancer go on");
            leave(parts).await;
            Ok(Exit::Done)
        }
        End::Failed(failure) => {
            leave(parts).await;
            Err(failure)
        }
    }
}

async fn leave(parts: Parts) {
    parts.balancer.leave();
    parts.server.stop_control().await;
    parts.runner.leave().await;
    parts.server.end().await;
}
