//! Everybody who talks with one command.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::PollFlags;
use tandem_kit::clock::Moment;
use tandem_types::event::Stream;
use tandem_types::frame::{Ended, Frame, Hello, Welcome};

use super::backlog::Backlog;
use super::client::{Client, FRAMES_IN_A_ROW};
use super::input::Input;
use super::terminal;
use crate::shim::ExitRecord;

/// How long a command waits for a client that does not read, before it goes on without it. Who looks at the first page of
/// `… | less` for longer is told how much is missing.
const WAITS: Duration = Duration::from_secs(300);
/// The same for one that was there and is away: a server that is started again takes seconds. Also for the first client.
const COMES_BACK: Duration = Duration::from_secs(30);
/// Time that clients get after the end to take what is left.
const TAKES_THE_REST: Duration = Duration::from_secs(30);
/// Clients at a time.
const MOST_CLIENTS: usize = 16;
/// Frames that are still heard of a client that has closed its end.
const MOST_LAST_WORDS: usize = 256;

/// Clients that were there and may come back, of which it is known how much of their input was taken.
const MOST_AWAY: usize = 64;

/// Time in which a client says what it wants; one that says nothing takes a place from others.
const SAYS_HELLO_WITHIN: Duration = Duration::from_secs(30);

/// A client that is expected: nothing behind its offset is given up.
#[derive(Debug, Clone, Copy)]
struct Absent {
    /// What it calls itself; none: whoever comes is the one.
    key: Option<u64>,
    at: u64,
    until: Moment,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Talk {
    input: Input,
    /// Our end of the command's terminal, while that runs.
    terminal: Option<OwnedFd>,
    has_terminal: bool,
    backlog: Backlog,
    clients: Vec<Client>,
    /// Who was there, and how much of their input was taken; the latest last.
    away: VecDeque<(u64, u64)>,
    /// One for each, the latest last.
    absent: Vec<Absent>,
    end: Option<(Ended, Moment)>,
    /// Whether the last turn left something undone that nothing will tell of.
    is_busy: bool,
}

impl Talk {
    /// For a command whose input is `input`. Where somebody is expected, output waits for them from the start.
    pub(crate) fn new(input: File, terminal: Option<OwnedFd>, expected: Option<Moment>) -> Self {
        let first = expected.map(|now| Absent { key: None, at: 0, until: now + COMES_BACK });
        let absent = first.into_iter().collect();
        Self {
            input: Input::new(input),
            has_terminal: terminal.is_some(),
            terminal,
            backlog: Backlog::default(),
            clients: Vec::new(),
            away: VecDeque::new(),
            absent,
            end: None,
            is_busy: false,
        }
    }

    /// Takes a connection over; `rest` has what came behind the request.
    pub(crate) fn attach(&mut self, stream: UnixStream, rest: &[u8]) {
        if self.clients.len() < MOST_CLIENTS {
            self.clients.push(Client::new(stream, rest));
        }
    }

    /// The command gets no input, from anybody.
    pub(crate) fn without_input(mut self) -> Self {
        self.input.close();
        self
    }

    /// Whether another one may attach.
    pub(crate) fn has_room(&self) -> bool {
        self.clients.len() < MOST_CLIENTS
    }

    /// Keeps output for those who are there, and who come.
    pub(crate) fn output(&mut self, stream: Stream, bytes: &[u8]) {
        self.backlog.push(stream, bytes);
    }

    /// The command is over.
    pub(crate) fn end(&mut self, record: &ExitRecord, now: Moment) {
        if self.end.is_some() {
            return;
        }
        let ended = Ended { exit: record.exit.clone(), timed_out: record.timed_out };
        self.input.close();
        self.terminal = None;
        self.end = Some((ended, now));
    }

