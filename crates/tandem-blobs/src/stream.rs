//! Framed streams for async callers: blobs from disk or memory into a body, and a body into a store or cache.
//!
//! The disk is touched on threads where blocking is fine, a few pieces ahead of the connection and never more.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
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
            let (packed, first_seen) = store.read_packed(digest)?;
            let raw_len = crate::packed::raw_len(&packed).ok_or(store::Error::Missing(*digest))?;
            let head = Head { digest: *digest, first_seen, raw_len, packed_len: packed.len() as u64 };
            if !pieces.blob(&head, packed) {
                return Ok(());
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
}

impl<E> Pieces<E> {
    /// Sends a blob; false when nobody listens any more.
    pub(crate) fn blob(&mut self, head: &Head, packed: Vec<u8>) -> bool {
        self.small.extend_from_slice(&frames::blob_head(head));
        if packed.len() < PIECE_BYTES {
            self.small.extend_from_slice(&packed);
            return self.small.len() < PIECE_BYTES || self.flush();
        }
        self.flush() && self.large(packed.into())
    }

    /// Ends the stream.
    pub(crate) fn end(&mut self, blobs: u64) {
        self.small.extend_from_slice(&frames::stream_end(blobs));
        self.flush();
    }

    fn large(&self, mut packed: Bytes) -> bool {
        while !packed.is_empty() {
            let piece = packed.split_to(packed.len().min(PIECE_BYTES));
            if self.sender.blocking_send(Ok(piece)).is_err() {
                return false;
            }
        }
        true
    }

    fn flush(&mut self) -> bool {
        let piece = std::mem::take(&mut self.small);
        piece.is_empty() || self.sender.blocking_send(Ok(piece.into())).is_ok()
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
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let running: Owned<()> = tasks::owned(
        name,
        tasks::blocking(name, move || {
            let mut pieces = Pieces { sender, small: frames::stream_head().to_vec() };
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
