//! Moves a message's body from one socket to another, as fast as the slower one goes.
//!
//! Bytes are read into memory that all connections of a thread share, and go out from there; only what the other side
//! does not take at once is kept, and then nothing more is read.

mod through;

pub(super) use through::is_long;

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::input::{Input, poll_read};
use super::output::Output;
use super::pipe::Pipe;
use tandem_wire::{BadChunk, Chunks, Framing, trailers_passed_on};

/// Bytes that wait beyond which nothing more is read.
const ENOUGH: usize = 32 * 1024;

/// A body under way.
#[derive(Debug)]
pub(crate) struct Pump {
    source: Source,
    chunked: bool,
    output: Output,
    /// The other side took less than it was given.
    blocked: bool,
    moved: u64,
    /// Bytes that it may have.
    most: u64,
    /// From where on it can be taken back, while nothing of that is gone.
    begin: Option<u64>,
    /// What it goes through without a copy, for as long as something is in there.
    pipe: Option<Box<Pipe>>,
    /// There is no such way for it.
    copies: bool,
}

#[derive(Debug)]
enum Source {
    /// All of it was read.
    Over,
    Length(u64),
    Chunks(Chunks),
    UntilEnd,
    /// It broke off; what came of it before is still given to who gets it.
    Broken,
}

/// Why a body does not get to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PumpError {
    /// Whoever sends it broke off.
    #[error("the body broke off")]
    Source,
    /// It broke off, or does not keep to the form, and who gets it has heard nothing of it.
    #[error("the answer broke off before anything of it was passed on")]
    Unheard,
    /// Whoever sends it does not keep to the form.
    #[error(transparent)]
    Malformed(#[from] BadChunk),
    /// It has more bytes than it may.
    #[error("the body is too long")]
    TooLong,
    /// Nothing more came of it for too long.
    #[error("nothing more of it came in time")]
    Stalled,
    /// Its instance leaves, and its time is up.
    #[error("its instance leaves")]
    Ended,
    /// Whoever gets it takes no more.
    #[error("the body is not taken")]
    Sink(#[source] io::Error),
}

/// The two ends of a body.
pub(crate) struct Ends<'e, F, T> {
    /// Where it comes from.
    pub from: &'e mut F,
    /// What came from there already.
    pub input: &'e mut Input,
    /// Where it goes.
    pub to: &'e mut T,
}

impl Pump {
    /// Nothing, with room for a head to begin with.
    pub(crate) fn idle() -> Self {
        Self {
            source: Source::Over,
            chunked: false,
            output: Output::default(),
            blocked: false,
            moved: 0,
            most: u64::MAX,
            begin: None,
            pipe: None,
            copies: false,
        }
    }

    /// A body that comes and goes on in these ways.
    pub(crate) fn new(from: Framing, to: Framing) -> Self {
        let mut pump = Self::idle();
        pump.begin(from, to);
        pump
    }

    /// Begins a body behind what waits already.
    pub(crate) fn begin(&mut self, from: Framing, to: Framing) {
        self.chunked = to == Framing::Chunked;
        self.source = match from {
            Framing::None | Framing::Length(0) => Source::Over,
            Framing::Length(length) => Source::Length(length),
            Framing::Chunked => Source::Chunks(Chunks::default()),
            Framing::UntilEnd => Source::UntilEnd,
        };
    }

    /// A body in chunks may have so many bytes: beyond that it breaks off, before its end could be passed on.
    pub(crate) fn limit(&mut self, most: u64) {
        self.most = most;
    }

    /// To write something ahead of the body.
    pub(crate) fn head(&mut self) -> &mut Vec<u8> {
        self.output.bytes()
    }

    /// What is written from here on is an answer, which is taken back whole if it breaks off before its client has heard any of it.
    pub(crate) fn mark(&mut self) {
        self.begin = Some(self.output.end());
    }

    /// Whether an answer broke off and was taken back.
    fn takes_back(&mut self) -> bool {
        let is_taken = self.begin.is_some_and(|begin| self.output.take_back(begin));
        if is_taken {
            (self.source, self.blocked, self.moved) = (Source::Over, false, 0);
        }
        is_taken
    }

    /// Ends a body here whose length was not told, as if it had no more; says whether that was so.
    pub(crate) fn end_here(&mut self) -> bool {
        let may_end = matches!(self.source, Source::Chunks(_) | Source::UntilEnd);
        if may_end {
            self.source = Source::UntilEnd;
            self.end_of_source(true);
        }
        may_end
    }

