//! Telling the server what is: at each change, and every so often in case it forgot.
//!
//! The first change after a quiet time goes out at once; those that come within a moment after it go together, the
//! latest state winning. While the server is away nothing is queued: when it is back it gets the state of that moment.

use std::sync::Arc;
use std::time::Duration;

use tandem_types::keys;
use tokio::sync::watch;

use crate::context::Context;
use crate::host::Host;

/// Changes that come closer together than this are told together.
const GATHER: Duration = Duration::from_millis(20);
/// The state is told again after this time, changed or not: a server that restarted knows nothing of it.
const REPEAT: Duration = Duration::from_secs(10);
/// A server that takes longer to take a report in is asked anew, with the state of then.
const LIMIT: Duration = Duration::from_secs(5);
/// Wait after a report that did not arrive.
const RETRY: Duration = Duration::from_secs(1);

/// Reports for ever. `connected` turns true when a server that was away is back.
pub(crate) async fn report(context: Arc<Context>, host: Host, mut connected: watch::Receiver<bool>) {
    let path = format!("/v1/{}", keys::host_observed(&host.name));
    let mut board = context.board.watch();
    loop {
        let observation = board.borrow_and_update().observation(&host);
        connected.mark_unchanged();
        let sent = tokio::time::timeout(LIMIT, context.client.put::<_, ()>(&path, &observation)).await;
        let wait = match sent {
            Ok(Ok(())) => REPEAT,
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the report did not arrive");
                RETRY
            }
            Err(_) => RETRY,
        };
        tokio::time::sleep(GATHER).await;
        tokio::select! {
            changed = board.changed() => if changed.is_err() { return },
            () = back(&mut connected) => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn back(connected: &mut watch::Receiver<bool>) {
    loop {
        if connected.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if *connected.borrow_and_update() {
            return;
        }
    }
}
