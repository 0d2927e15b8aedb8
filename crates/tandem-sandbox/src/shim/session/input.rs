//! The input of a command: bytes on their way into its pipe or terminal.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

/// Bytes that wait for the command to read them. Beyond it nothing more is read of any client.
const MOST: usize = 128 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Input {
    /// None: the command has closed it, or has got its end.
    to: Option<File>,
    queue: VecDeque<u8>,
    /// Whether it ends once the queue is empty.
    ends: bool,
}

impl Input {
    /// `to` must not block.
    pub(super) fn new(to: File) -> Self {
        Self { to: Some(to), queue: VecDeque::new(), ends: false }
    }

    /// Whether more may be taken now.
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < MOST
    }

    /// Takes bytes. Those for a command that reads no more are gone, as they are in any pipe.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if self.to.is_some() && !self.ends {
            self.queue.extend(bytes);
        }
    }

    /// Lets the command see its end once it has read what is here.
    pub(super) fn end(&mut self) {
        self.ends = true;
    }

    /// What to wait for until it can be written to.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.to.as_ref().filter(|_| !self.queue.is_empty()).map(|file| file.as_fd())
    }

    /// Writes what the command takes now.
    pub(super) fn write(&mut self) {
        let Some(to) = &mut self.to else { return };
        while !self.queue.is_empty() {
            match to.write(self.queue.as_slices().0) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.close(),
            }
        }
        if self.ends {
            self.close();
        }
    }

    /// Nobody reads it any more.
    pub(super) fn close(&mut self) {
        self.to = None;
        self.queue = VecDeque::new();
    }
}
