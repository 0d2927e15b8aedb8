//! A long body of known length, from the socket of an instance to that of a client without a copy.

use std::task::{Context, Poll, ready};

use super::{Pump, PumpError, Source};
use crate::serve::pipe::Pipes;
use crate::serve::{Input, Socket};
use crate::upstream::Stream;
use tandem_wire::Framing;

/// Bytes that are left for which a pipe is worth its calls.
const LEAST: u64 = 32 * 1024;

/// Whether an answer goes this way, as far as its length is concerned.
pub(in crate::serve) fn is_long(from: Framing) -> bool {
    matches!(from, Framing::Length(length) if length >= LEAST)
}

impl Pump {
    /// Whether what is left may go this way.
    pub(crate) fn may_pass_through(&self) -> bool {
        let is_long = matches!(self.source, Source::Length(left) if left >= LEAST);
        self.pipe.is_some() || is_long && !self.chunked && !self.copies
    }

    /// Moves what can be moved, as long as it may go this way. Ready: the rest goes the usual one.
    pub(crate) fn poll_through(
        &mut self,
        context: &mut Context<'_>,
        (from, input, to): (&Stream, &mut Input, &mut Socket),
        pipes: &Pipes,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            if let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() > 0) {
                self.blocked = true;
                ready!(to.poll_send_ahead(context, &mut self.output)).map_err(PumpError::Sink)?;
                ready!(to.poll_drain(context, pipe)).map_err(PumpError::Sink)?;
                self.blocked = false;
                continue;
            }
            if !input.is_empty() {
                let used = self.keep(input.get())?;
                input.used(used);
            }
            let left = match self.source {
                Source::Length(left) if left >= LEAST || self.pipe.is_some() => left,
                _ => break,
            };
            if self.pipe.is_none() {
                let Ok(pipe) = pipes.take() else {
                    self.copies = true;
                    break;
                };
                self.pipe = Some(Box::new(pipe));
            }
            if !ready!(self.poll_fill(context, (from, to, left), pipes))? {
                break;
            }
        }
        self.give_back(pipes);
        Poll::Ready(Ok(()))
    }

    /// Takes more from the instance; no: it goes on the usual way.
    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        (from, to, left): (&Stream, &mut Socket, u64),
        pipes: &Pipes,
    ) -> Poll<Result<bool, PumpError>> {
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(false)) };
        let filled = pipe.poll_fill(context, from, usize::try_from(left).unwrap_or(usize::MAX));
        match filled {
            Poll::Ready(Ok(count @ 1..)) => {
                self.plain(count);
                Poll::Ready(Ok(true))
            }
            // Its end, or a socket that knows no such way: the usual one finds out.
            Poll::Ready(_) => {
                self.copies = true;
                Poll::Ready(Ok(false))
            }
            Poll::Pending => {
                self.give_back(pipes);
                if !self.output.is_empty() {
                    self.blocked = self.output.poll_flush(context, to).map_err(PumpError::Sink)?.is_pending();
                }
                Poll::Pending
            }
        }
    }

    fn give_back(&mut self, pipes: &Pipes) {
        if let Some(pipe) = self.pipe.take() {
            pipes.give_back(*pipe);
        }
    }
}
