//! Bytes on their way out that the other side has not taken yet.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Bytes on their way out that the other side has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    at: usize,
    /// Bytes that were taken before those.
    gone: u64,
}

impl Output {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether none do.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// To write behind those that wait.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.is_empty() {
            self.gone += self.bytes.len() as u64;
            self.bytes.clear();
            self.at = 0;
        }
        &mut self.bytes
    }

    /// Where the next byte will stand among all.
    pub(crate) fn end(&self) -> u64 {
        self.gone + self.bytes.len() as u64
    }

    /// Takes back what was written from there on, if nothing of that is gone yet; says whether that was so.
    pub(crate) fn take_back(&mut self, end: u64) -> bool {
        let Ok(kept) = usize::try_from(end.saturating_sub(self.gone)) else { return false };
        let is_there = end >= self.gone && self.at <= kept;
        if is_there {
            self.bytes.truncate(kept);
        }
        is_there
    }

    /// Writes until nothing waits.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let count = ready!(Pin::new(&mut *to).poll_write(context, &self.bytes[self.at..]))?;
            self.taken(count)?;
        }
        Pin::new(to).poll_flush(context)
    }

    /// Writes what waits, and `more` behind it; what of `more` is not taken at once waits as well. Pending: something does.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        more: &[u8],
    ) -> Poll<io::Result<()>> {
        let slices = [IoSlice::new(&self.bytes[self.at..]), IoSlice::new(more)];
        let slices = if self.is_empty() { &slices[1..] } else { &slices[..] };
        let left = match Pin::new(to).poll_write_vectored(context, slices) {
            Poll::Ready(Ok(count)) => {
                let own = count.min(self.len());
                self.taken(own)?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                &more[count - own..]
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => more,
        };
        self.bytes().extend_from_slice(left);
        // Of what was encrypted some may wait although all was taken; the flush behind the body says so.
        if self.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// What waits.
    pub(crate) fn get(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// So many of those were taken.
    ///
    /// # Errors
    /// None were.
    pub(crate) fn taken(&mut self, count: usize) -> io::Result<()> {
        if count == 0 && !self.is_empty() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.at += count;
        Ok(())
    }
}
