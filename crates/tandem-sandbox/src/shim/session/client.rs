//! Somebody who is attached: a runner, for a client far away.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

use tandem_kit::clock::Moment;
use tandem_types::frame::{Decoder, Ended, Frame, Welcome};

use super::backlog::Backlog;

/// Frames of a client handled in one go, and frames made for it; then the others get their turn.
pub(super) const FRAMES_IN_A_ROW: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    decoder: Decoder,
    /// Input that there was no room for.
    held: Option<Frame>,
    /// Bytes on their way to it, and how many of them are gone.
    out: (Vec<u8>, usize),
    /// Offset of the output that it gets next; none before its first frame.
    pub(super) at: Option<u64>,
    welcome: Option<Welcome>,
    /// What it calls itself over all of its connections.
    pub(super) key: Option<u64>,
    /// Bytes of its input that were taken, whether or not the command has read them.
    pub(super) taken: u64,
    /// Of how many of them it was told.
    told_taken: u64,
    /// Since when it is there.
    pub(super) since: Option<Moment>,
    /// Since when it has taken nothing although there was something.
    pub(super) stuck: Option<Moment>,
    /// Whether it has been waited for in vain, so that nobody waits for it until it has everything.
    pub(super) is_slow: bool,
    /// Whether it has got the end.
    told_end: bool,
    /// Whether it said that it does not come back.
    pub(super) has_left: bool,
    pub(super) is_gone: bool,
    /// It takes nothing more. What it said last may still be there to be read.
    pub(super) is_deaf: bool,
}

impl Client {
    /// `stream` must not block; `rest` has what came behind the request to attach.
    pub(super) fn new(stream: UnixStream, rest: &[u8]) -> Self {
        let mut decoder = Decoder::default();
        decoder.push(rest);
        Self {
            stream,
            decoder,
            held: None,
            out: (Vec::new(), 0),
            at: None,
            welcome: None,
            key: None,
            taken: 0,
            told_taken: 0,
            since: None,
            stuck: None,
            is_slow: false,
            told_end: false,
            has_left: false,
            is_gone: false,
            is_deaf: false,
        }
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Whether it waits with input for which there is no room.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The next frame that has come. Where there is no room for input, what comes before any is still heard: whoever comes
    /// back to a command that reads nothing is to see it, and may end it. Reads no more than one frame ahead, so that what
    /// cannot be taken stays with the client.
    pub(super) fn next_frame(&mut self, has_room: bool) -> Option<Frame> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let next = match self.held.take() {
                Some(frame) => Ok(Some(frame)),
                None => self.decoder.next_frame(),
            };
            match next {
                Ok(Some(frame @ Frame::Input(_))) if !has_room => {
                    self.held = Some(frame);
                    return None;
                }
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!("a client of a one-off command is cut off: {error}");
                    self.is_gone = true;
                    return None;
                }
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => self.is_gone = true,
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_gone |= error.kind() != io::ErrorKind::WouldBlock;
                    return None;
                }
            }
            if self.is_gone {
                return None;
            }
        }
    }

    /// It has said what it wants, and begins at this offset.
    pub(super) fn begin(&mut self, welcome: Welcome) {
        (self.taken, self.told_taken) = (welcome.taken, welcome.taken);
        self.at = Some(welcome.offset);
        self.welcome = Some(welcome);
    }

    /// Whether something waits to be sent.
    pub(super) fn has_more(&self, backlog: &Backlog, end: Option<&Ended>) -> bool {
        self.out.1 < self.out.0.len()
            || self.at.is_some_and(|at| {
                self.welcome.is_some()
                    || at < backlog.end()
                    || self.told_taken < self.taken
                    || (end.is_some() && !self.told_end)
            })
    }

    /// Whether there is nothing left to tell it.
    pub(super) fn has_all(&self) -> bool {
        self.told_end && self.out.1 >= self.out.0.len()
    }

    /// Sends what it takes now. Says whether it took anything.
    pub(super) fn send(&mut self, backlog: &Backlog, end: Option<&Ended>) -> bool {
        let mut sent = false;
        for _ in 0..FRAMES_IN_A_ROW {
            if self.out.1 >= self.out.0.len() {
                self.out = (Vec::new(), 0);
                match self.next_to_send(backlog, end) {
                    Some(frame) => frame.write(&mut self.out.0),
                    None => break,
                }
            }
            match self.stream.write(&self.out.0[self.out.1..]) {
                Ok(count) => {
                    self.out.1 += count;
                    sent = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_deaf |= error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        sent
    }

    fn next_to_send(&mut self, backlog: &Backlog, end: Option<&Ended>) -> Option<Frame> {
        let at = self.at?;
        if let Some(welcome) = self.welcome.take() {
            return Some(Frame::Welcome(welcome));
        }
        if at < backlog.start() {
            self.at = Some(backlog.start());
            return Some(Frame::Lost(backlog.start() - at));
        }
        if self.told_taken < self.taken {
            self.told_taken = self.taken;
            return Some(Frame::Taken(self.taken));
        }
        if let Some((stream, bytes)) = backlog.at(at) {
            self.at = Some(at + bytes.len() as u64);
            return Some(Frame::Output(stream, bytes.to_vec()));
        }
        let end = end.filter(|_| !self.told_end)?;
        self.told_end = true;
        Some(Frame::Ended(end.clone()))
    }
}
