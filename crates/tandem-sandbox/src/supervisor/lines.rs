//! From bytes of a pipe to lines of text.

/// Cuts a stream into lines of limited length.
#[derive(Debug)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    /// Bytes of the present line that were beyond the limit.
    cut: u64,
    limit: usize,
}

impl Lines {
    /// `limit` is the longest line kept, in bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), cut: 0, limit }
    }

    /// Takes bytes in and hands out the lines that are whole now.
    pub(crate) fn push(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            self.hand_out(line);
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// Hands out what is left without an end of line.
    pub(crate) fn finish(&mut self, line: &mut dyn FnMut(&str)) {
        if !self.partial.is_empty() || self.cut > 0 {
            self.hand_out(line);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit - self.partial.len();
        let (kept, rest) = bytes.split_at(room.min(bytes.len()));
        self.partial.extend_from_slice(kept);
        self.cut += rest.len() as u64;
    }

    fn hand_out(&mut self, line: &mut dyn FnMut(&str)) {
        let whole = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        let text = String::from_utf8_lossy(whole);
        match self.cut {
            0 => line(&text),
            cut => line(&format!("{text} [{cut} more bytes]")),
        }
        self.cut = 0;
        self.partial.clear();
        // One long line must not cost memory for ever.
        self.partial.shrink_to(1024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(limit: usize, pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::new(limit);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece, &mut |line| found.push(line.to_owned()));
        }
        lines.finish(&mut |line| found.push(line.to_owned()));
        found
    }

    #[test]
    fn lines_are_whole_however_the_pipe_cuts_them() {
        assert_eq!(split(100, &[b"a\nb", b"c\r\n", b"\nd"]), ["a", "bc", "", "d"]);
        assert_eq!(split(100, &[]), [""; 0]);
    }

    #[test]
    fn a_long_line_is_cut_and_counted_and_the_next_one_is_whole() {
        assert_eq!(split(4, &[b"abcdef", b"gh\nij\n"]), ["abcd [4 more bytes]", "ij"]);
        assert_eq!(split(4, &[b"abcdef"]), ["abcd [2 more bytes]"]);
    }

    #[test]
    fn what_is_not_utf_8_is_replaced() {
        assert_eq!(split(100, &[b"a\xffb\n", "\u{e4}".as_bytes()]), ["a\u{fffd}b", "\u{e4}"]);
    }
}
