//! Bytes that came in and were not used yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that came in and were not used yet. Takes no memory while there are none: a connection that waits for its next
/// request costs its socket and little else.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    at: usize,
}

impl Input {
    /// What is there.
    pub(crate) fn get(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.get().is_empty()
    }

    /// These were used.
    pub(crate) fn used(&mut self, count: usize) {
        self.at += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// More came in.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Reads once from a socket by way of `scratch`; 0 at its end.
    pub(crate) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        scratch: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(poll_read(context, from, scratch))?;
        self.push(&scratch[..count]);
        Poll::Ready(Ok(count))
    }
}

/// Reads once from a socket; 0 at its end.
pub(crate) fn poll_read(
    context: &mut Context<'_>,
    from: &mut (impl AsyncRead + Unpin),
    scratch: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(scratch);
    ready!(Pin::new(from).poll_read(context, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_gone_and_an_empty_one_keeps_no_memory() {
        let mut input = Input::default();
        input.push(b"hello");
        input.used(3);
        input.push(b", you");
        assert_eq!(input.get(), b"lo, you");
        input.used(7);
        assert!(input.is_empty() && input.bytes.capacity() == 0);
    }
}
