//! Answers that are a line of JSON at a time and may never end.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

use super::Error;
use crate::http::{Body, BoxError};

/// Longest line that is read, in bytes: a document of a large routing table stays well below.
pub const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// Why a line was not read; becomes the cause of [`Error::Protocol`].
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("a line is longer than {LONGEST_LINE} bytes")]
    TooLong,
    #[error("the last line has no end")]
    CutOff,
}

/// Reads values, one a line, from the body of an answer to `request`. Empty lines are signs of life and left out.
/// The stream ends with the body or after its first error.
pub fn lines_of<T>(request: String, body: Body) -> BoxStream<'static, Result<T, Error>>
where
    T: DeserializeOwned + Send + 'static,
{
    let reader = Reader { body, partial: BytesMut::new(), whole: VecDeque::new(), scanned: 0 };
    let values = stream::unfold(Some((reader, request)), |state| async move {
        let (mut reader, request) = state?;
        match reader.next(&request).await {
            Ok(None) => None,
            Ok(Some(line)) => match serde_json::from_slice(&line) {
                Ok(value) => Some((Ok(value), Some((reader, request)))),
                Err(error) => Some((Err(Error::Protocol { request, source: error.into() }), None)),
            },
            Err(error) => Some((Err(error), None)),
        }
    });
    fuse(values)
}

fn fuse<S: Stream + Send + 'static>(stream: S) -> BoxStream<'static, S::Item> {
    stream.fuse().boxed()
}

struct Reader {
    body: Body,
    partial: BytesMut,
    whole: VecDeque<Bytes>,
    /// How much of `partial` is known to hold no line end.
    scanned: usize,
}

impl Reader {
    async fn next(&mut self, request: &str) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(line) = self.whole.pop_front() {
                return Ok(Some(line));
            }
            let data = match self.body.frame().await {
                None if self.partial.is_empty() => return Ok(None),
                None => return Err(closed(request, LineError::CutOff.into())),
                Some(Err(source)) => return Err(closed(request, source)),
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            };
            self.take(&data)
                .map_err(|error| Error::Protocol { request: request.to_owned(), source: error.into() })?;
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), LineError> {
        self.partial.extend_from_slice(data);
        while let Some(end) = self.partial[self.scanned..].iter().position(|byte| *byte == b'\n') {
            let line = self.partial.split_to(self.scanned + end).freeze();
            self.partial.advance(1);
            self.scanned = 0;
            if !line.trim_ascii().is_empty() {
                self.whole.push_back(line);
            }
        }
        self.scanned = self.partial.len();
        if self.scanned > LONGEST_LINE { Err(LineError::TooLong) } else { Ok(()) }
    }
}

fn closed(request: &str, source: BoxError) -> Error {
    Error::Closed { request: request.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    async fn read(chunks: &[&'static str]) -> Vec<Result<u32, Error>> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, BoxError>(Bytes::from(*chunk))).collect();
        lines_of("GET /".to_owned(), http::stream(stream::iter(chunks))).collect().await
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_were_cut() {
        let values: Vec<_> =
            read(&["1\n2", "3\n\n", "\r\n4\n5\n"]).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(values, [1, 23, 4, 5]);
    }

    #[tokio::test]
    async fn a_cut_line_is_a_closed_connection_and_nonsense_a_protocol_error() {
        assert!(matches!(read(&["1\n2"]).await.as_slice(), [Ok(1), Err(Error::Closed { .. })]));
        assert!(matches!(read(&["1\nx\n2\n"]).await.as_slice(), [Ok(1), Err(Error::Protocol { .. })]));
    }

    #[tokio::test]
    async fn a_line_without_end_is_given_up() {
        let endless = stream::repeat_with(|| Ok::<_, BoxError>(Bytes::from(vec![b'1'; 1024 * 1024])));
        let mut lines = lines_of::<u32>("GET /".to_owned(), http::stream(endless));
        assert!(matches!(lines.next().await, Some(Err(Error::Protocol { .. }))));
        assert!(lines.next().await.is_none());
    }
}
