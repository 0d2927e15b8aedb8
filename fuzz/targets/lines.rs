//! Streams of JSON lines, as clients read watches, the journal, events and logs: the same values whatever the pieces in
//! which they come, and a cursor that goes on where it was.

#![no_main]

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use libfuzzer_sys::fuzz_target;
use tandem_kit::api::{Error, lines_of};
use tandem_kit::http::{self, BoxError};
use tandem_types::document::{Change, JournalEntry};

fuzz_target!(|data: &[u8]| {
    let [piece, kind, text @ ..] = data else { return };
    let piece = usize::from(*piece).max(1);
    match kind % 3 {
        0 => same_whatever_the_pieces::<Change>(text, piece),
        1 => same_whatever_the_pieces::<JournalEntry>(text, piece),
        _ => same_whatever_the_pieces::<serde_json::Value>(text, piece),
    }
});

fn same_whatever_the_pieces<T>(text: &[u8], piece: usize)
where
    T: serde::de::DeserializeOwned + PartialEq + std::fmt::Debug + Send + 'static,
{
    let (whole, whole_end) = read::<T>(text, text.len().max(1));
    let (pieces, pieces_end) = read::<T>(text, piece);
    assert_eq!(whole, pieces);
    assert_eq!(whole_end, pieces_end);
    // An independent reading: every value is a line that ends.
    let ended = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let lines = text[..ended].split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let values: Vec<T> = lines.map_while(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(whole, values);
}

/// The values, and how the stream ended.
fn read<T>(text: &[u8], piece: usize) -> (Vec<T>, &'static str)
where
    T: serde::de::DeserializeOwned + Send + 'static,
{
    let pieces: Vec<_> =
        text.chunks(piece).map(|piece| Ok::<_, BoxError>(Bytes::copy_from_slice(piece))).collect();
    let body = http::stream(stream::iter(pieces));
    let outcomes = lines_of::<T>("GET /".to_owned(), body).collect::<Vec<_>>();
    let outcomes = futures_util::FutureExt::now_or_never(outcomes).expect("nothing to wait for");
    let (mut values, mut end) = (Vec::new(), "whole");
    for outcome in outcomes {
        assert_eq!(end, "whole", "an error is the last");
        match outcome {
            Ok(value) => values.push(value),
            Err(Error::Closed { .. }) => end = "cut off",
            Err(Error::Protocol { .. }) => end = "nonsense",
            Err(error) => panic!("neither cut off nor nonsense: {error}"),
        }
    }
    (values, end)
}
