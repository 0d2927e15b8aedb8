//! What goes in comes out, and nothing else gets through.

use proptest::prelude::*;

use super::*;

fn limits() -> Limits {
    Limits { raw_bytes: 1 << 20, total_bytes: 4 << 20, blobs: 100 }
}

fn head(number: u8, packed: &[u8]) -> Head {
    let first_seen = Timestamp::new(i64::from(number) * 1000 - 500, i32::from(number)).unwrap();
    Head {
        digest: Digest([number; 32]),
        first_seen,
        raw_len: packed.len() as u64,
        packed_len: packed.len() as u64,
    }
}

fn encode(blobs: &[Vec<u8>]) -> (Vec<u8>, Vec<Head>) {
    let heads: Vec<_> = blobs.iter().zip(0_u8..).map(|(blob, number)| head(number, blob)).collect();
    let mut bytes = stream_head().to_vec();
    for (blob, head) in blobs.iter().zip(&heads) {
        bytes.extend_from_slice(&blob_head(head));
        bytes.extend_from_slice(blob);
    }
    bytes.extend_from_slice(&stream_end(blobs.len() as u64));
    (bytes, heads)
}

/// Heads and contents of a stream that is pushed in pieces.
fn decode(bytes: &[u8], piece: usize) -> Result<Vec<(Head, Vec<u8>)>, Error> {
    let mut decoder = Decoder::new(limits());
    let mut blobs: Vec<(Head, Vec<u8>)> = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        while let Some(item) = decoder.next_item()? {
            match item {
                Item::Blob(head) => blobs.push((head, Vec::new())),
                Item::Data(data) => blobs.last_mut().unwrap().1.extend_from_slice(&data),
                Item::BlobEnd | Item::End => {}
            }
        }
    }
    decoder.finish().map(|()| blobs)
}

proptest! {
    #[test]
    fn a_stream_comes_back_whatever_the_pieces(
        blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        piece in 1_usize..400,
    ) {
        let (bytes, heads) = encode(&blobs);
        let expected: Vec<_> = heads.into_iter().zip(blobs).collect();
        prop_assert_eq!(decode(&bytes, piece).unwrap(), expected);
    }

    #[test]
    fn no_input_makes_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50) {
        let _ = decode(&bytes, piece);
        let mut plausible = stream_head().to_vec();
        plausible.push(BLOB);
        plausible.extend_from_slice(&bytes);
        let _ = decode(&plausible, piece);
    }

    #[test]
    fn a_damaged_stream_is_refused_or_differs_only_in_content(at in 0_usize..200, bit in 0_u8..8) {
        let (mut bytes, _) = encode(&[vec![1; 20], vec![2; 20]]);
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(blobs) = decode(&bytes, 7) {
            prop_assert_eq!(blobs.len(), 2);
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_told_from_a_whole_one() {
    let (bytes, _) = encode(&[vec![1; 20], Vec::new()]);
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length], 16), Err(Error::CutOff), "cut at {length}");
    }
    assert!(decode(&[&bytes[..], b"x"].concat(), 1000).is_err());
}

#[test]
fn more_than_the_limits_is_refused_before_it_comes() {
    let refused = |head: Head| {
        let bytes = [stream_head(), blob_head(&head)].concat();
        matches!(decode(&bytes, 1000), Err(Error::OverLimit { .. }))
    };
    let sane = Head { raw_len: 1000, packed_len: 1000, ..head(1, b"") };
    assert!(!refused(sane));
    assert!(refused(Head { raw_len: u64::MAX, ..sane }));
    assert!(refused(Head { raw_len: limits().raw_bytes + 1, ..sane }));
    assert!(refused(Head { packed_len: 1 << 40, ..sane }));
    let many: Vec<_> = (0..=limits().blobs).map(|_| Vec::new()).collect();
    let mut bytes = stream_head().to_vec();
    many.iter().for_each(|blob| bytes.extend_from_slice(&blob_head(&head(0, blob))));
    assert!(matches!(decode(&bytes, 1000), Err(Error::OverLimit { what: "the number of blobs", .. })));
}

#[test]
fn the_first_version_of_the_format_stays_readable() {
    // Written down from the table above, byte by byte; old runners and servers send exactly this.
    let mut golden = b"TDMB\x01B".to_vec();
    golden.extend_from_slice(&[0xAB; 32]);
    golden.extend_from_slice(&1_700_000_000_i64.to_be_bytes());
    golden.extend_from_slice(&5_u32.to_be_bytes());
    golden.extend_from_slice(&3_u64.to_be_bytes());
    golden.extend_from_slice(&3_u64.to_be_bytes());
    golden.extend_from_slice(b"abcE\0\0\0\0\0\0\0\x01");
    let head = Head {
        digest: Digest([0xAB; 32]),
        first_seen: Timestamp::new(1_700_000_000, 5).unwrap(),
        raw_len: 3,
        packed_len: 3,
    };
    assert_eq!(decode(&golden, 1000).unwrap(), [(head, b"abc".to_vec())]);
}
