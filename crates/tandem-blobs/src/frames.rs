//! The framed stream in which blobs travel between client, server and hosts.
//!
//! | part | bytes |
//! |---|---|
//! | stream head | `TDMB` and the version, 1 |
//! | blob | `B`, digest (32), first seen: seconds (i64) and nanoseconds (u32), raw length (u64), packed length (u64), packed bytes |
//! | stream end | `E`, number of blobs (u64) |
//!
//! Numbers are big-endian, packed bytes one zstd frame. The decoder takes input in pieces of any size, holds no more than
//! one head in memory and never panics; whoever takes the blobs checks their digests (see [`crate::receive`]).
//! A stream without its end was cut off.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tandem_types::{Digest, Timestamp};

#[cfg(test)]
mod tests;

const STREAM_HEAD: &[u8; 5] = b"TDMB\x01";
const BLOB: u8 = b'B';
const END: u8 = b'E';
const BLOB_HEAD_BYTES: usize = 1 + 32 + 8 + 4 + 8 + 8;
const END_BYTES: usize = 1 + 8;

/// What comes before the packed bytes of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Digest of its raw content.
    pub digest: Digest,
    /// When the sender first saw it.
    pub first_seen: Timestamp,
    /// Size of its raw content in bytes.
    pub raw_len: u64,
    /// Size of what follows in bytes.
    pub packed_len: u64,
}

/// What a stream may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Raw bytes of one blob.
    pub raw_bytes: u64,
    /// Raw bytes of all blobs together.
    pub total_bytes: u64,
    /// Number of blobs.
    pub blobs: u64,
}

impl Default for Limits {
    /// Enough for any real build: 4 GiB a file, 32 GiB a stream.
    fn default() -> Self {
        Self { raw_bytes: 4 << 30, total_bytes: 32 << 30, blobs: crate::tree::MAX_ENTRIES }
    }
}

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A blob begins.
    Blob(Head),
    /// Packed bytes of the blob that began last.
    Data(Bytes),
    /// All its packed bytes have come.
    BlobEnd,
    /// The stream is complete.
    End,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a stream of blobs, or of a later version.
    #[error("read a stream of blobs: {0}")]
    Malformed(&'static str),
    /// More than the receiver takes.
    #[error("read a stream of blobs: {what} is over the limit of {limit}")]
    OverLimit {
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// It ended in the middle.
    #[error("read a stream of blobs: it was cut off")]
    CutOff,
}

/// The bytes before the first blob.
#[must_use]
pub fn stream_head() -> Bytes {
    Bytes::from_static(STREAM_HEAD)
}

/// The bytes before a blob's packed content.
#[must_use]
pub fn blob_head(head: &Head) -> Bytes {
    let mut bytes = BytesMut::with_capacity(BLOB_HEAD_BYTES);
    bytes.put_u8(BLOB);
    bytes.put_slice(&head.digest.0);
    // Rounded down, so that the nanoseconds are never negative.
    let nanos = head.first_seen.as_nanosecond();
    bytes.put_i64(i64::try_from(nanos.div_euclid(1_000_000_000)).expect("a timestamp's seconds fit"));
    bytes.put_u32(u32::try_from(nanos.rem_euclid(1_000_000_000)).expect("less than a second"));
    bytes.put_u64(head.raw_len);
    bytes.put_u64(head.packed_len);
    bytes.freeze()
}

/// Those of them that tell nothing of how the content packs: what can be sent before it is packed.
#[must_use]
pub fn early_head(head: &Head) -> Bytes {
    blob_head(head).slice(..BLOB_HEAD_BYTES - size_of::<u64>())
}

/// The bytes after the last blob.
#[must_use]
pub fn stream_end(blobs: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(END_BYTES);
    bytes.put_u8(END);
    bytes.put_u64(blobs);
    bytes.freeze()
}

/// Reads a stream piece by piece: [`Decoder::push`] what came, then call [`Decoder::next_item`] until it has nothing more.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: BytesMut,
    state: State,
    blobs: u64,
    total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    StreamHead,
    BlobHead,
    Data { left: u64 },
    Ended,
}