    /// Whether all of the body was read.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.source, Source::Over)
    }

    /// Whether all of it was written, too.
    pub(crate) fn is_over(&self) -> bool {
        self.is_read() && self.output.is_empty() && self.pipe.is_none()
    }

    /// Bytes of the body that were read.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether the side that gets it is waited for, rather than the one that sends it.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Writes what waits, without reading.
    pub(crate) fn poll_flush<T>(&mut self, context: &mut Context<'_>, to: &mut T) -> Poll<io::Result<()>>
    where
        T: AsyncWrite + Unpin,
    {
        self.output.poll_flush(context, to)
    }

    /// Moves what can be moved. Ready when all of it was read and written.
    pub(crate) fn poll<F, T>(
        &mut self,
        context: &mut Context<'_>,
        ends: Ends<'_, F, T>,
        scratch: &mut [u8],
    ) -> Poll<Result<(), PumpError>>
    where
        F: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        let Ends { from, input, to } = ends;
        loop {
            let has_ended = matches!(self.source, Source::Over | Source::Broken);
            if matches!(self.source, Source::Broken) && self.takes_back() {
                return Poll::Ready(Err(PumpError::Unheard));
            }
            if self.blocked || self.output.len() >= ENOUGH || has_ended {
                self.blocked = true;
                ready!(self.output.poll_flush(context, to)).map_err(PumpError::Sink)?;
                self.blocked = false;
                match self.source {
                    Source::Over => return Poll::Ready(Ok(())),
                    Source::Broken => return Poll::Ready(Err(PumpError::Source)),
                    _ => {}
                }
            }
            if !input.is_empty() {
                let used = match self.keep(input.get()) {
                    Err(PumpError::Malformed(_)) if self.takes_back() => {
                        return Poll::Ready(Err(PumpError::Unheard));
                    }
                    used => used?,
                };
                input.used(used);
                continue;
            }
            let Poll::Ready(read) = poll_read(context, from, scratch) else {
                if !self.output.is_empty() {
                    self.blocked = self.output.poll_flush(context, to).map_err(PumpError::Sink)?.is_pending();
                }
                return Poll::Pending;
            };
            match read {
                Ok(0) | Err(_) => self.end_of_source(read.is_ok()),
                Ok(count) => {
                    let used = self.pass(context, to, &scratch[..count])?;
                    input.push(&scratch[used..count]);
                }
            }
        }
    }

    /// The socket that the body came from has ended.
    fn end_of_source(&mut self, is_clean: bool) {
        if !is_clean || !matches!(self.source, Source::UntilEnd) {
            self.source = Source::Broken;
            return;
        }
        self.source = Source::Over;
        if self.chunked {
            self.output.bytes().extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Passes on what belongs to the body of what has just come in; says how much that was.
    fn pass<T>(&mut self, context: &mut Context<'_>, to: &mut T, bytes: &[u8]) -> Result<usize, PumpError>
    where
        T: AsyncWrite + Unpin,
    {
        if self.chunked || matches!(self.source, Source::Chunks(_)) {
            return self.keep(bytes);
        }
        let own = self.plain(bytes.len());
        self.blocked =
            self.output.poll_write(context, to, &bytes[..own]).map_err(PumpError::Sink)?.is_pending();
        Ok(own)
    }

    /// How many of so many bytes belong to a body that is not in chunks.
    fn plain(&mut self, count: usize) -> usize {
        let own = match &mut self.source {
            Source::Length(left) => {
                let own = usize::try_from(*left).unwrap_or(usize::MAX).min(count);
                *left -= own as u64;
                if *left == 0 {
                    self.source = Source::Over;
                }
                own
            }
            Source::UntilEnd => count,
            Source::Over | Source::Broken | Source::Chunks(_) => 0,
        };
        self.moved += own as u64;
        own
    }

    /// Keeps what belongs to the body, framed as it goes on, to be written; says how much that was.
    fn keep(&mut self, bytes: &[u8]) -> Result<usize, PumpError> {
        let Source::Chunks(chunks) = &mut self.source else {
            let own = self.plain(bytes.len());
            put_data(&mut self.output, self.chunked, &bytes[..own]);
            return Ok(own);
        };
        let mut used = 0;
        while used < bytes.len() && !chunks.is_over() {
            let step = chunks.step(&bytes[used..])?;
            let data = &bytes[used..][step.data];
            if self.moved + data.len() as u64 > self.most {
                return Err(PumpError::TooLong);
            }
            put_data(&mut self.output, self.chunked, data);
            self.moved += data.len() as u64;
            used += step.used;
        }
        if chunks.is_over() {
            if self.chunked {
                let out = self.output.bytes();
                out.extend_from_slice(b"0\r\n");
                trailers_passed_on(chunks.trailers(), out)?;
                out.extend_from_slice(b"\r\n");
            }
            self.source = Source::Over;
        }
        Ok(used)
    }
}

fn put_data(output: &mut Output, chunked: bool, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let out = output.bytes();
    if chunked {
        let mut size = [0_u8; 16];
        out.extend_from_slice(hexadecimal(data.len(), &mut size));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(data);
    if chunked {
        out.extend_from_slice(b"\r\n");
    }
}

fn hexadecimal(mut number: usize, text: &mut [u8; 16]) -> &[u8] {
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b"0123456789abcdef"[number & 15];
        number >>= 4;
        if number == 0 {
            return &text[at..];
        }
    }
}
