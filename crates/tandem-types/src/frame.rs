//! What a client and the shim of a one-off command say to each other, whoever passes it on.
//!
//! A frame is one byte for its kind, the length of its content (32 bits, the highest byte first), and the content. A kind
//! that is not known is passed over: frames are only ever added. Offsets count the bytes of both outputs together, or of
//! the input, from the start of the command.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::Stream;
use crate::instance::Exit;
use crate::session::Size;

/// What both sides name when they make an HTTP connection one of frames (RFC 9110, 7.8).
pub const PROTOCOL: &str = "tandem-session/1";
/// Longest content of a frame in bytes.
pub const LONGEST: usize = 64 * 1024;
/// A frame without a meaning, which everybody passes over: who joins two sides tells one so that the other is there.
pub const NOTHING: [u8; HEAD] = [0; HEAD];
/// Kind and length.
const HEAD: usize = 5;

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The client's first: what it wants.
    Hello(Hello),
    /// Client: bytes for the command's input.
    Input(Vec<u8>),
    /// Client: no more of them; without a terminal the command's input ends here.
    EndOfInput,
    /// Client: its window has another size now.
    Size(Size),
    /// Client: send this signal to every process of the command.
    Signal(u8),
    /// Client: goes, and does not come back by itself.
    Leave,
    /// Shim's first: where it begins.
    Welcome(Welcome),
    /// Shim: bytes of the command.
    Output(Stream, Vec<u8>),
    /// Shim: so many bytes of output are not there any more, since the client did not read.
    Lost(u64),
    /// Shim: so many bytes of its input were taken so far, over all of its connections.
    Taken(u64),
    /// Shim's last: how it ended.
    Ended(Ended),
    /// The only one to a client that is not let in: why.
    Refused(String),
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hello {
    /// Size of its window; none: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Output up to this offset it has; none: it wants the last that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Whether it wants a screenful and not all that is kept, where it names no offset.
    #[serde(default)]
    pub screenful: bool,
    /// A number that it has made up for all of its connections. What it said over an earlier one, and was not taken
    /// yet, counts for nothing then: it says that again. None: it does not come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<u64>,
}

/// Where a shim begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Whether the command has a terminal.
    pub terminal: bool,
    /// Offset of the next byte of output.
    pub offset: u64,
    /// Bytes of its input that were taken so far, over all of its connections.
    pub taken: u64,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Code or signal.
    pub exit: Exit,
    /// Whether it was killed because its time was up.
    #[serde(default)]
    pub timed_out: bool,
}

/// Why bytes are no frames. Nothing that comes after them can be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than any frame.
    TooLong {
        /// As its head says.
        length: usize,
    },
    /// Its content is not what its kind says.
    Content {
        /// Its kind.
        kind: u8,
    },
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { length } => write!(f, "a frame of {length} bytes is longer than {LONGEST}"),
            Self::Content { kind } => write!(f, "a frame of kind {kind} has another content than its kind"),
        }
    }
}

impl std::error::Error for FrameError {}

const HELLO: u8 = 1;
const INPUT: u8 = 2;
const END_OF_INPUT: u8 = 3;
const SIZE: u8 = 4;
const SIGNAL: u8 = 5;
const LEAVE: u8 = 6;
const WELCOME: u8 = 17;
const STDOUT: u8 = 18;
const STDERR: u8 = 19;
const LOST: u8 = 20;
const TAKEN: u8 = 21;
const ENDED: u8 = 22;
const REFUSED: u8 = 23;

impl Frame {
    /// Adds it to what is to be sent.
    ///
    /// # Panics
    /// Its content is longer than [`LONGEST`]: who makes it cuts it.
    pub fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => put(to, HELLO, &json(hello)),
            Self::Input(bytes) => put(to, INPUT, bytes),
            Self::EndOfInput => put(to, END_OF_INPUT, &[]),
            Self::Size(size) => put(to, SIZE, &json(size)),
            Self::Signal(signal) => put(to, SIGNAL, &[*signal]),
            Self::Leave => put(to, LEAVE, &[]),
            Self::Welcome(welcome) => put(to, WELCOME, &json(welcome)),
            Self::Output(Stream::Stderr, bytes) => put(to, STDERR, bytes),
            Self::Output(_, bytes) => put(to, STDOUT, bytes),
            Self::Lost(bytes) => put(to, LOST, &bytes.to_be_bytes()),
            Self::Taken(bytes) => put(to, TAKEN, &bytes.to_be_bytes()),
            Self::Ended(ended) => put(to, ENDED, &json(ended)),
            Self::Refused(reason) => put(to, REFUSED, reason.as_bytes()),
        }
    }

    fn read(kind: u8, content: &[u8]) -> Result<Option<Self>, FrameError> {
        let wrong = || FrameError::Content { kind };
        Ok(Some(match kind {
            HELLO => Self::Hello(value(content).ok_or_else(wrong)?),
            INPUT => Self::Input(content.to_vec()),
            END_OF_INPUT => Self::EndOfInput,
            SIZE => Self::Size(value(content).ok_or_else(wrong)?),
            SIGNAL => match content {
                [signal @ 1..=64] => Self::Signal(*signal),
                _ => return Err(wrong()),
            },
            LEAVE => Self::Leave,
            WELCOME => Self::Welcome(value(content).ok_or_else(wrong)?),
            STDOUT => Self::Output(Stream::Stdout, content.to_vec()),
            STDERR => Self::Output(Stream::Stderr, content.to_vec()),
            LOST => Self::Lost(number(content).ok_or_else(wrong)?),
            TAKEN => Self::Taken(number(content).ok_or_else(wrong)?),
            ENDED => Self::Ended(value(content).ok_or_else(wrong)?),
            REFUSED => Self::Refused(String::from_utf8_lossy(content).into_owned()),
            _ => return Ok(None),
        }))
    }
}

