//! Framed streams for async callers: blobs from disk or memory into a body, and a body into a store or cache.
//!
//! The disk is touched on threads where blocking is fine, a few pieces ahead of the connection and never more.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tandem_kit::clock::{Clock, Moment};
use tandem_kit::http::BoxError;
use tandem_kit::tasks::{self, Owned};
use tandem_types::Digest;
use tokio::sync::mpsc;

use crate::frames::{self, Head};
use crate::receive::{Error, Received, Receiver};
use crate::store::{self, BlobStore};

/// Pieces between disk and connection.
const PIECES_AHEAD: usize = 8;
/// A sender that sends nothing for so long is gone, whatever its connection says. Were it waited for, an upload that hangs
/// would keep every blob from being swept.
const MOST_IDLE: Duration = Duration::from_secs(60);
/// A sender that is at work and has nothing to send yet sends a byte of the next blob's head each time that this has passed.
/// There are 53 of them: enough for a file of 4 GiB at 4 MB/s.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
/// Small blobs are put together up to this size, so that 7,000 of them are not 14,000 writes to the socket.
const PIECE_BYTES: usize = 128 * 1024;

/// Sends blobs of a store. The caller checks with [`BlobStore::has`] that they are there; one that vanishes or was
/// damaged cuts the stream off.
pub fn send(
    store: BlobStore,
    digests: Vec<Digest>,
) -> impl Stream<Item = Result<Bytes, store::Error>> + Send + 'static {
    produce("send blobs", move |pieces| {
        for digest in &digests {
            let mut blob = store.outgoing(digest)?;
            pieces.head(&blob.head);
            while let Some(packed) = blob.next_piece(PIECE_BYTES)? {
                if !pieces.packed(packed) {
                    return Ok(());
                }
            }
        }
        pieces.end(digests.len() as u64);
        Ok(())
    })
}

/// Receives a whole body, as long as something comes.
///
/// # Errors
/// See [`Error`].
pub async fn receive(
    body: impl Stream<Item = Result<Bytes, BoxError>> + Send,
    receiver: Receiver,
) -> Result<Received, Error> {
    receive_from(body, receiver, MOST_IDLE).await
}

async fn receive_from(
    body: impl Stream<Item = Result<Bytes, BoxError>> + Send,
    mut receiver: Receiver,
    most_idle: Duration,
) -> Result<Received, Error> {
    let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES_AHEAD);
    let work: Owned<Result<Receiver, Error>> = tasks::owned(
        "receive blobs",
        tasks::blocking("receive blobs", move || {
            while let Some(piece) = pieces.blocking_recv() {
                receiver.push(&piece)?;
            }
            Ok(receiver)
        }),
    );
    let mut body = std::pin::pin!(body);
    while let Some(piece) =
        tokio::time::timeout(most_idle, body.next()).await.map_err(|_| Error::Idle(most_idle))?
    {
        let piece = piece.map_err(Error::Connection)?;
        if sender.send(piece).await.is_err() {
            // The receiver gave up; its error follows.
            break;
        }
    }
    drop(sender);
    let receiver = work.await?;
    tasks::blocking("sync blobs", move || receiver.finish()).await
}

/// Where a producer on a blocking thread puts its pieces.
pub(crate) struct Pieces<E> {
    sender: mpsc::Sender<Result<Bytes, E>>,
    small: Vec<u8>,
    /// Bytes of the next blob's head that were sent before the rest of it was known.
    early: usize,
    clock: Clock,
    /// When something was sent last.
    sent: Moment,
}

impl<E> Pieces<E> {
    /// Sends a blob; false when nobody listens any more.
    pub(crate) fn blob(&mut self, head: &Head, packed: Vec<u8>) -> bool {
        self.head(head);
        self.packed(packed.into())
    }

    /// To be called again and again while the next blob is packed: tells the receiver now and then that somebody is at work.
    /// What of the head is not in [`frames::early_head`] may be anything yet. That nobody listens any more is told by what
    /// is sent later.
    pub(crate) fn at_work(&mut self, head: &Head) {
        if !self.is_silent() {
            return;
        }
        if !self.small.is_empty() {
            self.flush();
        } else if let Some(next) = frames::early_head(head).get(self.early) {
            self.early += 1;
            self.send(Bytes::copy_from_slice(&[*next]));
        }
    }

