//! One connection after another to the same command.

use std::io::{self, Write as _};
use std::pin::Pin;

use tandem_kit::api::Link;
use tandem_kit::tasks;
use tandem_types::event::Stream;
use tandem_types::frame::{Decoder, Ended, Frame, Hello};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Sleep;

use super::keyboard::Keyboard;
use super::screen::RawMode;
use super::{Manner, window};
use crate::failure::Failure;

/// Bytes on their way to the server, beyond which no more input is taken.
const UNDER_WAY: usize = 64 * 1024;
/// The signal for a command whose reader has gone, as a terminal that is closed sends it.
const SIGHUP: u8 = 1;
/// What Ctrl-C sends where a terminal is not raw.
const SIGINT: u8 = 2;

/// How a conversation ended for good.
#[derive(Debug)]
pub(super) enum End {
    /// The command has.
    Ended(Ended),
    /// Somebody left it: by this signal, or by the keyboard.
    Left {
        /// Its number.
        signal: Option<u8>,
    },
    /// Its shim lets nobody more in.
    Refused {
        /// In its words.
        reason: String,
    },
    /// This terminal cannot be the command's.
    NoTerminal(Failure),
    /// Nobody reads what it writes.
    ReaderGone,
}

type Writing = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// What is known over all connections.
pub(super) struct Conversation {
    manner: Manner,
    /// By which the shim knows that all connections are this client's.
    key: u64,
    keyboard: Keyboard,
    /// Offset of the next byte of output; none before the first connection.
    at: Option<u64>,
    lost: u64,
    signals: Option<Signals>,
    /// Whether something was heard over the present connection, or the last one.
    heard: bool,
    /// Why nobody was let in the last time.
    refused: Option<String>,
    /// From the first word of the command on: until then Ctrl-C is this program's.
    raw: Option<RawMode>,
}

struct Signals {
    window: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// What happens next.
enum Event {
    Frame(Option<Frame>),
    Written(io::Result<()>),
    Sent(io::Result<usize>),
    Typed(bool),
    Window,
    Signal(u8),
}

impl Conversation {
    pub(super) fn new(manner: Manner) -> io::Result<Self> {
        let key = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let keyboard = Keyboard::new(manner.terminal, manner.aside || manner.looks_on);
        // Where these cannot be had they do what they always do.
        let signals = Signals::new().ok();
        let (heard, refused, raw) = (false, None, None);
        Ok(Self { manner, key, keyboard, at: None, lost: 0, signals, heard, refused, raw })
    }

    /// Whether there was a connection.
    pub(super) fn was_heard(&self) -> bool {
        self.at.is_some()
    }

    /// Whether something was heard over the last connection.
    pub(super) fn heard_lately(&self) -> bool {
        self.heard
    }

    /// Why nobody was let in, where that was the last that was said.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// The terminal is this program's again.
    pub(super) fn give_terminal_back(&mut self) {
        self.raw = None;
    }

    /// Waits, without a connection, until somebody wants to leave. What else is typed is kept for the command.
    pub(super) async fn left_meanwhile(&mut self) -> End {
        let Self { keyboard, signals, raw, .. } = self;
        loop {
            tokio::select! {
                goes_on = keyboard.next(), if raw.is_some() => {
                    let interrupted = keyboard.took_interrupt();
                    if interrupted || !goes_on {
                        return End::Left { signal: interrupted.then_some(SIGINT) };
                    }
                }
                event = Signals::next(signals, false) => {
                    let Event::Signal(number) = event else { continue };
                    return End::Left { signal: Some(number) };
                }
            }
        }
    }

    /// Bytes of output that were given up.
    pub(super) fn lost(&self) -> u64 {
        // A terminal is for eyes.
        if self.manner.terminal { 0 } else { self.lost }
    }

    /// Talks over this connection; none: it was cut, or nothing was heard for as long as `patience` lasts.
    pub(super) async fn run(&mut self, link: Link, patience: &mut Pin<Box<Sleep>>) -> Option<End> {
        self.heard = false;
        let (reader, writer) = split(link);
        let mut line = Line { reader, writer, decoder: Decoder::default(), out: Vec::new(), writing: None };
        let size = self.manner.terminal.then(window);
        let screenful = self.manner.screenful && self.at.is_none();
        line.say(&Frame::Hello(Hello { size, after: self.at, screenful, client: Some(self.key) }));
        loop {
            let heard = self.heard;
            let event = tokio::select! {
                event = line.next(self) => event,
                () = &mut *patience, if !heard => return None,
            };
            match event {
                Event::Frame(None) | Event::Sent(Err(_)) => {
                    return line.rest().await.then_some(End::ReaderGone);
                }
                Event::Frame(Some(frame)) => {
                    if let Some(end) = self.heed(frame, &mut line) {
                        return Some(if line.rest().await { End::ReaderGone } else { end });
                    }
                }
                Event::Written(Ok(())) => line.writing = None,
                Event::Written(Err(_)) => {
                    // As in any pipe, what wrote for a reader that is gone ends. Who only came to look changes nothing.
                    if !self.manner.visits && !self.manner.terminal {
                        line.say(&Frame::Signal(SIGHUP));
                    }
                    line.leave().await;
                    return Some(End::ReaderGone);
                }
                Event::Sent(Ok(count)) => drop(line.out.drain(..count)),
                Event::Typed(true) => {}
                Event::Typed(false) => {
                    line.leave().await;
                    return Some(End::Left { signal: None });
                }
                Event::Window => line.say(&Frame::Size(window())),
                Event::Signal(number) => {
                    if self.manner.terminal || self.manner.visits || self.at.is_none() {
                        line.leave().await;
                        return Some(End::Left { signal: Some(number) });
                    }
                    line.say(&Frame::Signal(number));
                }
            }
            self.send_input(&mut line);
        }
    }

