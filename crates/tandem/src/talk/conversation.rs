//! One connection after another to the same command.

use std::io::{self, Write as _};
use std::pin::Pin;

use tandem_kit::api::Link;
use tandem_kit::tasks;
use tandem_types::event::Stream;
use tandem_types::frame::{Decoder, Ended, Frame, Hello};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::keyboard::Keyboard;
use super::{Manner, window};

/// Bytes on their way to the server, beyond which no more input is taken.
const UNDER_WAY: usize = 64 * 1024;
/// The signal for a command whose reader has gone, as a terminal that is closed sends it.
const SIGHUP: u8 = 1;

/// How a conversation ended for good.
#[derive(Debug)]
pub(super) enum End {
    /// The command has.
    Ended(Ended),
    /// Somebody left it.
    Left,
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
        let keyboard = Keyboard::new(manner.terminal, manner.aside);
        // Where these cannot be had they do what they always do.
        let signals = Signals::new().ok();
        Ok(Self { manner, key, keyboard, at: None, lost: 0, signals })
    }

    /// Whether there was a connection.
    pub(super) fn was_heard(&self) -> bool {
        self.at.is_some()
    }

    /// Bytes of output that were given up.
    pub(super) fn lost(&self) -> u64 {
        // A terminal is for eyes.
        if self.manner.terminal { 0 } else { self.lost }
    }

    /// Talks over this connection; none: it was cut.
    pub(super) async fn run(&mut self, link: Link) -> Option<End> {
        let (reader, writer) = split(link);
        let mut line = Line { reader, writer, decoder: Decoder::default(), out: Vec::new(), writing: None };
        let size = self.manner.terminal.then(window);
        let screenful = self.manner.screenful && self.at.is_none();
        line.say(&Frame::Hello(Hello { size, after: self.at, screenful, client: Some(self.key) }));
        loop {
            let event = line.next(self).await;
            match event {
                Event::Frame(None) | Event::Sent(Err(_)) => {
                    return line.rest().await.then_some(End::ReaderGone);
                }
                Event::Frame(Some(frame)) => {
                    if let Some(ended) = self.heed(frame, &mut line) {
                        return Some(if line.rest().await { End::ReaderGone } else { End::Ended(ended) });
                    }
                }
                Event::Written(Ok(())) => line.writing = None,
                Event::Written(Err(_)) => {
                    line.say(&Frame::Signal(SIGHUP));
                    line.leave().await;
                    return Some(End::ReaderGone);
                }
                Event::Sent(Ok(count)) => drop(line.out.drain(..count)),
                Event::Typed(true) => {}
                Event::Typed(false) => {
                    line.leave().await;
                    return Some(End::Left);
                }
                Event::Window => line.say(&Frame::Size(window())),
                Event::Signal(number) => {
                    if self.manner.terminal {
                        line.leave().await;
                        return Some(End::Left);
                    }
                    line.say(&Frame::Signal(number));
                }
            }
            self.send_input(&mut line);
        }
    }

    fn send_input(&mut self, line: &mut Line) {
        if self.at.is_none() {
            return;
        }
        while line.out.len() < UNDER_WAY {
            let Some(bytes) = self.keyboard.take() else { break };
            line.say(&Frame::Input(bytes));
        }
        if line.out.len() < UNDER_WAY && self.keyboard.ends() {
            line.say(&Frame::EndOfInput);
        }
    }

    fn heed(&mut self, frame: Frame, line: &mut Line) -> Option<Ended> {
        match frame {
            Frame::Welcome(welcome) => {
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
            Frame::Ended(ended) => return Some(ended),
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
        let Conversation { keyboard, signals, manner, .. } = conversation;
        let is_writing = writing.is_some();
        let written = async {
            match writing {
                Some(writing) => writing.await,
                None => std::future::pending().await,
            }
        };
        let has_room = out.len() < UNDER_WAY;
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
