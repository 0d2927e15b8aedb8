//! zstd as blobs use it: one frame a blob, its size in the head, its digest checked while it is unpacked.
//!
//! Every unpacking is bounded by the size that the frame's head tells, and the head by a limit of the caller: a few
//! kilobytes may claim to be terabytes.

use std::io::{self, Read, Write};

use tandem_types::Digest;
use zstd::zstd_safe::{CParameter, DParameter, get_frame_content_size};

/// zstd's own default: twice as small as level 1 on source text, and still 200 MB/s.
const LEVEL: i32 = 3;
/// 16 MiB of window at most, whatever a frame asks for; level 3 needs 2.
const WINDOW_LOG_MAX: u32 = 24;

/// Compresses to one frame that tells its size.
pub(crate) fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, LEVEL)
}

/// Compresses `size` bytes from a reader; another size than that is an error. Returns the digest of what was read.
pub(crate) fn pack_stream(mut from: impl Read, size: u64, to: impl Write) -> io::Result<Digest> {
    let mut encoder = zstd::stream::write::Encoder::new(to, LEVEL)?;
    encoder.set_parameter(CParameter::ContentSizeFlag(true))?;
    encoder.set_pledged_src_size(Some(size))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        encoder.write_all(&buffer[..count])?;
    }
    encoder.finish()?.flush()?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// The size that the head of a frame tells; none where the bytes are no frame or do not tell.
pub(crate) fn raw_len(head: &[u8]) -> Option<u64> {
    get_frame_content_size(head).ok().flatten()
}

/// Unpacks a whole frame of at most `limit` bytes.
pub(crate) fn unpack(packed: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let size = raw_len(packed).ok_or_else(|| invalid("no size in the head"))?;
    if size > limit {
        return Err(invalid("larger than allowed"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(|_| invalid("larger than memory"))?);
    decoder(packed)?.take(size + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err(invalid("another size than the head tells")) }
}

/// A streaming decoder with a bounded window.
pub(crate) fn decoder<R: Read>(
    packed: R,
) -> io::Result<zstd::stream::read::Decoder<'static, io::BufReader<R>>> {
    let mut decoder = zstd::stream::read::Decoder::new(packed)?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
    Ok(decoder)
}

/// Takes packed bytes piece by piece, hands the raw ones to a writer, and checks size and digest at the end.
pub(crate) struct Unpacker<W: Write> {
    decoder: zstd::stream::write::Decoder<'static, Counted<W>>,
}

struct Counted<W> {
    to: W,
    hasher: blake3::Hasher,
    left: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| invalid("more bytes than were announced"))?;
        self.hasher.update(bytes);
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Unpacker<W> {
    /// Expects a frame of exactly `raw_len` raw bytes.
    pub(crate) fn new(to: W, raw_len: u64) -> io::Result<Self> {
        let counted = Counted { to, hasher: blake3::Hasher::new(), left: raw_len };
        let mut decoder = zstd::stream::write::Decoder::new(counted)?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Self { decoder })
    }

    /// The next packed bytes.
    pub(crate) fn push(&mut self, packed: &[u8]) -> io::Result<()> {
        self.decoder.write_all(packed)
    }

    /// Checks that everything came and is what it should be.
    pub(crate) fn finish(self, digest: &Digest) -> io::Result<W> {
        let counted = self.decoder.finish()?;
        if counted.left > 0 {
            return Err(invalid("fewer bytes than were announced"));
        }
        if counted.hasher.finalize().as_bytes() != &digest.0 {
            return Err(invalid("the content has another digest"));
        }
        Ok(counted.to)
    }
}

pub(crate) fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::digest_of;

    #[test]
    fn both_ways_of_packing_tell_their_size_and_unpack() {
        let bytes: Vec<u8> = (0..300_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut streamed = Vec::new();
        let digest = pack_stream(&bytes[..], bytes.len() as u64, &mut streamed).unwrap();
        assert_eq!(digest, digest_of(&bytes));
        for packed in [pack(&bytes).unwrap(), streamed] {
            assert_eq!(raw_len(&packed), Some(bytes.len() as u64));
            assert_eq!(unpack(&packed, u64::MAX).unwrap(), bytes);
            assert!(unpack(&packed, 1000).is_err());
            let mut unpacker = Unpacker::new(Vec::new(), bytes.len() as u64).unwrap();
            packed.chunks(1000).for_each(|piece| unpacker.push(piece).unwrap());
            assert_eq!(unpacker.finish(&digest).unwrap(), bytes);
        }
        assert!(pack_stream(&bytes[1..], bytes.len() as u64, Vec::new()).is_err());
    }

    /// What `pack` wrote when the first blobs were stored. Another zstd may pack otherwise; it must unpack this.
    #[test]
    fn a_blob_of_the_first_version_stays_readable() {
        let golden = include_bytes!("golden/blob.zst");
        let text = "the same line again\n".repeat(20);
        assert_eq!(raw_len(golden), Some(400));
        assert_eq!(unpack(golden, 400).unwrap(), text.as_bytes());
        let mut unpacker = Unpacker::new(Vec::new(), 400).unwrap();
        unpacker.push(golden).unwrap();
        assert_eq!(unpacker.finish(&digest_of(text.as_bytes())).unwrap(), text.as_bytes());
    }

    #[test]
    fn an_unpacker_refuses_what_was_not_announced() {
        let packed = pack(b"hello, world").unwrap();
        let digest = digest_of(b"hello, world");
        let run = |length, digest: &Digest, packed: &[u8]| {
            let mut unpacker = Unpacker::new(Vec::new(), length)?;
            unpacker.push(packed)?;
            unpacker.finish(digest)
        };
        assert!(run(12, &digest, &packed).is_ok());
        assert!(run(11, &digest, &packed).is_err());
        assert!(run(13, &digest, &packed).is_err());
        assert!(run(12, &digest_of(b"other"), &packed).is_err());
        assert!(run(12, &digest, &packed[..packed.len() - 1]).is_err());
        assert!(run(12, &digest, b"not a frame at all").is_err());
    }
}
