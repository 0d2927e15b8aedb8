//! The last output of a command, for those who come or read late.

use std::collections::VecDeque;

use tandem_types::event::Stream;

/// Bytes kept. A screen of the largest window with all its colors is a fifth of it.
pub(super) const MOST: usize = 1024 * 1024;
/// Bytes from which on a command is made to wait for who has not read them: what is read of its pipes in one go still fits
/// behind them.
pub(super) const FULL: usize = MOST / 2;
/// Longest piece, which goes out as one frame.
const LONGEST_PIECE: usize = 16 * 1024;
/// What a piece costs besides its bytes: a command that writes single bytes to both streams by turns.
const PIECE_COSTS: usize = 64;

/// See the module. Offsets count the bytes of both streams together.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pieces: VecDeque<(Stream, Vec<u8>)>,
    /// Offset of the first byte kept.
    start: u64,
    /// Offset behind the last one.
    end: u64,
}

impl Backlog {
    /// Adds output, and forgets the oldest where it is too much.
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        for part in bytes.chunks(LONGEST_PIECE) {
            self.end += part.len() as u64;
            match self.pieces.back_mut() {
                Some((last, piece)) if *last == stream && piece.len() + part.len() <= LONGEST_PIECE => {
                    piece.extend_from_slice(part);
                }
                _ => self.pieces.push_back((stream, part.to_vec())),
            }
        }
        while self.cost() > MOST {
            let Some((_, oldest)) = self.pieces.pop_front() else { return };
            self.start += oldest.len() as u64;
        }
    }

    fn cost(&self) -> usize {
        usize::try_from(self.end - self.start).unwrap_or(MOST) + self.pieces.len() * PIECE_COSTS
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether so much stands behind the offset that the command should wait.
    pub(super) fn is_full_behind(&self, offset: u64) -> bool {
        let behind = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(MOST);
        behind >= FULL || (offset <= self.start && self.cost() >= FULL)
    }

    /// What stands at an offset, up to the end of its piece; none at the end.
    pub(super) fn at(&self, offset: u64) -> Option<(Stream, &[u8])> {
        let mut begin = self.start;
        for (stream, piece) in &self.pieces {
            let end = begin + piece.len() as u64;
            if offset < end {
                let skipped = usize::try_from(offset.saturating_sub(begin)).unwrap_or(0);
                return Some((*stream, &piece[skipped..]));
            }
            begin = end;
        }
        None
    }

    /// Offset of the last `rows` lines that a screen of so many columns could show.
    pub(super) fn screenful(&self, rows: u16, columns: u16) -> u64 {
        let (mut left, mut offset, mut seen) = (u32::from(rows.max(1)), self.end, 0_u32);
        for (_, piece) in self.pieces.iter().rev() {
            for byte in piece.iter().rev() {
                seen += 1;
                if *byte == b'\n' && offset != self.end || seen > u32::from(columns.max(1)) * 4 {
                    left -= 1;
                    seen = 0;
                }
                if left == 0 {
                    return offset;
                }
                offset -= 1;
            }
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(backlog: &Backlog, from: u64) -> Vec<u8> {
        let (mut offset, mut found) = (from, Vec::new());
        while let Some((_, bytes)) = backlog.at(offset) {
            found.extend_from_slice(bytes);
            offset += bytes.len() as u64;
        }
        assert_eq!(offset, backlog.end());
        found
    }

    #[test]
    fn what_was_put_in_last_comes_out_again_from_any_offset() {
        let mut backlog = Backlog::default();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        for (number, part) in bytes.chunks(7_001).enumerate() {
            let stream = if number % 5 == 0 { Stream::Stderr } else { Stream::Stdout };
            backlog.push(stream, part);
        }
        let (start, end) = (backlog.start() as usize, backlog.end() as usize);
        assert_eq!(end, bytes.len());
        assert!((FULL..=MOST).contains(&(end - start)), "{start}");
        for from in [start, start + 1, end - 10_000, end - 1, end] {
            assert_eq!(all(&backlog, from as u64), bytes[from..]);
        }
    }

    #[test]
    fn single_bytes_on_both_streams_by_turns_cost_no_more() {
        let mut backlog = Backlog::default();
        for _ in 0..200_000 {
            backlog.push(Stream::Stdout, b"a");
            backlog.push(Stream::Stderr, b"b");
        }
        assert!(backlog.cost() <= MOST, "{}", backlog.cost());
        assert!(backlog.is_full_behind(backlog.start()) && !backlog.is_full_behind(backlog.end()));
    }

    #[test]
    fn a_screenful_begins_with_a_line() {
        let mut backlog = Backlog::default();
        for line in 0..100 {
            backlog.push(Stream::Stdout, format!("line {line}\r\n").as_bytes());
        }
        backlog.push(Stream::Stdout, b">>> ");
        let text = String::from_utf8(all(&backlog, backlog.screenful(3, 80))).unwrap();
        assert_eq!(text, "line 98\r\nline 99\r\n>>> ");
        assert_eq!(backlog.screenful(1000, 80), 0);
        let mut endless = Backlog::default();
        endless.push(Stream::Stdout, &[b'x'; 100_000]);
        assert!(endless.end() - endless.screenful(24, 80) <= 24 * 80 * 4 + 24);
    }
}
