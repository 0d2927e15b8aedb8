//! A blob on its way to another machine: packed as it lies on the disk, piece by piece. Its head is known before the first of
//! them is read, so that a large blob on a slow disk is sent as it is read, and takes no memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::PathBuf;

use bytes::Bytes;
use tandem_types::{Digest, Timestamp};

use super::{BlobStore, Error, io_error, time_of};
use crate::frames::Head;
use crate::packed;

/// Bytes at the beginning of a frame that tell its raw size, and more.
const FRAME_HEAD_BYTES: u64 = 32;

/// The packed bytes of a blob, not checked against its digest.
pub(crate) struct Outgoing {
    pub(crate) head: Head,
    file: File,
    path: PathBuf,
    /// Bytes still to be read.
    left: u64,
}

impl BlobStore {
    /// Opens a blob to be sent.
    ///
    /// # Errors
    /// Missing, no frame, or the disk refuses.
    pub(crate) fn outgoing(&self, digest: &Digest) -> Result<Outgoing, Error> {
        let (mut file, path) = (self.open_blob(digest)?, self.path(digest));
        let metadata = file.metadata().map_err(io_error("look at", &path))?;
        let mut begin = Vec::new();
        (&file).take(FRAME_HEAD_BYTES).read_to_end(&mut begin).map_err(io_error("read", &path))?;
        file.rewind().map_err(io_error("read", &path))?;
        let raw_len = packed::raw_len(&begin).ok_or(Error::Missing(*digest))?;
        let first_seen = metadata.modified().map_or(Timestamp::UNIX_EPOCH, time_of);
        let head = Head { digest: *digest, first_seen, raw_len, packed_len: metadata.len() };
        Ok(Outgoing { head, file, path, left: metadata.len() })
    }
}

impl Outgoing {
    /// The next bytes, at most so many; none at the end.
    ///
    /// # Errors
    /// The disk refuses, or has less than it said.
    pub(crate) fn next_piece(&mut self, most: usize) -> Result<Option<Bytes>, Error> {
        let length = self.left.min(most as u64);
        if length == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; usize::try_from(length).expect("no more than the caller's number")];
        self.file.read_exact(&mut piece).map_err(|error| self.unread(error))?;
        self.left -= length;
        Ok(Some(piece.into()))
    }

    fn unread(&self, source: io::Error) -> Error {
        io_error("read", &self.path)(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_comes_as_it_lies_on_the_disk_and_one_that_was_cut_short_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::open(folder.path()).unwrap();
        let content: Vec<u8> =
            (0..40_000_u32).flat_map(|n| blake3::hash(&n.to_be_bytes()).as_bytes()[..4].to_vec()).collect();
        let digest = store.put(&content).unwrap();
        let mut blob = store.outgoing(&digest).unwrap();
        assert_eq!(blob.head.raw_len, content.len() as u64);
        let mut packed = Vec::new();
        while let Some(piece) = blob.next_piece(1000).unwrap() {
            assert!(piece.len() <= 1000);
            packed.extend_from_slice(&piece);
        }
        assert_eq!(packed.len() as u64, blob.head.packed_len);
        assert_eq!(packed::unpack(&packed, u64::MAX).unwrap(), content);

        let mut cut = store.outgoing(&digest).unwrap();
        File::options().write(true).open(store.path(&digest)).unwrap().set_len(500).unwrap();
        assert!(matches!(cut.next_piece(1000), Err(Error::Io { .. })));
        File::options().write(true).open(store.path(&digest)).unwrap().set_len(0).unwrap();
        assert!(matches!(store.outgoing(&digest), Err(Error::Missing(_))));
    }
}
