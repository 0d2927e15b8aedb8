//! Tells the server how this balancer stands: at once at each change, and as a sign of life every 5 s.

use std::time::Duration;

use tandem_kit::api::Client;
use tandem_kit::points::{self, Effect};
use tandem_types::routing::BalancerStatus;
use tokio::sync::watch;

use crate::handover::Voice;

/// Least time between two reports, so that a burst of changes makes few of them.
const SPACING: Duration = Duration::from_millis(5);
/// Wait before a report that failed is tried again, with whatever is to be told by then.
const RETRY: Duration = Duration::from_millis(250);

/// Reports the latest status for ever. Whoever makes statuses sends one at each change and every few seconds.
/// Says nothing while another process speaks for the balancer.
pub(crate) async fn report(client: Client, mut statuses: watch::Receiver<BalancerStatus>, voice: Voice) {
    while statuses.changed().await.is_ok() {
        loop {
            let Some(speaking) = voice.speak().await else { return };
            let status = statuses.borrow_and_update().clone();
            let path = format!("/v1/balancers/{}", status.balancer);
            points::reached(Effect::BalancerTelling).await;
            let told = client.put::<_, ()>(&path, &status).await;
            drop(speaking);
            match told {
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!("the server does not take the status: {error}");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        tokio::time::sleep(SPACING).await;
    }
}
