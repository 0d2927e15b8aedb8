//! The last words of a process that has handed over: it tells whoever serves how it stands, for as long as it lives.
//!
//! That one knows by the end of the conversation that no request is open here any more, so it must not end before, whatever
//! this process is asked to do meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use tandem_kit::drain::Trigger;
use tandem_kit::files::LockGuard;
use tandem_types::routing::BalancerStatus;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::link;
use super::message::Message;

/// Time between two looks for who serves now.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a process that has given everything away holds until it ends.
#[derive(Debug)]
pub(super) struct Parting {
    /// Its folder, where it finds who serves now.
    pub state_dir: PathBuf,
    /// How it stands, with those that it took over from.
    pub merged: watch::Receiver<BalancerStatus>,
    /// Ends it when the other one says that everything ends.
    pub end: Trigger,
    /// Tells who starts anew that there is somebody to be heard. Goes before the stream: whoever hears that end must not
    /// wait for others because of it.
    #[expect(dead_code, reason = "it is held, not read")]
    pub mark: Option<LockGuard>,
    /// The conversation with who took over.
    pub stream: UnixStream,
}

impl Parting {
    /// Tells it for ever.
    pub(super) async fn tell(mut self) {
        let mut again = false;
        loop {
            self.tell_one(again).await;
            again = true;
            // The one that took over has died. Its successor must know of the requests that are open here.
            self.stream = loop {
                match link::connect(&self.state_dir).await {
                    Ok(Some(stream)) => break stream,
                    Ok(None) => {}
                    Err(error) => tracing::debug!("cannot reach who serves now: {error}"),
                }
                tokio::time::sleep(INTERVAL).await;
            };
        }
    }

    /// Until the other one is gone.
    async fn tell_one(&mut self, again: bool) {
        let (mut reader, mut writer) = self.stream.split();
        let (mut statuses, mut first) = (self.merged.clone(), again);
        let telling = async {
            loop {
                let status = Box::new(statuses.borrow_and_update().clone());
                let message = if first { Message::Elder(status) } else { Message::Status(status) };
                first = false;
                if link::send(&mut writer, &message).await.is_err() {
                    return;
                }
                // Who drains follows no table any more: how it stands then is its last word until it ends.
                if statuses.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let hearing = async {
            while matches!(link::receive(&mut reader).await, Ok(Message::End)) {
                self.end.fire();
            }
        };
        tokio::select! {
            () = telling => {}
            () = hearing => {}
        }
    }
}
