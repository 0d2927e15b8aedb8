//! What is typed or piped in, kept until the shim has taken it.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::pin::Pin;

use tandem_kit::tasks;

/// Read in one go.
const PIECE: usize = 16 * 1024;
/// Bytes on their way that the shim has not taken yet; beyond it nothing more is read.
const WINDOW: usize = 256 * 1024;
/// Typed three times in a row it leaves the command: Ctrl-].
const LEAVE: u8 = 0x1d;
/// Ctrl-C on a terminal that hands it on.
const INTERRUPT: u8 = 0x03;

type Reading = Pin<Box<dyn Future<Output = io::Result<Vec<u8>>>>>;

/// See the module.
pub(super) struct Keyboard {
    /// None: there is nothing more to be read.
    reading: Option<Reading>,
    /// Read, and not taken by the shim.
    kept: VecDeque<u8>,
    /// How much of that is on its way over the present connection.
    sent: usize,
    /// Taken of ours.
    taken: u64,
    told_end: bool,
    is_terminal: bool,
    leaves: u32,
}

impl Keyboard {
    pub(super) fn new(is_terminal: bool, is_silent: bool) -> Self {
        let reading = (!is_silent).then(read);
        let kept = VecDeque::new();
        Self { reading, kept, sent: 0, taken: 0, told_end: false, is_terminal, leaves: 0 }
    }

    /// Waits for something to be typed; for ever where nothing can come, or nothing can go.
    pub(super) async fn next(&mut self) -> bool {
        let has_room = self.kept.len() < WINDOW;
        let Some(reading) = self.reading.as_mut().filter(|_| has_room) else {
            return std::future::pending().await;
        };
        match reading.await {
            Ok(bytes) if !bytes.is_empty() => {
                self.reading = Some(read());
                self.kept.extend(&bytes);
                !(self.is_terminal && self.wants_to_leave(&bytes))
            }
            Ok(_) | Err(_) => {
                self.reading = None;
                true
            }
        }
    }

    /// Whether Ctrl-C is among what waits to be sent. While there is no connection it is meant for this program: it and
    /// what was typed before it are gone.
    pub(super) fn took_interrupt(&mut self) -> bool {
        let found = self.is_terminal && self.kept.range(self.sent..).any(|byte| *byte == INTERRUPT);
        if found {
            self.kept.truncate(self.sent);
        }
        found
    }

    /// A connection begins at which so much of this was taken.
    pub(super) fn connected(&mut self, taken: u64) {
        self.took(taken);
        self.sent = 0;
        self.told_end = false;
    }

    /// So much of this was taken by now, over all connections.
    pub(super) fn took(&mut self, taken: u64) {
        let more = usize::try_from(taken.saturating_sub(self.taken)).unwrap_or(0).min(self.kept.len());
        self.kept.drain(..more);
        self.sent = self.sent.saturating_sub(more);
        self.taken = self.taken.max(taken);
    }

    /// The next bytes to send over this connection.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let rest = self.kept.len().saturating_sub(self.sent).min(PIECE);
        if rest == 0 {
            return None;
        }
        let bytes = self.kept.range(self.sent..self.sent + rest).copied().collect();
        self.sent += rest;
        Some(bytes)
    }

    /// Whether the end of the input is to be told now.
    pub(super) fn ends(&mut self) -> bool {
        let ends = self.reading.is_none() && self.sent == self.kept.len() && !self.told_end;
        self.told_end |= ends;
        ends
    }

    fn wants_to_leave(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.leaves = if *byte == LEAVE { self.leaves + 1 } else { 0 };
            if self.leaves == 3 {
                return true;
            }
        }
        false
    }
}

/// On a thread of its own: a terminal cannot be asked without waiting, but in a way that its other users notice.
fn read() -> Reading {
    Box::pin(tasks::blocking("stdin", || {
        let mut bytes = vec![0; PIECE];
        let count = io::stdin().lock().read(&mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Keyboard {
        let mut keyboard = Keyboard::new(true, true);
        keyboard.kept.extend(bytes);
        keyboard
    }

    #[test]
    fn what_was_not_taken_is_sent_again_and_what_was_is_not() {
        let mut keyboard = typed(b"abcdef");
        assert_eq!(keyboard.take().as_deref(), Some(&b"abcdef"[..]));
        keyboard.took(2);
        assert_eq!(keyboard.take(), None);
        keyboard.connected(4);
        assert_eq!(keyboard.take().as_deref(), Some(&b"ef"[..]));
        assert!(keyboard.ends() && !keyboard.ends());
        keyboard.connected(6);
        assert_eq!(keyboard.take(), None);
        assert!(keyboard.ends(), "told again over each connection");
    }

    #[test]
    fn three_in_a_row_leave_and_others_do_not() {
        let mut keyboard = typed(b"");
        assert!(!keyboard.wants_to_leave(b"\x1d\x1dx\x1d\x1d"));
        assert!(keyboard.wants_to_leave(b"\x1d"));
    }
}