    /// What to wait for, with what is asked of it.
    pub(crate) fn descriptors(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let end = self.end.as_ref().map(|(ended, _)| ended);
        let clients = self.clients.iter().filter_map(|client| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, self.input.has_room() || !client.is_held());
            flags.set(PollFlags::POLLOUT, client.has_more(&self.backlog, end));
            // One of which nothing is wanted would be told of its end again and again.
            (!flags.is_empty()).then(|| (client.descriptor(), flags))
        });
        let input = self.input.descriptor().map(|input| (input, PollFlags::POLLOUT));
        clients.chain(input).collect()
    }

    /// When to look again although nothing has come.
    pub(crate) fn patience(&self, now: Moment) -> Option<Duration> {
        if self.is_busy {
            return Some(Duration::ZERO);
        }
        let stuck = self.clients.iter().filter(|client| !client.is_slow);
        let stuck = stuck.filter_map(|client| client.stuck).map(|since| since + WAITS);
        let absent = self.absent.iter().map(|absent| absent.until);
        let silent = self.clients.iter().filter(|client| client.at.is_none());
        let silent = silent.filter_map(|client| client.since).map(|since| since + SAYS_HELLO_WITHIN);
        let end = self.end.as_ref().map(|(_, since)| *since + TAKES_THE_REST);
        let next = stuck.chain(absent).chain(silent).chain(end).filter(|moment| *moment > now).min()?;
        Some(next.elapsed_since(now))
    }

    /// Does what there is to do, and hands out the signals that clients ask for.
    pub(crate) fn turn(&mut self, now: Moment, signal: &mut dyn FnMut(i32)) {
        self.is_busy = false;
        for index in 0..self.clients.len() {
            let mut left = FRAMES_IN_A_ROW;
            while left > 0 && !self.clients[index].has_left {
                let has_room = self.input.has_room();
                let Some(frame) = self.clients[index].next_frame(has_room) else { break };
                self.heed(index, frame, signal);
                left -= 1;
            }
            self.is_busy |= left == 0;
        }
        self.input.write();
        self.is_busy |= self.input.has_room() && self.clients.iter().any(Client::is_held);
        let end = self.end.as_ref().map(|(ended, _)| ended);
        for client in &mut self.clients {
            let since = *client.since.get_or_insert(now);
            client.has_left |= client.at.is_none() && now.elapsed_since(since) >= SAYS_HELLO_WITHIN;
            let sent = client.send(&self.backlog, end);
            let has_more = client.has_more(&self.backlog, end);
            client.stuck = match (has_more, sent) {
                (false, _) => None,
                (true, true) => Some(now),
                (true, false) => client.stuck.or(Some(now)),
            };
            client.is_slow |= client.stuck.is_some_and(|since| now.elapsed_since(since) >= WAITS);
            client.is_slow &= has_more;
        }
        self.hear_last_words(signal);
        self.part(now);
    }

    /// A client that closed its end may have said a moment before that it leaves, and with which signal: of who only writes
    /// that would be found out too late.
    fn hear_last_words(&mut self, signal: &mut dyn FnMut(i32)) {
        for index in 0..self.clients.len() {
            if !self.clients[index].is_deaf {
                continue;
            }
            for _ in 0..MOST_LAST_WORDS {
                match self.clients[index].next_frame(true) {
                    Some(Frame::Input(_)) if !self.input.has_room() => {}
                    Some(frame) => self.heed(index, frame, signal),
                    None => break,
                }
            }
            self.clients[index].is_gone = true;
        }
    }

    /// Whether the command should wait with its output.
    pub(crate) fn holds(&self, now: Moment) -> bool {
        let waited = |client: &&Client| !client.is_slow && !client.is_gone;
        let slowest = self.clients.iter().filter(waited).filter_map(|client| client.at);
        let absent = self.absent.iter().filter(|absent| absent.until > now).map(|absent| absent.at);
        slowest.chain(absent).any(|offset| self.backlog.is_full_behind(offset))
    }

    /// Whether nobody is left to be told anything.
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        let Some((_, since)) = &self.end else { return false };
        let late = now.elapsed_since(*since) >= TAKES_THE_REST;
        late || (self.clients.is_empty() && self.absent.is_empty())
    }

    fn heed(&mut self, index: usize, frame: Frame, signal: &mut dyn FnMut(i32)) {
        match frame {
            Frame::Hello(hello) => self.welcome(index, &hello),
            Frame::Input(bytes) => {
                self.clients[index].taken += bytes.len() as u64;
                self.input.take(&bytes);
            }
            // A terminal's input never ends but by its keyboard.
            Frame::EndOfInput if !self.has_terminal => self.input.end(),
            Frame::Size(size) => self.resize(size),
            Frame::Signal(number) if self.end.is_none() => signal(i32::from(number)),
            Frame::Leave => self.clients[index].has_left = true,
            _ => {}
        }
    }

    fn welcome(&mut self, index: usize, hello: &Hello) {
        let (start, end) = (self.backlog.start(), self.backlog.end());
        let is_new = self.clients[index].at.is_none();
        let offset = match (hello.after, hello.size) {
            // What it has missed is told by its first frame.
            (Some(after), _) => after.min(end),
            (None, Some(size)) if hello.screenful => self.backlog.screenful(size.rows, size.columns),
            (None, _) => start,
        };
        if let Some(size) = hello.size {
            self.resize(size);
        }
        if is_new {
            // Others that were cut are waited for as before, but at a terminal: that is for eyes.
            let waits = |absent: &Absent| absent.key.is_some() && absent.key != hello.client;
            self.absent.retain(|absent| !self.has_terminal && waits(absent));
            let taken = hello.client.map_or(0, |key| self.take_over(index, key));
            self.clients[index].begin(Welcome { terminal: self.has_terminal, offset, taken });
        }
    }

    /// Ends what is left of a client's earlier connections, whose bytes nobody reads any more. Bytes of its input that were
    /// taken over those.
    fn take_over(&mut self, index: usize, key: u64) -> u64 {
        let mut taken = 0;
        for (other, client) in self.clients.iter_mut().enumerate() {
            if other != index && client.key == Some(key) {
                client.has_left = true;
                taken = taken.max(client.taken);
            }
        }
        let away = self.away.iter().filter(|(away, _)| *away == key).map(|(_, taken)| *taken);
        taken = away.fold(taken, u64::max);
        self.away.retain(|(away, _)| *away != key);
        self.clients[index].key = Some(key);
        taken
    }

    fn resize(&self, size: tandem_types::session::Size) {
        let Some(terminal) = &self.terminal else { return };
        if let Err(error) = terminal::resize(terminal, size) {
            tracing::debug!("a terminal keeps its size: {error}");
        }
    }

    /// Drops who has gone or has everything. Who was cut off in the middle is expected back.
    fn part(&mut self, now: Moment) {
        let gone = |client: &Client| client.is_gone || client.has_left || client.has_all();
        let lost = self.clients.iter().filter(|client| gone(client) && !client.has_left && !client.has_all());
        let lost = lost.filter(|client| !client.is_slow);
        let until = now + COMES_BACK;
        let lost = lost.filter_map(|client| Some(Absent { key: client.key, at: client.at?, until }));
        self.absent.extend(lost);
        let too_many = self.absent.len().saturating_sub(MOST_AWAY);
        self.absent.drain(..too_many);
        self.absent.retain(|absent| absent.until > now);
        let away = self.clients.iter().filter(|client| gone(client) && !client.has_left);
        self.away.extend(away.filter_map(|client| Some((client.key?, client.taken))));
        let too_many = self.away.len().saturating_sub(MOST_AWAY);
        self.away.drain(..too_many);
        self.clients.retain(|client| !gone(client));
    }
}

/// A pipe for a command's input: its end, and ours, which does not block.
pub(crate) fn pipe() -> io::Result<(File, File)> {
    let (theirs, ours) = io::pipe()?;
    nix::fcntl::fcntl(&ours, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    Ok((OwnedFd::from(theirs).into(), OwnedFd::from(ours).into()))
}
