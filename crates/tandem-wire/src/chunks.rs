//! Bodies in chunks (RFC 9112, 7.1), read strictly: what another reader might see otherwise is an error.

use std::ops::Range;

use super::MOST_FIELDS;
use super::fields::Kind;

/// Longest extension of one chunk, in bytes. They mean nothing to anybody, and are not passed on.
const LONGEST_EXTENSION: u16 = 1024;
/// Longest trailer section in bytes.
const LONGEST_TRAILERS: usize = 8 * 1024;

/// Reads chunks as they come in.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the digits of a size.
    Size { size: u64, digits: u8 },
    /// Behind them, and behind so many bytes of white space.
    Blank { size: u64, bytes: u16 },
    /// Behind so many bytes of white space and extensions.
    Extension { size: u64, bytes: u16, quoting: Quoting },
    /// Behind the CR of a size's line.
    SizeEnd { size: u64 },
    /// So much of a chunk is still to come.
    Data { left: u64 },
    /// Behind a chunk.
    DataEnd,
    /// Behind the CR behind a chunk.
    DataEndLf,
    /// In a line behind the last chunk; whether anything of it came.
    Trailer { is_empty: bool },
    /// Behind the CR of such a line.
    TrailerEnd { is_empty: bool },
    /// Behind everything.
    End,
}

/// Whether a part of an extension is in quotes: others may look for the end of a line behind them (RFC 9112, 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    No,
    Quoted,
    /// Behind a backslash in quotes.
    Escaped,
}

impl Quoting {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::No, b'"') | (Self::Escaped, _) => Self::Quoted,
            (Self::Quoted, b'"') => Self::No,
            (Self::Quoted, b'\\') => Self::Escaped,
            (same, _) => same,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

/// What came of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// How many of them were used.
    pub used: usize,
    /// Which of them are data.
    pub data: Range<usize>,
}

/// It is no body in chunks, or one that others may read otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunk is malformed")]
pub struct BadChunk;

impl Chunks {
    /// Whether the body has ended.
    pub fn is_over(&self) -> bool {
        self.state == State::End
    }

    /// The lines behind the last chunk, each with its end.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Takes bytes until there is data, or the body has ended, or there are no more.
    ///
    /// # Errors
    /// See [`BadChunk`].
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BadChunk> {
        let mut used = 0;
        while used < input.len() && self.state != State::End {
            if let State::Data { left } = self.state {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - used);
                let left = left - length as u64;
                self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
                return Ok(Step { used: used + length, data: used..used + length });
            }
            self.byte(input[used])?;
            used += 1;
        }
        Ok(Step { used, data: 0..0 })
    }

    fn byte(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.state = match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < 16 => {
                let digit = (byte as char).to_digit(16).ok_or(BadChunk)?;
                State::Size { size: (size << 4) | u64::from(digit), digits: digits + 1 }
            }
            (
                State::Size { size, digits: 1.. }
                | State::Blank { size, .. }
                | State::Extension { size, quoting: Quoting::No, .. },
                b'\r',
            ) => State::SizeEnd { size },
            (State::Size { size, digits: 1.. }, b' ' | b'\t') => State::Blank { size, bytes: 1 },
            (State::Blank { size, bytes }, b' ' | b'\t') if bytes < LONGEST_EXTENSION => {
                State::Blank { size, bytes: bytes + 1 }
            }
            (State::Size { size, digits: 1.. }, b';') => {
                State::Extension { size, bytes: 1, quoting: Quoting::No }
            }
            (State::Blank { size, bytes }, b';') => State::Extension { size, bytes, quoting: Quoting::No },
            (State::Extension { size, bytes, quoting }, b'\t' | 0x20..=0x7e | 0x80..)
                if bytes < LONGEST_EXTENSION =>
            {
                State::Extension { size, bytes: bytes + 1, quoting: quoting.after(byte) }
            }
            (State::SizeEnd { size: 0 }, b'\n') => State::Trailer { is_empty: true },
            (State::SizeEnd { size }, b'\n') => State::Data { left: size },
            (State::DataEnd, b'\r') => State::DataEndLf,
            (State::DataEndLf, b'\n') => State::default(),
            (State::Trailer { is_empty }, b'\r') => State::TrailerEnd { is_empty },
            (State::Trailer { .. }, _) if byte != b'\n' => {
                self.keep(byte)?;
                State::Trailer { is_empty: false }
            }
            (State::TrailerEnd { is_empty: true }, b'\n') => State::End,
            (State::TrailerEnd { is_empty: false }, b'\n') => {
                self.keep(b'\r')?;
                self.keep(b'\n')?;
                State::Trailer { is_empty: true }
            }
            _ => return Err(BadChunk),
        };
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), BadChunk> {
        if self.trailers.len() >= LONGEST_TRAILERS {
            return Err(BadChunk);
        }
        self.trailers.push(byte);
        Ok(())
    }
}

