//! The new one's side: gets the state folder from nobody or from who has it, and comes to serve in the place of the old one.

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tandem_kit::drain::Drain;
use tandem_kit::files::{self, LockGuard};
use tandem_kit::points::{self, Effect};
use tandem_kit::tasks::{Kind, Tasks};
use tandem_types::BalancerId;
use tandem_types::routing::BalancerStatus;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::message::{Message, Offer, PROTOCOL, Take};
use super::{Elders, Giver, Silence, elders, has_elders, link};
use crate::process;
use crate::serve::Listening;

/// How often, and with which pause, a folder that somebody has is asked for again: whoever looks for a balancer (see
/// `Process::find`) holds the lock for a moment, and one that ends does not answer any more.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);
/// Longest wait for a word of the old one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for the server's word on what is to be served. What the old one had is enough while there is no server.
const LISTING: Duration = Duration::from_secs(1);
/// Longest wait to hear of the table that the old one serves already.
const BEHIND: Duration = Duration::from_secs(2);

/// A state folder that is to be had.
#[derive(Debug)]
pub(crate) enum Sought {
    /// Nobody has it.
    Free(LockGuard),
    /// Who has it hands over.
    Given(Box<Given>),
}

/// What the old one gave.
#[derive(Debug)]
pub(crate) struct Given {
    /// The conversation.
    pub stream: UnixStream,
    /// The lock of the state folder.
    pub lock: LockGuard,
    /// Its listening sockets.
    pub listening: Vec<Listening>,
    /// What it said.
    pub offer: Offer,
}

/// Why the state folder is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Somebody has it and knows of no hand-over.
    #[error("another balancer uses it")]
    Taken,
    /// Somebody has it and says no.
    #[error("{0}")]
    Refused(String),
    /// The folder is of no use.
    #[error(transparent)]
    Folder(#[from] files::Error),
}

/// Whether who serves for a state folder can hand its sockets over.
pub(crate) fn offers(state_dir: &Path) -> bool {
    link::is_listened(state_dir)
}