/// Bytes as they come, cut into frames. Keeps one frame at most, and what was pushed behind it.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Where the next frame begins.
    at: usize,
}

impl Decoder {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame; none: more bytes are needed.
    ///
    /// # Errors
    /// The bytes are no frames.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let rest = &self.bytes[self.at..];
            let Some((head, content)) = rest.split_first_chunk::<HEAD>() else { return Ok(None) };
            let [kind, a, b, c, d] = *head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if length > LONGEST {
                return Err(FrameError::TooLong { length });
            }
            let Some(content) = content.get(..length) else { return Ok(None) };
            let frame = Frame::read(kind, content)?;
            self.at += HEAD + length;
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }
}

fn put(to: &mut Vec<u8>, kind: u8, content: &[u8]) {
    assert!(content.len() <= LONGEST, "a frame is cut by who makes it");
    to.push(kind);
    let length = u32::try_from(content.len()).expect("it is shorter than the longest frame");
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(content);
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("these types are always JSON")
}

fn value<T: DeserializeOwned>(content: &[u8]) -> Option<T> {
    serde_json::from_slice(content).ok()
}

fn number(content: &[u8]) -> Option<u64> {
    content.try_into().ok().map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        let exit =
            Exit { code: Some(3), signal: None, out_of_memory: false, at: crate::Timestamp::UNIX_EPOCH };
        let size = Size { rows: 24, columns: 80 };
        vec![
            Frame::Hello(Hello { size: Some(size), after: Some(7), screenful: true, client: Some(u64::MAX) }),
            Frame::Hello(Hello::default()),
            Frame::Input(b"ls\n".to_vec()),
            Frame::EndOfInput,
            Frame::Size(size),
            Frame::Signal(2),
            Frame::Leave,
            Frame::Welcome(Welcome { terminal: true, offset: u64::MAX, taken: 4 }),
            Frame::Output(Stream::Stdout, vec![0; LONGEST]),
            Frame::Output(Stream::Stderr, Vec::new()),
            Frame::Lost(1 << 40),
            Frame::Taken(0),
            Frame::Ended(Ended { exit, timed_out: true }),
            Frame::Refused("too many are attached to it".to_owned()),
        ]
    }

    #[test]
    fn frames_are_the_same_however_they_were_cut() {
        let mut text = Vec::new();
        frames().iter().for_each(|frame| frame.write(&mut text));
        for piece in [1, 7, 4096, text.len()] {
            let (mut decoder, mut found) = (Decoder::default(), Vec::new());
            for piece in text.chunks(piece) {
                decoder.push(piece);
                found.extend(std::iter::from_fn(|| decoder.next_frame().unwrap()));
            }
            assert_eq!(found, frames());
        }
    }

    #[test]
    fn frames_of_later_versions_are_passed_over() {
        let mut decoder = Decoder::default();
        decoder.push(&NOTHING);
        decoder.push(&[200, 0, 0, 0, 2, 9, 9, LEAVE, 0, 0, 0, 0]);
        assert_eq!(decoder.next_frame(), Ok(Some(Frame::Leave)));
        assert_eq!(decoder.next_frame(), Ok(None));
    }

    #[test]
    fn what_is_no_frame_is_refused_and_costs_no_memory() {
        for (bytes, error) in [
            (&[INPUT, 0, 1, 0, 1][..], FrameError::TooLong { length: LONGEST + 1 }),
            (&[SIGNAL, 0, 0, 0, 1, 0], FrameError::Content { kind: SIGNAL }),
            (&[SIGNAL, 0, 0, 0, 1, 65], FrameError::Content { kind: SIGNAL }),
            (&[LOST, 0, 0, 0, 1, 0], FrameError::Content { kind: LOST }),
            (&[HELLO, 0, 0, 0, 1, b'7'], FrameError::Content { kind: HELLO }),
        ] {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            assert_eq!(decoder.next_frame(), Err(error));
        }
    }
}
