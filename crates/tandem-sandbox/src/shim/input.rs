//! What comes over the control socket, cut into requests and answers. Both ends are bounded: neither a shim nor a runner
//! keeps more of what the other says than a real message has.

use std::io;

use tandem_types::shim::{Answer, Request};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// Longest request; real ones are under a hundred bytes.
const LONGEST_REQUEST: usize = 4096;
/// Longest answer; real ones have some hundred bytes.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// A client's bytes as they come.
#[derive(Debug, Default)]
pub(crate) struct Input(Vec<u8>);

impl Input {
    /// Adds bytes; false where the client says more than a request has: nothing sensible comes after that.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> bool {
        self.0.extend_from_slice(bytes);
        self.0.len() <= LONGEST_REQUEST
    }

    /// What is left.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.0
    }

    /// The next whole request, or why it cannot be understood.
    pub(crate) fn next_request(&mut self) -> Option<Result<Request, String>> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some(serde_json::from_slice(&line[..end]).map_err(|error| format!("unknown request: {error}")))
    }
}

/// Reads an answer, one line.
pub(crate) async fn read_answer(from: impl AsyncRead + Unpin) -> io::Result<Answer> {
    let mut line = Vec::new();
    BufReader::new(from.take(LONGEST_ANSWER)).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        let cut_off = (line.len() as u64) < LONGEST_ANSWER;
        let kind = if cut_off { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
        return Err(kind.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_same_however_they_were_cut() {
        let text = b"{\"ask\":\"status\"}\nnonsense\n{\"ask\":\"wait\"}\n{\"ask\"";
        for piece in [1, 3, text.len()] {
            let (mut input, mut requests) = (Input::default(), Vec::new());
            for piece in text.chunks(piece) {
                assert!(input.take(piece));
                requests.extend(std::iter::from_fn(|| input.next_request()));
            }
            assert!(matches!(requests[..], [Ok(Request::Status), Err(_), Ok(Request::Wait)]), "{requests:?}");
        }
    }

    #[test]
    fn a_request_without_end_is_given_up() {
        let mut input = Input::default();
        let pieces = std::iter::repeat_n([b'x'; 1024], 100).take_while(|piece| input.take(piece)).count();
        assert_eq!(pieces, LONGEST_REQUEST / 1024);
    }

    #[tokio::test]
    async fn an_answer_is_one_whole_line() {
        assert_eq!(read_answer(&b"{\"answer\":\"ok\"}\n{"[..]).await.expect("an answer"), Answer::Ok);
        for (wrong, kind) in [
            (&b""[..], io::ErrorKind::UnexpectedEof),
            (b"{\"answer\":\"ok\"}", io::ErrorKind::UnexpectedEof),
            (b"\xff\n", io::ErrorKind::InvalidData),
        ] {
            assert_eq!(read_answer(wrong).await.expect_err("no answer").kind(), kind, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_given_up() {
        let endless = tokio::io::repeat(b'x');
        assert_eq!(read_answer(endless).await.expect_err("endless").kind(), io::ErrorKind::InvalidData);
    }
}
