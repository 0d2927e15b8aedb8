//! The framed stream of blobs: whatever comes, memory stays bounded, nothing is written outside of the target's folder, no
//! blob gets a name that is not its content's, and an honest stream is taken whole.

#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tandem_blobs::cache::LinkCache;
use tandem_blobs::frames::{self, Head, Limits};
use tandem_blobs::receive::{Receiver, Target};
use tandem_blobs::{BlobStore, tree};
use tandem_types::{Digest, Timestamp};

/// Small, so that what goes beyond them is seen; `scripts/fuzz.sh` ends a target that allocates 64 MB at once.
const LIMITS: Limits = Limits { raw_bytes: 1 << 20, total_bytes: 2 << 20, blobs: 16 };

fuzz_target!(|data: &[u8]| {
    let [how, piece, rest @ ..] = data else { return };
    let scratch = tempfile::tempdir().expect("there is room");
    let folder = scratch.path().join("blobs");
    let (target, place) = place(how % 3, &folder);
    let (stream, honest, digests) = match how / 3 % 2 {
        0 => (rest.to_vec(), false, digests_in(rest)),
        _ => build(rest),
    };
    let received = push(target, &stream, usize::from(*piece).max(1));
    assert!(!honest || received, "an honest stream is refused");
    for digest in digests {
        place.check(&digest);
    }
    bounded(scratch.path(), &folder);
});

/// Where the blobs went, to look at them.
enum Place {
    Store(BlobStore),
    Cache(LinkCache),
}

fn place(which: u8, folder: &Path) -> (Target, Place) {
    let store = || BlobStore::open(folder).expect("there is room");
    match which {
        0 => (Target::Store(store()), Place::Store(store())),
        1 => (Target::Copy(store()), Place::Store(store())),
        _ => {
            let cache = LinkCache::open(folder).expect("there is room");
            (Target::Cache(cache.clone()), Place::Cache(cache))
        }
    }
}

impl Place {
    /// What is here under this digest has it.
    fn check(&self, digest: &Digest) {
        match self {
            Self::Store(store) if store.has(&[*digest])[0] => {
                let bytes = store.read(digest).expect("what was taken can be read");
                assert_eq!(tree::digest_of(&bytes), *digest);
                let mut copy = Vec::new();
                store.copy_to(digest, &mut copy).expect("what was taken can be copied");
                assert_eq!(copy, bytes, "both ways of reading agree");
            }
            Self::Store(_) => {}
            Self::Cache(cache) => {
                if let Ok(bytes) = fs::read(cache.path(digest, false)) {
                    assert_eq!(tree::digest_of(&bytes), *digest);
                }
            }
        }
    }
}

/// Whether the whole stream was taken.
fn push(target: Target, stream: &[u8], piece: usize) -> bool {
    let mut receiver = Receiver::new(target, LIMITS);
    stream.chunks(piece).all(|piece| receiver.push(piece).is_ok()) && receiver.finish().is_ok()
}

/// A stream of blobs by a plan of bytes: heads that tell the truth or not, content packed well, by hand or damaged.
/// Also whether all of it is honest, and the digests in it.
fn build(plan: &[u8]) -> (Vec<u8>, bool, Vec<Digest>) {
    let (mut stream, mut honest, mut digests) = (frames::stream_head().to_vec(), true, Vec::new());
    let (mut rest, mut total) = (plan, 0_u64);
    while let [lie, length, at, tail @ ..] = rest {
        let (content, behind) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = behind;
        // Small on the wire, large when unpacked.
        let raw = if lie & 16 == 0 { content.to_vec() } else { content.repeat(usize::from(*at) * 16) };
        let mut packed = zstd::bulk::compress(&raw, 3).expect("packs into memory");
        let mut head = Head {
            digest: tree::digest_of(&raw),
            first_seen: Timestamp::from_second(i64::from(*at) * 10_000_000).expect("within range"),
            raw_len: raw.len() as u64,
            packed_len: 0,
        };
        match lie % 16 {
            1 => head.digest.0[usize::from(*at) % 32] ^= 1,
            2 => head.raw_len = head.raw_len.wrapping_add(u64::from(*at)),
            3 => head.raw_len = u64::from(*at) << 32,
            4 => packed = content.to_vec(),
            5 => packed.truncate(usize::from(*at)),
            6 => packed.extend_from_slice(content),
            7 => {
                let at = usize::from(*at) % packed.len();
                packed[at] ^= 1 << (lie >> 5);
            }
            // A second frame behind the first, an empty one, a skippable one.
            8 => packed.extend(zstd::bulk::compress(content, 3).expect("packs")),
            9 => packed.extend(zstd::bulk::compress(b"", 3).expect("packs")),
            10 => packed.extend_from_slice(b"\x50\x2a\x4d\x18\x02\0\0\0ab"),
            _ => {}
        }
        head.packed_len = packed.len() as u64;
        if lie % 16 == 11 {
            head.packed_len = head.packed_len.wrapping_sub(u64::from(*at));
        }
        total += head.raw_len.min(1 << 40);
        honest &=
            matches!(lie % 16, 0 | 12..) && head.raw_len <= LIMITS.raw_bytes && total <= LIMITS.total_bytes;
        digests.push(head.digest);
        digests.push(tree::digest_of(content));
        stream.extend_from_slice(&frames::blob_head(&head));
        stream.extend_from_slice(&packed);
    }
    let blobs = digests.len() as u64 / 2;
    stream.extend_from_slice(&frames::stream_end(blobs));
    (stream, honest && blobs <= LIMITS.blobs, digests)
}

/// Every digest that a stream of bytes may name.
fn digests_in(bytes: &[u8]) -> Vec<Digest> {
    let heads = bytes.windows(33).filter(|window| window[0] == b'B');
    heads.take(64).map(|window| Digest(window[1..].try_into().expect("32 bytes"))).collect()
}

/// Nothing is beside the folder, nothing is left aside, and all files together are no larger than the limits.
fn bounded(scratch: &Path, folder: &Path) {
    assert_eq!(fs::read_dir(scratch).expect("it is there").count(), 1, "written outside of its folder");
    assert_eq!(fs::read_dir(folder.join("aside")).expect("it is there").count(), 0, "left aside");
    let folders = fs::read_dir(folder).expect("it is there").flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).expect("it is a folder").flatten());
    let bytes: u64 = files.map(|file| file.metadata().expect("it is there").len()).sum();
    assert!(bytes <= LIMITS.total_bytes + LIMITS.total_bytes / 128 + 1024 * LIMITS.blobs, "{bytes} bytes");
}