impl Decoder {
    /// Expects a whole stream within the limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), state: State::StreamHead, blobs: 0, total: 0 }
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece; none: more bytes are needed.
    ///
    /// # Errors
    /// The stream is malformed or over a limit; nothing sensible comes after that.
    pub fn next_item(&mut self) -> Result<Option<Item>, Error> {
        if self.state == State::StreamHead && !self.read_stream_head()? {
            return Ok(None);
        }
        match self.state {
            State::Data { left: 0 } => {
                self.state = State::BlobHead;
                Ok(Some(Item::BlobEnd))
            }
            State::Data { left } => Ok(self.read_data(left)),
            State::Ended if self.buffer.is_empty() => Ok(None),
            State::Ended => Err(Error::Malformed("there is more behind its end")),
            _ => self.read_head(),
        }
    }

    /// Call when no more bytes come.
    ///
    /// # Errors
    /// The stream has not ended.
    pub fn finish(&self) -> Result<(), Error> {
        if self.state == State::Ended { Ok(()) } else { Err(Error::CutOff) }
    }

    fn read_stream_head(&mut self) -> Result<bool, Error> {
        let known = self.buffer.len().min(STREAM_HEAD.len());
        if self.buffer[..known] != STREAM_HEAD[..known] {
            return Err(Error::Malformed("it does not begin as one of this version"));
        }
        if known < STREAM_HEAD.len() {
            return Ok(false);
        }
        self.buffer.advance(STREAM_HEAD.len());
        self.state = State::BlobHead;
        Ok(true)
    }

    fn read_data(&mut self, left: u64) -> Option<Item> {
        if self.buffer.is_empty() {
            return None;
        }
        let count = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.state = State::Data { left: left - count as u64 };
        Some(Item::Data(self.buffer.split_to(count).freeze()))
    }

    fn read_head(&mut self) -> Result<Option<Item>, Error> {
        match self.buffer.first() {
            None => Ok(None),
            Some(&BLOB) if self.buffer.len() < BLOB_HEAD_BYTES => Ok(None),
            Some(&END) if self.buffer.len() < END_BYTES => Ok(None),
            Some(&BLOB) => self.read_blob_head().map(Some),
            Some(&END) => self.read_end().map(Some),
            Some(_) => Err(Error::Malformed("neither a blob nor the end comes next")),
        }
    }

    fn read_blob_head(&mut self) -> Result<Item, Error> {
        let mut bytes = self.buffer.split_to(BLOB_HEAD_BYTES);
        bytes.advance(1);
        let mut digest = Digest([0; 32]);
        bytes.copy_to_slice(&mut digest.0);
        let (seconds, nanos) = (bytes.get_i64(), bytes.get_u32());
        let nanos = i32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        let first_seen = nanos.and_then(|nanos| Timestamp::new(seconds, nanos).ok());
        let first_seen = first_seen.ok_or(Error::Malformed("a blob's time is none"))?;
        let head = Head { digest, first_seen, raw_len: bytes.get_u64(), packed_len: bytes.get_u64() };
        self.check(&head)?;
        self.state = State::Data { left: head.packed_len };
        Ok(Item::Blob(head))
    }

    fn check(&mut self, head: &Head) -> Result<(), Error> {
        self.blobs += 1;
        self.total = self.total.saturating_add(head.raw_len);
        // zstd never makes noise larger than this.
        let most_packed = head.raw_len.saturating_add(head.raw_len / 128).saturating_add(1024);
        for (what, value, limit) in [
            ("the number of blobs", self.blobs, self.limits.blobs),
            ("the size of a blob", head.raw_len, self.limits.raw_bytes),
            ("the packed size of a blob", head.packed_len, most_packed),
            ("the size of all blobs", self.total, self.limits.total_bytes),
        ] {
            if value > limit {
                return Err(Error::OverLimit { what, limit });
            }
        }
        Ok(())
    }

    fn read_end(&mut self) -> Result<Item, Error> {
        let mut bytes = self.buffer.split_to(END_BYTES);
        bytes.advance(1);
        if bytes.get_u64() != self.blobs {
            return Err(Error::Malformed("it has another number of blobs than its end tells"));
        }
        self.state = State::Ended;
        Ok(Item::End)
    }
}