/// Takes a state folder, from nobody or from who has it.
pub(crate) async fn seek(
    state_dir: &Path,
    (id, http): (&BalancerId, &[SocketAddr]),
) -> Result<Sought, Refusal> {
    for _ in 0..TRIES {
        if let Some(lock) = process::lock(state_dir)? {
            return Ok(Sought::Free(lock));
        }
        match timeout(PATIENCE, ask(state_dir, (id, http))).await {
            Ok(Ok(Asked::Given(given))) => {
                points::reached(Effect::HandoverTaken).await;
                return Ok(Sought::Given(given));
            }
            Ok(Ok(Asked::Refused(reason))) => return Err(Refusal::Refused(reason)),
            Ok(Ok(Asked::Nobody)) => {}
            // It ended in the middle; then the folder is free.
            Ok(Err(error)) => tracing::debug!("the one that serves broke off: {error}"),
            Err(_) => tracing::debug!("the one that serves does not answer"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Refusal::Taken)
}

enum Asked {
    Given(Box<Given>),
    Refused(String),
    Nobody,
}

async fn ask(state_dir: &Path, (id, http): (&BalancerId, &[SocketAddr])) -> io::Result<Asked> {
    let Some(mut stream) = link::connect(state_dir).await? else { return Ok(Asked::Nobody) };
    let take = Take { protocol: PROTOCOL, pid: std::process::id(), id: id.clone(), http: http.to_vec() };
    link::send(&mut stream, &Message::Take(take)).await?;
    let offer = match link::receive(&mut stream).await? {
        Message::Offer(offer) => *offer,
        Message::Refused(reason) => return Ok(Asked::Refused(reason)),
        other => return Ok(Asked::Refused(format!("it said {other:?}"))),
    };
    let lock = LockGuard::inherit(link::receive_descriptor(&stream).await?);
    let mut listening = Vec::new();
    for address in &offer.sockets {
        let socket = TcpListener::from(link::receive_descriptor(&stream).await?);
        listening.push(Listening { address: *address, socket });
    }
    tracing::info!("taking over from process {}", offer.pid);
    Ok(Asked::Given(Box::new(Given { stream, lock, listening, offer })))
}

/// What brings the new one into the place of the old one.
pub(crate) struct Taker {
    /// The conversation.
    pub stream: UnixStream,
    /// How this process stands.
    pub own: watch::Receiver<BalancerStatus>,
    /// Whether the server has said what is to be served.
    pub known: watch::Receiver<bool>,
    /// Lets the threads accept.
    pub open: watch::Sender<bool>,
    /// Keeps this process from speaking until the old one has told how it stands.
    pub silence: Silence,
    /// Those whose requests count here.
    pub elders: Elders,
}

/// Why this one does not serve in the place of the old one.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The old one says so.
    #[error("take over: the old process says that it failed to {0}")]
    Refused(String),
    /// It says nothing.
    #[error("take over: the old process does not answer")]
    Late,
    /// It says what this version does not understand.
    #[error("take over: understand the old process")]
    Unclear(#[source] io::Error),
    /// The end was asked for before; it is no failure.
    #[error("take over: everything is stopped")]
    Stopped,
    /// What others need to find this process could not be written.
    #[error("write down where this balancer serves")]
    Announce(#[source] io::Error),
}

impl Taker {
    /// Comes to serve. Returns the socket on which the next one asks; and the silence where the old one has ended, but those
    /// that it followed live: they have to be heard first.
    pub(crate) async fn run(
        mut self,
        giver: &Arc<Giver>,
        tasks: &Tasks,
    ) -> Result<(UnixListener, Option<Silence>), TakeError> {
        let (listener, place) = match self.come_to_serve(giver, tasks.drain()).await {
            Ok(served) => served,
            Err(error) => {
                self.part(giver, &error).await;
                return Err(error);
            }
        };
        tracing::info!("took over");
        let Some(place) = place else {
            return Ok((listener, has_elders(&giver.state_dir).then_some(self.silence)));
        };
        let (giver, drain, stream) = (Arc::clone(giver), tasks.drain().clone(), self.stream);
        let following = async move { elders::follow(place, stream, (&giver.state_dir, &drain)).await };
        tasks.spawn("elder", Kind::Work, following);
        Ok((listener, None))
    }

    /// The old one speaks on, and takes the end of the conversation for the end of all requests here. Those that the threads
    /// have let in, while this waited for the disk or for a word, are not among what it says: it holds its epoch back for them,
    /// so the conversation ends with the process.
    async fn part(self, giver: &Giver, error: &TakeError) {
        let Self { mut stream, open, silence, .. } = self;
        silence.for_good();
        if *open.borrow() {
            // It would wait for this one's word for long; and it takes back now what this one wrote.
            let word = Message::Refused(error.to_string());
            let _ = timeout(PATIENCE, link::send(&mut stream, &word)).await;
            giver
                .hold_until_end(async move {
                    let _stream = stream;
                    pending().await
                })
                .await;
        }
    }

    /// No place: the old one has ended, and so have its requests.
    async fn come_to_serve(
        &mut self,
        giver: &Giver,
        drain: &Drain,
    ) -> Result<(UnixListener, Option<elders::Place>), TakeError> {
        let place = self.until_told_to_go(drain).await?;
        self.open.send_replace(true);
        // The socket belongs to the event loop of this thread, so this waits for the disk here.
        let listener = giver.announce().map_err(TakeError::Announce)?;
        points::reached(Effect::HandoverOpened).await;
        if drain.is_requested() && place.is_some() {
            // The old one still accepts, and takes back what this one wrote.
            return Err(TakeError::Stopped);
        }
        let Some(place) = place else { return Ok((listener, None)) };
        let Some(status) = self.until_left().await? else { return Ok((listener, None)) };
        if let Some(status) = status {
            place.update(*status);
        }
        Ok((listener, Some(place)))
    }

    /// None: the old one has ended before. What it had is here.
    async fn until_told_to_go(&mut self, drain: &Drain) -> Result<Option<elders::Place>, TakeError> {
        // An error means that the control side is gone; then the process drains.
        let _ = timeout(LISTING, self.known.wait_for(|known| *known)).await;
        loop {
            if drain.is_requested() {
                return Err(TakeError::Stopped);
            }
            let epoch = self.own.borrow().serving;
            if !self.say(&Message::Ready(epoch)).await? {
                return Ok(None);
            }
            let heard = tokio::select! {
                biased;
                () = drain.requested() => return Err(TakeError::Stopped),
                heard = timeout(PATIENCE, link::receive(&mut self.stream)) => heard,
            };
            match heard {
                Ok(Ok(Message::Go(status))) => return Ok(Some(self.elders.add(*status))),
                Ok(Ok(Message::Behind(later))) => {
                    let caught_up = self.own.wait_for(|own| own.serving >= later);
                    let _ = timeout(BEHIND, caught_up).await;
                }
                Ok(Ok(Message::Refused(reason))) => return Err(TakeError::Refused(reason)),
                Ok(Ok(other)) => return Err(TakeError::Refused(format!("say more than {other:?}"))),
                Ok(Err(error)) if link::is_end(&error) => return Ok(None),
                // It lives and serves, and goes on with it.
                Ok(Err(error)) => return Err(TakeError::Unclear(error)),
                Err(_) => return Err(TakeError::Late),
            }
        }
    }

    /// Says that this one serves and waits until the old one has stopped to accept, and says how it stands. None: it has
    /// ended. Where its status is not understood there is none.
    pub(super) async fn until_left(&mut self) -> Result<Option<Option<Box<BalancerStatus>>>, TakeError> {
        if !self.say(&Message::Serving).await? {
            return Ok(None);
        }
        match timeout(PATIENCE, link::receive(&mut self.stream)).await {
            Ok(Ok(Message::Refused(reason))) => Err(TakeError::Refused(reason)),
            Ok(Ok(Message::Status(status))) => Ok(Some(Some(status))),
            Ok(Ok(other)) => Err(TakeError::Refused(format!("say more than {other:?}"))),
            Ok(Err(error)) if link::is_end(&error) => Ok(None),
            // All versions refuse in the same words, so it has left: were this one to give up, nobody would serve. What the
            // old one said at `go` counts until it ends.
            Ok(Err(error)) => {
                tracing::warn!("what the old process says is not understood: {error}");
                Ok(Some(None))
            }
            Err(_) => Err(TakeError::Late),
        }
    }

    /// False: it does not listen any more. Where it had no patience with this process it has said so, and serves on.
    async fn say(&mut self, message: &Message) -> Result<bool, TakeError> {
        if link::send(&mut self.stream, message).await.is_ok() {
            return Ok(true);
        }
        match timeout(PATIENCE, link::receive(&mut self.stream)).await {
            Ok(Ok(Message::Refused(reason))) => Err(TakeError::Refused(reason)),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {

    use tandem_types::Epoch;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::handover::Voice;

    async fn taker(stream: UnixStream) -> Taker {
        let status = BalancerStatus::silent("box".parse().unwrap(), Epoch(1));
        Taker {
            stream,
            own: watch::channel(status).1,
            known: watch::channel(true).1,
            open: watch::Sender::new(false),
            silence: Voice::default().silence().await,
            elders: Elders::default(),
        }
    }

    #[tokio::test]
    async fn only_one_that_has_ended_is_taken_for_ended() {
        let (_trigger, drain) = tandem_kit::drain::channel();
        for unclear in ["\"nothing\"", "", "{\"go\":"] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_u32(unclear.len().try_into().unwrap()).await.unwrap();
            theirs.write_all(unclear.as_bytes()).await.unwrap();
            let told = taker(ours).await.until_told_to_go(&drain).await;
            assert!(matches!(told, Err(TakeError::Unclear(_))), "{unclear}: {told:?}");
        }
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut taker = taker(ours).await;
        // It dies in the middle of a word.
        theirs.write_u32(20).await.unwrap();
        drop(theirs);
        assert!(matches!(taker.until_told_to_go(&drain).await, Ok(None)));
    }

    #[tokio::test]
    async fn one_that_has_left_counts_also_where_its_status_is_not_understood() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut taker = taker(ours).await;
        theirs.write_u32(2).await.unwrap();
        theirs.write_all(b"{}").await.unwrap();
        assert!(matches!(taker.until_left().await, Ok(Some(None))));
        drop(theirs);
        assert!(matches!(taker.until_left().await, Ok(None)));
    }
}
