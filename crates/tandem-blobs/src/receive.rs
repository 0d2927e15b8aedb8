//! Taking a framed stream of blobs into a store or a cache.
//!
//! Digest and size of every blob are checked while it arrives; it gets its name only when they are right, so a bad
//! sender can waste time but not put a wrong blob in place. What is here already is read over.

use std::fs::File;
use std::io::{self, Sink};

use crate::aside::Aside;
use crate::cache::{self, LinkCache};
use crate::frames::{self, Decoder, Head, Item, Limits};
use crate::packed::{self, Unpacker};
use crate::store::{self, BlobStore, InUse};

/// Longest head of a zstd frame, which tells the raw size.
const FRAME_HEAD_BYTES: usize = 18;

/// Why a stream was not taken. What had arrived whole by then is kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no stream of blobs.
    #[error("receive blobs")]
    Stream(#[from] frames::Error),
    /// A blob is not what its head says.
    #[error("receive blob {}: it is not what was announced", digest.short())]
    Wrong {
        /// Which.
        digest: tandem_types::Digest,
        /// In which way.
        #[source]
        source: io::Error,
    },
    /// The store refused a blob.
    #[error("keep a received blob")]
    Store(#[from] store::Error),
    /// The cache refused a blob.
    #[error("keep a received blob")]
    Cache(#[from] cache::Error),
    /// The sender's bytes ended in an error of the connection.
    #[error("receive blobs: the connection broke")]
    Connection(#[source] tandem_kit::http::BoxError),
    /// The sender is there and sends nothing.
    #[error("receive blobs: nothing came for {} seconds", .0.as_secs())]
    Idle(std::time::Duration),
}

/// Where blobs go.
#[derive(Debug, Clone)]
pub enum Target {
    /// A store that takes blobs from clients: they are first seen now.
    Store(BlobStore),
    /// A store that takes blobs from another store and keeps their first-seen times.
    Copy(BlobStore),
    /// A host's cache; first-seen times are kept.
    Cache(LinkCache),
}

/// How much came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// Blobs that were not here before.
    pub blobs: u64,
    /// Bytes of the stream.
    pub bytes: u64,
}

/// Takes a stream piece by piece. Blocks on the disk.
pub struct Receiver {
    target: Target,
    decoder: Decoder,
    current: Option<(Head, Blob)>,
    received: Received,
    /// A store keeps what came first until the last has come, and for a while where it does not come.
    in_use: Option<InUse>,
}

enum Blob {
    Known,
    Packed { aside: Aside, check: Unpacker<Sink>, frame_head: Vec<u8> },
    Raw { aside: Aside, unpack: Unpacker<File> },
}

impl Receiver {
    /// Expects a whole stream within the limits.
    #[must_use]
    pub fn new(target: Target, limits: Limits) -> Self {
        let in_use = match &target {
            Target::Store(store) | Target::Copy(store) => Some(store.begin_upload()),
            Target::Cache(_) => None,
        };
        let (decoder, received) = (Decoder::new(limits), Received::default());
        Self { target, decoder, current: None, received, in_use }
    }

    /// The next bytes, in pieces of any size.
    ///
    /// # Errors
    /// See [`Error`]; the stream is of no use after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.received.bytes += bytes.len() as u64;
        self.decoder.push(bytes);
        while let Some(item) = self.decoder.next_item()? {
            match item {
                Item::Blob(head) => self.current = Some((head, self.begin(&head)?)),
                Item::Data(data) => self.data(&data)?,
                Item::BlobEnd => self.end()?,
                Item::End => {}
            }
        }
        Ok(())
    }

    /// Call when no more bytes come. A store is synced: what was received is durable.
    ///
    /// # Errors
    /// The stream was cut off, or the disk refuses.
    pub fn finish(self) -> Result<Received, Error> {
        self.decoder.finish()?;
        if let Target::Store(store) | Target::Copy(store) = &self.target {
            store.sync()?;
        }
        if let Some(in_use) = self.in_use {
            in_use.finish();
        }
        Ok(self.received)
    }

    fn begin(&self, head: &Head) -> Result<Blob, Error> {
        let wrong = |source| Error::Wrong { digest: head.digest, source };
        match &self.target {
            Target::Store(store) | Target::Copy(store) => {
                if store.touch(&head.digest) {
                    return Ok(Blob::Known);
                }
                let check = Unpacker::new(io::sink(), head.raw_len).map_err(wrong)?;
                Ok(Blob::Packed { aside: store.aside()?, check, frame_head: Vec::new() })
            }
            Target::Cache(cache) => {
                if cache.has_plain(&head.digest, head.raw_len) {
                    return Ok(Blob::Known);
                }
                let aside = cache.aside()?;
                let file = aside.file.try_clone().map_err(wrong)?;
                let unpack = Unpacker::new(file, head.raw_len).map_err(wrong)?;
                Ok(Blob::Raw { aside, unpack })
            }
        }
    }

    fn data(&mut self, data: &[u8]) -> Result<(), Error> {
        let (head, blob) = self.current.as_mut().expect("the decoder gives data only within a blob");
        let pushed = match blob {
            Blob::Known => Ok(()),
            Blob::Packed { aside, check, frame_head } => {
                let wanted = FRAME_HEAD_BYTES.saturating_sub(frame_head.len());
                frame_head.extend_from_slice(&data[..data.len().min(wanted)]);
                check.push(data).and_then(|()| io::Write::write_all(&mut aside.file, data))
            }
            Blob::Raw { unpack, .. } => unpack.push(data),
        };
        pushed.map_err(|source| Error::Wrong { digest: head.digest, source })
    }

    fn end(&mut self) -> Result<(), Error> {
        let (head, blob) = self.current.take().expect("the decoder ends only a blob that began");
        let wrong = |source| Error::Wrong { digest: head.digest, source };
        match (blob, &self.target) {
            (Blob::Packed { aside, check, frame_head }, Target::Store(store) | Target::Copy(store)) => {
                check.finish(&head.digest).map_err(wrong)?;
                if packed::raw_len(&frame_head) != Some(head.raw_len) {
                    return Err(wrong(packed::invalid("its frame does not tell its size")));
                }
                if matches!(self.target, Target::Copy(_)) {
                    aside.set_first_seen(head.first_seen).map_err(wrong)?;
                }
                store.keep(aside, &head.digest)?;
            }
            (Blob::Raw { aside, unpack }, Target::Cache(cache)) => {
                unpack.finish(&head.digest).map_err(wrong)?;
                cache.keep(aside, &head.digest, head.first_seen)?;
            }
            _ => return Ok(()),
        }
        self.received.blobs += 1;
        Ok(())
    }
}
