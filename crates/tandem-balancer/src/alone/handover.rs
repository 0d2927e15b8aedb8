//! One process after the other on the very same sockets, found by a folder that both are told of.
//!
//! Both read the same file and nobody has to hear of what is served, so little is said of the conversation of
//! [`crate::handover`]: `take`, `offer` with the sockets, and `serving`. Until then the old one goes on as if nothing had
//! happened, beside the new one: whatever becomes of that one, nobody notices. Then it finishes what it has, and ends.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tandem_kit::drain::Trigger;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::handover::{Message, Offer, PROTOCOL, Take, link};
use crate::serve::{Listening, taken_by};
use crate::shared::Shared;

/// Longest wait for a word of the other one.
const PATIENCE: Duration = Duration::from_secs(15);
/// Time between two looks at whether the last request has ended.
const INTERVAL: Duration = Duration::from_millis(20);

/// Why the one that serves cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// The folder is of no use, or who serves broke off.
    #[error("take over from the process that serves, by {}", folder.display())]
    Link {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It says no.
    #[error("take over: the process that serves says that {0}")]
    Refused(String),
}

/// What the old one gave.
#[derive(Debug)]
pub(super) struct Given {
    stream: UnixStream,
    /// Sockets for HTTP and HTTPS.
    pub(super) http: Vec<Listening>,
    /// Sockets of doors, by the addresses that the file names.
    pub(super) doors: Vec<Listening>,
}

/// Asks for the sockets of who serves. None: nobody does.
///
/// # Errors
/// See [`TakeOverError`].
pub(super) async fn seek(folder: &Path, wanted: &[SocketAddr]) -> Result<Option<Given>, TakeOverError> {
    let failed = |source| TakeOverError::Link { folder: folder.to_owned(), source };
    let asked = timeout(PATIENCE, ask(folder, wanted)).await;
    asked.unwrap_or_else(|_| Ok(Err(io::ErrorKind::TimedOut.into())))?.map_err(failed)
}

async fn ask(folder: &Path, wanted: &[SocketAddr]) -> Result<io::Result<Option<Given>>, TakeOverError> {
    let asked = async {
        let Some(mut stream) = link::connect(folder).await? else { return Ok(None) };
        let id = "alone".parse().expect("a constant name");
        let take = Take { protocol: PROTOCOL, pid: std::process::id(), id, http: wanted.to_vec() };
        link::send(&mut stream, &Message::Take(take)).await?;
        let offer = match link::receive(&mut stream).await? {
            Message::Offer(offer) => *offer,
            Message::Refused(reason) => return Ok(Some(Err(reason))),
            other => return Err(io::Error::other(format!("it said {other:?}"))),
        };
        let doors: Vec<SocketAddr> = serde_json::from_value(offer.saved).map_err(io::Error::other)?;
        let mut all = Vec::new();
        for address in &offer.sockets {
            let socket = link::receive_descriptor(&stream).await?.into();
            all.push(Listening { address: *address, socket });
        }
        let mut of_doors = all.split_off(all.len().saturating_sub(doors.len()));
        for (listening, address) in of_doors.iter_mut().zip(doors) {
            listening.address = address;
        }
        tracing::info!("taking over from process {}", offer.pid);
        Ok(Some(Ok(Given { stream, http: all, doors: of_doors })))
    };
    match asked.await {
        Ok(Some(Err(reason))) => Err(TakeOverError::Refused(reason)),
        Ok(Some(Ok(given))) => Ok(Ok(Some(given))),
        Ok(None) => Ok(Ok(None)),
        Err(error) => Ok(Err(error)),
    }
}

impl Given {
    /// Says that this process serves now: the old one stops to accept.
    pub(super) async fn serves(mut self) {
        // Were it gone, nobody would accept but this one anyway.
        if let Err(error) = link::send(&mut self.stream, &Message::Serving).await {
            tracing::warn!("the process that served before does not listen: {error}");
        }
    }
}

/// The side that gives.
#[derive(Debug)]
pub(super) struct Giver {
    pub(super) shared: Arc<Shared>,
    /// Sockets for HTTP and HTTPS. Whoever keeps them keeps clients waiting, so this ends when the process begins to.
    pub(super) listening: Vec<Listening>,
    /// Ends the process.
    pub(super) end: Trigger,
}

impl Giver {
    /// Answers who comes to take over, until somebody has; then lets what is open here end, and the process.
    pub(super) async fn run(self, listener: UnixListener) {
        let taken = loop {
            let asked = match listener.accept().await {
                Ok((stream, _)) => link::check_peer(&stream).map(|()| stream),
                Err(error) => Err(error),
            };
            let given = match asked {
                Ok(stream) => self.give(stream).await,
                Err(error) => Err(error),
            };
            match given {
                Ok(Some(taken)) => break taken,
                // Somebody who looked whether there is anybody.
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!("nobody took over; serving on: {error}");
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        };
        let Self { shared, listening, end } = self;
        tracing::info!("another process serves; finishing what is open");
        shared.leave(taken);
        shared.doors().borrow().iter().for_each(|door| door.close());
        drop((listening, listener));
        while !shared.has_left() {
            tokio::time::sleep(INTERVAL).await;
        }
        end.fire();
    }

    /// Gives to one that asks. The addresses that it serves at; none: it asked for nothing.
    async fn give(&self, mut stream: UnixStream) -> io::Result<Option<Vec<SocketAddr>>> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let take = match timeout(PATIENCE, link::receive(&mut stream)).await.map_err(late)? {
            Ok(Message::Take(take)) => take,
            Ok(other) => return Err(io::Error::other(format!("it said {other:?}"))),
            Err(_) => return Ok(None),
        };
        tracing::info!("process {} takes over", take.pid);
        timeout(PATIENCE, self.offer(&mut stream)).await.map_err(late)??;
        match timeout(PATIENCE, link::receive(&mut stream)).await.map_err(late)?? {
            Message::Serving => {
                let held: Vec<_> = self.listening.iter().map(|listening| listening.address).collect();
                Ok(Some(taken_by(&take.http, &held)))
            }
            other => Err(io::Error::other(format!("it said {other:?}"))),
        }
    }

    async fn offer(&self, stream: &mut UnixStream) -> io::Result<()> {
        let doors = Arc::clone(&self.shared.doors().borrow());
        let doors: Vec<_> = doors.iter().flat_map(|door| door.copies()).collect();
        let addresses: Vec<_> = doors.iter().map(|door| door.address).collect();
        let all = || self.listening.iter().chain(&doors);
        let offer = Offer {
            protocol: PROTOCOL,
            pid: std::process::id(),
            sockets: all().map(|listening| listening.address).collect(),
            saved: serde_json::to_value(addresses).map_err(io::Error::other)?,
            unhealthy: Vec::new(),
        };
        link::send(stream, &Message::Offer(Box::new(offer))).await?;
        for listening in all() {
            link::send_descriptor(stream, listening.socket.as_fd()).await?;
        }
        Ok(())
    }
}