    /// Begins a blob; its packed bytes follow.
    fn head(&mut self, head: &Head) {
        self.small.extend_from_slice(&frames::blob_head(head)[self.early..]);
        self.early = 0;
    }

    /// Sends packed bytes; false when nobody listens any more.
    fn packed(&mut self, mut packed: Bytes) -> bool {
        if packed.len() < PIECE_BYTES {
            self.small.extend_from_slice(&packed);
            return (self.small.len() < PIECE_BYTES && !self.is_silent()) || self.flush();
        }
        let mut is_heard = self.flush();
        while is_heard && !packed.is_empty() {
            is_heard = self.send(packed.split_to(packed.len().min(PIECE_BYTES)));
        }
        is_heard
    }

    /// Ends the stream.
    pub(crate) fn end(&mut self, blobs: u64) {
        self.small.extend_from_slice(&frames::stream_end(blobs));
        self.flush();
    }

    fn is_silent(&self) -> bool {
        self.clock.monotonic().elapsed_since(self.sent) >= SIGN_OF_LIFE
    }

    fn flush(&mut self) -> bool {
        let piece = std::mem::take(&mut self.small);
        piece.is_empty() || self.send(piece.into())
    }

    fn send(&mut self, piece: Bytes) -> bool {
        self.sent = self.clock.monotonic();
        self.sender.blocking_send(Ok(piece)).is_ok()
    }
}

/// Runs a producer on a blocking thread of the current runtime; its error is the stream's last item. Dropping the
/// stream ends it.
pub(crate) fn produce<E, W>(
    name: &'static str,
    work: W,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static
where
    E: Send + 'static,
    W: FnOnce(&mut Pieces<E>) -> Result<(), E> + Send + 'static,
{
    produce_by(Clock::system(), name, work)
}

/// As [`produce`], by this clock.
pub(crate) fn produce_by<E, W>(
    clock: Clock,
    name: &'static str,
    work: W,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static
where
    E: Send + 'static,
    W: FnOnce(&mut Pieces<E>) -> Result<(), E> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let running: Owned<()> = tasks::owned(
        name,
        tasks::blocking(name, move || {
            let (small, sent) = (frames::stream_head().to_vec(), clock.monotonic());
            let mut pieces = Pieces { sender, small, early: 0, clock, sent };
            if let Err(error) = work(&mut pieces) {
                // Nobody listening is the one case in which nobody needs to know.
                let _ = pieces.sender.blocking_send(Err(error));
            }
        }),
    );
    futures_util::stream::unfold((receiver, running), |(mut receiver, running)| async move {
        let item = receiver.recv().await?;
        Some((item, (receiver, running)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Limits;
    use crate::receive::Target;

    #[tokio::test]
    async fn blobs_of_every_size_go_from_store_to_store() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| BlobStore::open(folder.path().join(name)).unwrap());
        let noise = |length| {
            let mut bytes = vec![0; length];
            blake3::Hasher::new().finalize_xof().fill(&mut bytes);
            bytes
        };
        let contents = [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 5, 2, 200].map(noise);
        let digests: Vec<_> = contents.iter().map(|content| from.put(content).unwrap()).collect();
        let body = send(from, digests.clone()).map(|piece| piece.map_err(BoxError::from));
        let receiver = Receiver::new(Target::Copy(to.clone()), Limits::default());
        assert_eq!(receive(body, receiver).await.unwrap().blobs, 6);
        for (digest, content) in digests.iter().zip(&contents) {
            assert_eq!(to.read(digest).unwrap(), content[..]);
        }
    }

    #[tokio::test]
    async fn a_sender_that_falls_silent_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path().join("blobs")).unwrap();
        let pieces = futures_util::stream::iter([Ok(Bytes::from(frames::stream_head().to_vec()))]);
        let receiver = Receiver::new(Target::Store(store), Limits::default());
        let silent = pieces.chain(futures_util::stream::pending());
        let error = receive_from(silent, receiver, Duration::from_millis(10)).await.unwrap_err();
        assert!(matches!(error, Error::Idle(_)), "{error}");
        assert_eq!(Error::Idle(MOST_IDLE).to_string(), "receive blobs: nothing came for 60 seconds");
    }
}