    fn send_input(&mut self, line: &mut Line) {
        // Before its welcome nobody knows how much was taken over the connection before: it would be said twice.
        if !self.heard {
            return;
        }
        while line.out.len() < UNDER_WAY {
            let Some(bytes) = self.keyboard.take() else { break };
            line.say(&Frame::Input(bytes));
        }
        let speaks = !self.manner.looks_on;
        if speaks && line.out.len() < UNDER_WAY && self.keyboard.ends() {
            line.say(&Frame::EndOfInput);
        }
    }

    fn heed(&mut self, frame: Frame, line: &mut Line) -> Option<End> {
        match frame {
            Frame::Welcome(welcome) => {
                (self.heard, self.refused) = (true, None);
                if self.manner.terminal && self.raw.is_none() {
                    match RawMode::enter() {
                        Ok(raw) => self.raw = Some(raw),
                        Err(failure) => return Some(End::NoTerminal(failure)),
                    }
                }
                let begins = self.at.is_none();
                self.at = Some(if begins { welcome.offset } else { self.at.unwrap_or(welcome.offset) });
                self.keyboard.connected(welcome.taken);
            }
            Frame::Output(stream, bytes) => {
                self.at = self.at.map(|at| at + bytes.len() as u64);
                let to_error = self.manner.aside || stream == Stream::Stderr;
                line.writing = Some(write(to_error, bytes));
            }
            Frame::Lost(bytes) => {
                self.at = self.at.map(|at| at + bytes);
                self.lost += bytes;
            }
            Frame::Taken(bytes) => self.keyboard.took(bytes),
            Frame::Ended(ended) => return Some(End::Ended(ended)),
            // A connection of ours that is dead may still take a place.
            Frame::Refused(reason) if self.at.is_some() => self.refused = Some(reason),
            Frame::Refused(reason) => return Some(End::Refused { reason }),
            _ => {}
        }
        None
    }
}

/// One connection, and what is under way on both of its sides.
struct Line {
    reader: ReadHalf<Link>,
    writer: WriteHalf<Link>,
    decoder: Decoder,
    /// On its way to the server.
    out: Vec<u8>,
    /// On its way to whoever reads our output. Nothing more is read from the server meanwhile.
    writing: Option<Writing>,
}

impl Line {
    fn say(&mut self, frame: &Frame) {
        frame.write(&mut self.out);
    }

    async fn next(&mut self, conversation: &mut Conversation) -> Event {
        let Self { reader, writer, decoder, out, writing } = self;
        let Conversation { keyboard, signals, manner, at, .. } = conversation;
        let is_writing = writing.is_some();
        let written = async {
            match writing {
                Some(writing) => writing.await,
                None => std::future::pending().await,
            }
        };
        // Before the first word nobody knows whose the keys are.
        let has_room = out.len() < UNDER_WAY && at.is_some();
        tokio::select! {
            written = written => Event::Written(written),
            frame = frame(reader, decoder), if !is_writing => Event::Frame(frame),
            sent = writer.write(out), if !out.is_empty() => Event::Sent(sent),
            goes_on = keyboard.next(), if has_room => Event::Typed(goes_on),
            event = Signals::next(signals, manner.terminal) => event,
        }
    }

    /// Finishes writing what was heard. True: nobody reads it.
    async fn rest(&mut self) -> bool {
        match self.writing.take() {
            Some(writing) => writing.await.is_err(),
            None => false,
        }
    }

    /// Says the last words.
    async fn leave(&mut self) {
        self.say(&Frame::Leave);
        let said = async {
            self.writer.write_all(&self.out).await?;
            self.writer.flush().await
        };
        // Who cannot be told finds out.
        let _ = tokio::time::timeout(super::AGAIN, said).await;
    }
}

async fn frame(reader: &mut ReadHalf<Link>, decoder: &mut Decoder) -> Option<Frame> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => return Some(frame),
            Ok(None) => {}
            // Both ends are ours: it was cut in the middle.
            Err(_) => return None,
        }
        match reader.read(&mut bytes).await {
            Ok(count @ 1..) => decoder.push(&bytes[..count]),
            Ok(_) | Err(_) => return None,
        }
    }
}

fn write(to_error: bool, bytes: Vec<u8>) -> Writing {
    Box::pin(tasks::blocking("output", move || {
        if to_error {
            return io::stderr().lock().write_all(&bytes);
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&bytes)?;
        stdout.flush()
    }))
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            window: signal(SignalKind::window_change())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(signals: &mut Option<Self>, terminal: bool) -> Event {
        let Some(Self { window, interrupt, terminate }) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = window.recv(), if terminal => Event::Window,
            _ = interrupt.recv() => Event::Signal(2),
            _ = terminate.recv() => Event::Signal(15),
        }
    }
}