/// Writes those fields of a trailer section that may be passed on: none that frame a message, say where it goes, or
/// belong to one connection (RFC 9110, 6.5.1).
///
/// # Errors
/// They are no fields.
pub fn trailers_passed_on(trailers: &[u8], out: &mut Vec<u8>) -> Result<(), BadChunk> {
    if trailers.is_empty() {
        return Ok(());
    }
    let whole = [trailers, b"\r\n"].concat();
    let mut headers = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let Ok(httparse::Status::Complete((_, parsed))) = httparse::parse_headers(&whole, &mut headers) else {
        return Err(BadChunk);
    };
    for header in parsed {
        if Kind::of(header.name.as_bytes()) == Kind::Plain && !is_about_the_message(header.name) {
            for part in [header.name.as_bytes(), b": ", header.value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
    }
    Ok(())
}

/// Fields that decide how a message is read, or who may read it, before its body is.
fn is_about_the_message(name: &str) -> bool {
    let known = [
        "content-",
        "authorization",
        "cookie",
        "set-cookie",
        "cache-control",
        "range",
        "age",
        "expires",
        "location",
        "vary",
    ];
    known.iter().any(|known| name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data, trailers and what is left behind the end, read in pieces of this length.
    fn read(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>, usize), BadChunk> {
        let (mut chunks, mut data, mut used) = (Chunks::default(), Vec::new(), 0);
        while used < bytes.len() && !chunks.is_over() {
            let input = &bytes[used..bytes.len().min(used + piece)];
            let step = chunks.step(input)?;
            data.extend_from_slice(&input[step.data]);
            used += step.used;
        }
        if !chunks.is_over() {
            return Err(BadChunk);
        }
        Ok((data, chunks.trailers().to_vec(), bytes.len() - used))
    }

    #[test]
    fn chunks_are_read_alike_however_they_come_in() {
        let body = b"5 \t\r\nhello\r\n00A ;x=\"y\\\"\";z\r\n, world...\r\n0\r\nA: b\r\nC: d\r\n\r\nGET";
        for piece in 1..=body.len() {
            let (data, trailers, left) = read(body, piece).unwrap();
            assert_eq!(data, b"hello, world...", "{piece}");
            assert_eq!((trailers.as_slice(), left), (&b"A: b\r\nC: d\r\n"[..], 3), "{piece}");
        }
    }

    #[test]
    fn what_others_might_read_otherwise_is_refused() {
        for body in [
            &b"5\nhello\r\n0\r\n\r\n"[..],
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"5;a\0\r\nhello\r\n0\r\n\r\n",
            b"5 5\r\nhello\r\n0\r\n\r\n",
            b"5;a=\"\r\nhello\r\n0\r\n\r\n",
            b"5;a=\"\\\"\r\nhello\r\n0\r\n\r\n",
            b"5\r\r\nhello\r\n0\r\n\r\n",
            b"0\r\nA: b\n\r\n",
            b"0\r\n\rX",
        ] {
            assert_eq!(read(body, body.len()), Err(BadChunk), "{:?}", String::from_utf8_lossy(body));
        }
        let long = [b"0\r\n".as_slice(), &vec![b'a'; LONGEST_TRAILERS + 1], b"\r\n\r\n"].concat();
        assert_eq!(read(&long, long.len()), Err(BadChunk));
        let long = [b"1;".as_slice(), &vec![b'a'; 2000], b"\r\nx\r\n0\r\n\r\n"].concat();
        assert_eq!(read(&long, long.len()), Err(BadChunk));
    }
}
