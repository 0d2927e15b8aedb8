//! HTTP/1.1 as bytes (RFC 9112): heads, and where bodies end. No sockets and no waiting here.
//!
//! What can be understood in two ways is an error, in both directions: a request that an instance might read otherwise
//! than this proxy is how requests are smuggled.

mod chunks;
mod fields;
pub mod forward;
mod framing;
pub mod http2;
mod proxy;
mod request;
mod response;

pub use chunks::{BadChunk, Chunks, trailers_passed_on};
pub use fields::{Fields, Kind};
pub use framing::Framing;
pub use proxy::{
    BadProxyHeader, LONGEST_PROXY_HEADER, ProxyArrival, ProxyEnds, ProxyVersion, read_proxy_header,
};
pub use request::{RequestError, RequestHead};
pub use response::{ResponseError, ResponseHead, ensure_answers};

/// Most fields of a head.
pub const MOST_FIELDS: usize = 100;
/// Longest head in bytes.
pub const LONGEST_HEAD: usize = 64 * 1024;

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It is no head, or one that others may read otherwise.
    #[error("{0}")]
    Malformed(&'static str),
    /// It has more than [`LONGEST_HEAD`] bytes.
    #[error("the head is too long")]
    TooLong,
    /// It has more than [`MOST_FIELDS`] fields.
    #[error("the head has more than {MOST_FIELDS} fields")]
    TooMany,
    /// Another version of HTTP.
    #[error("only HTTP/1.0 and HTTP/1.1 are understood here")]
    Version,
}

/// Version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: closes after each answer unless it says otherwise, and knows no chunks.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 (RFC 9113), written as HTTP/1.1 on its way through; see [`http2`].
    Http2,
}

/// How far a head has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// More is to come.
    Partial,
    /// It has this many bytes, the empty line at its end included.
    Whole(usize),
}

/// Looks for the end of a head; `seen` bytes were looked at before.
///
/// # Errors
/// A line ends without a CR: others might see another line there, or none. Or it gets too long.
pub fn arrival(bytes: &[u8], seen: usize) -> Result<Arrival, HeadError> {
    let mut from = seen.min(bytes.len());
    while let Some(found) = memchr::memchr(b'\n', &bytes[from..]) {
        let at = from + found;
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(HeadError::Malformed("a line ends without CR"));
        }
        if at >= 3 && &bytes[at - 3..at - 1] == b"\r\n" {
            return if at < LONGEST_HEAD { Ok(Arrival::Whole(at + 1)) } else { Err(HeadError::TooLong) };
        }
        from = at + 1;
    }
    if bytes.len() >= LONGEST_HEAD { Err(HeadError::TooLong) } else { Ok(Arrival::Partial) }
}

fn refused(error: httparse::Error) -> HeadError {
    HeadError::Malformed(match error {
        httparse::Error::TooManyHeaders => return HeadError::TooMany,
        httparse::Error::Version => return HeadError::Version,
        httparse::Error::HeaderName => "the name of a field is malformed",
        httparse::Error::HeaderValue => "the value of a field is malformed",
        httparse::Error::NewLine => "a line is malformed",
        httparse::Error::Status => "the status is malformed",
        httparse::Error::Token => "the first line is malformed",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_empty_line_however_it_comes_in() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\r\n\r\n";
        for seen in 0..27 {
            assert_eq!(arrival(head, seen), Ok(Arrival::Whole(27)), "{seen}");
        }
        for length in 0..27 {
            assert_eq!(arrival(&head[..length], 0), Ok(Arrival::Partial), "{length}");
        }
    }

    #[test]
    fn lines_without_cr_and_heads_without_end_are_refused() {
        for bytes in [&b"\n"[..], b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nA: b\n\r\n"] {
            assert!(matches!(arrival(bytes, 0), Err(HeadError::Malformed(_))), "{bytes:?}");
        }
        assert_eq!(arrival(&vec![b'a'; LONGEST_HEAD], 0), Err(HeadError::TooLong));
    }
}
